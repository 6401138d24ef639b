"""Files that are written, renamed and linked anew while they are followed."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.server.transport import followed
from dragoman.server.transport.followed import MAX_BYTES, Followed

LONG_AGO = 0.0
"""A time of day before any file's: its own times say nothing."""
LATER = 1e12


@pytest.fixture(autouse=True)
def _a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "STILL_S", 1.0)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s

    def pass_by(self, seconds: float) -> None:
        self.s += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def follow(time: Time) -> Callable[..., Followed]:
    def make(*paths: Path, now: float = LONG_AGO) -> Followed:
        return Followed(paths, clock=time, now=lambda: now, sleep=time.pass_by)

    return make


def test_what_is_being_written_is_not_read(tmp_path: Path, follow: Callable[..., Followed], time: Time) -> None:
    """However often it is looked at, before nothing has happened to it for a second."""
    path = tmp_path / "file"
    path.write_text("old")
    files = follow(path)
    assert files.first() == [b"old"]

    path.write_text("new, fir")
    for more in ("st", " half", "; the rest"):
        for _ in range(3):
            assert files.changed() is None
            time.pass_by(0.3)
        with path.open("a") as file:
            file.write(more)
    assert files.changed() is None
    time.pass_by(0.8)
    assert files.changed() is None
    time.pass_by(0.2)
    assert files.changed() == [b"new, first half; the rest"]
    time.pass_by(5)
    assert files.changed() is None


def test_a_file_whose_own_time_is_old_enough_is_read_at_the_first_look(
    tmp_path: Path, follow: Callable[..., Followed]
) -> None:
    """A handshake after months finds a certificate that was replaced yesterday."""
    path, new = tmp_path / "file", tmp_path / "new"
    path.write_text("old")
    files = follow(path, now=LATER)
    assert files.first() == [b"old"]

    new.write_text("new")
    new.rename(path)
    assert files.changed() == [b"new"]


def test_the_times_of_a_change_cannot_be_forged(tmp_path: Path, follow: Callable[..., Followed]) -> None:
    """Another content of the same size, with the time of the one before: as `rsync --inplace` leaves it."""
    path = tmp_path / "file"
    path.write_text("old")
    files, before = follow(path, now=LATER), os.stat(path)
    assert files.first() == [b"old"]

    path.write_text("new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files.changed() == [b"new"]


def test_a_link_that_is_changed_is_followed(tmp_path: Path, follow: Callable[..., Followed], time: Time) -> None:
    """As Kubernetes replaces a mounted secret: FILE leads to ..data/FILE, and ..data to another directory."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(version)
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "file").symlink_to("..data/file")
    files = follow(tmp_path / "file")
    assert files.first() == [b"1"]

    (tmp_path / "..tmp").symlink_to("2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert files.changed() is None
    time.pass_by(1.1)
    assert files.changed() == [b"2"]


def test_files_that_belong_together_are_read_together(
    tmp_path: Path, follow: Callable[..., Followed], time: Time
) -> None:
    """None of them while another one changes; none while one is missing, which is told when it lasts, and once."""
    paths = tmp_path / "a", tmp_path / "b"
    for path in paths:
        path.write_text("old")
    files = follow(*paths)
    assert files.first() == [b"old", b"old"]

    paths[0].write_text("new")
    assert files.changed() is None
    time.pass_by(0.8)
    paths[1].unlink()
    assert files.changed() is None
    time.pass_by(1.1)
    with pytest.raises(FileNotFoundError):
        files.changed()
    assert files.changed() is None
    paths[1].write_text("new")
    assert files.changed() is None
    time.pass_by(1.1)
    assert files.changed() == [b"new", b"new"]


def test_what_changes_while_it_is_read_is_read_again(
    tmp_path: Path, follow: Callable[..., Followed], time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of it is part of one content and part of another."""
    path = tmp_path / "file"
    path.write_text("old")
    files, read = follow(path), followed._content
    assert files.first() == [b"old"]

    def slow(path: Path) -> bytes:
        content = read(path)
        path.write_text("newer")
        return content

    path.write_text("new")
    assert files.changed() is None
    time.pass_by(1.1)
    monkeypatch.setattr(followed, "_content", slow)
    assert files.changed() is None
    monkeypatch.setattr(followed, "_content", read)
    assert files.changed() is None
    time.pass_by(1.1)
    assert files.changed() == [b"newer"]


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "kind"),
    [(_pipe, "a named pipe"), (_socket, "a socket"), (Path.mkdir, "a directory"), (_endless, "a device")],
)
def test_what_is_no_file_is_not_opened(
    tmp_path: Path, follow: Callable[..., Followed], time: Time, make: Callable[[Path], None], kind: str
) -> None:
    """Neither at first nor in place of a file; nobody waits for a pipe's writer."""
    path = tmp_path / "path"
    make(path)
    with pytest.raises(ValueError, match=f"path is not a file, but {kind}"):
        follow(path).first()

    file = tmp_path / "file"
    file.write_text("old")
    files = follow(file)
    assert files.first() == [b"old"]
    file.unlink()
    make(file)
    assert files.changed() is None
    time.pass_by(1.1)
    with pytest.raises(ValueError, match=f"file is not a file, but {kind}"):
        files.changed()
    assert files.changed() is None


def test_a_pipe_that_comes_between_two_glances_makes_nobody_wait(
    tmp_path: Path, follow: Callable[..., Followed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened is looked at once more."""
    path, pipe = tmp_path / "file", tmp_path / "pipe"
    path.write_text("old")
    os.mkfifo(pipe)
    files, stat = follow(path, now=LATER), os.stat
    status = stat(path)
    monkeypatch.setattr(os, "stat", lambda _: status)
    pipe.rename(path)

    with pytest.raises(ValueError, match="a named pipe"):
        files.changed()


def test_what_is_too_large_is_refused(tmp_path: Path, follow: Callable[..., Followed], time: Time) -> None:
    """No more of it is read than the limit."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * MAX_BYTES)
    files = follow(path)
    assert files.first() == [b"x" * MAX_BYTES]

    os.truncate(path, 2**40)
    files.changed()
    time.pass_by(1.1)
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        files.changed()


def test_the_first_reading_waits_for_a_file_to_lie_still(
    tmp_path: Path, follow: Callable[..., Followed], time: Time
) -> None:
    """But neither for one that is missing, nor for ever."""
    path = tmp_path / "file"
    path.write_text("whole")
    assert follow(path).first() == [b"whole"]
    assert time.s >= 1

    before_s = time.s
    with pytest.raises(FileNotFoundError):
        follow(tmp_path / "missing").first()
    assert time.s == before_s

    def write(seconds: float) -> None:
        path.write_text(f"{time.s}")
        os.utime(path, (time.s, time.s))
        time.pass_by(seconds)

    with pytest.raises(ValueError, match="changing all the time"):
        Followed([path], clock=time, now=lambda: LONG_AGO, sleep=write).first()

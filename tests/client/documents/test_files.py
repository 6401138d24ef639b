"""Bytes of files, and files that are there whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from dragoman.client.documents import files
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.files import read_file, text_file, write_file


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"fine\n\xff", r"not UTF-8: invalid start byte at byte 5, line 2 \(--encoding NAME"),
        ("é".encode("utf-16-le"), "not UTF-8"),
        ("a".encode("utf-16-le"), "null characters.*utf-16-le"),
        (b"\xff\xfea", "not UTF-16-LE: truncated data at byte 2"),
        (b"PK\x03\x04\x00", "null characters"),
    ],
)
def test_text_is_never_guessed(data: bytes, said: str) -> None:
    """The message says where reading ended, and what to do."""
    with pytest.raises(DocumentError, match=said):
        text_file(data)


@pytest.mark.parametrize("name", ["nonsense", "base64", "rot13", "hex", "\0"])
def test_what_is_no_encoding_of_text_is_refused(name: str) -> None:
    """Also codecs that turn bytes into bytes."""
    with pytest.raises(DocumentError, match="is not known"):
        text_file(b"a", name)


def test_a_written_file_keeps_its_permissions_and_links(tmp_path: Path) -> None:
    """What it replaces may be read by the same people."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)

    write_file(link, b"new")

    assert link.is_symlink()
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o640)


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    """Not those of a temporary one."""
    (tmp_path / "plain").write_bytes(b"")

    write_file(tmp_path / "new", b"")

    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left beside it."""

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OSError, match="no space left"):
        write_file(tmp_path / "file", b"new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_only_files_of_a_size_are_read(tmp_path: Path) -> None:
    """A folder, a pipe and what does not fit into memory are named."""
    (tmp_path / "large").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DocumentError, match="larger than"):
        read_file(tmp_path / "large", 4)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DocumentError, match="no regular file"):
            read_file(path)
    assert read_file(tmp_path / "large", 5) == b"12345"
    assert files.MAX_BYTES > 2**20

"""What Linux tells about the process."""

import os
import resource
import socket
from pathlib import Path

import pytest

from dragoman.server.telemetry import resources


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of files: 1,000 pages are resident, and as much again is available."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "net").mkdir()
    page = os.sysconf("SC_PAGE_SIZE")
    (proc / "self/statm").write_text("2000 1000 0 0 0 0 0\n")
    (proc / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {1000 * page // 1024} kB\n")
    (proc / "self/cgroup").write_text("0::/pod/server\n")
    monkeypatch.setattr(resources, "_PROC", proc)
    monkeypatch.setattr(resources, "_CGROUPS", cgroups)
    return proc


def cgroup(folder: Path, limit: str, used: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text(str(used))
    (folder / "memory.stat").write_text(f"anon 1\nfile {files}\n")


def test_memory_is_what_the_process_could_still_have(proc: Path) -> None:
    """Without a limit, the machine's: what others use is no longer to be had."""
    assert resources.memory_share() == pytest.approx(0.5)


def test_memory_of_the_fullest_cgroup_counts_without_pages_of_files(proc: Path, tmp_path: Path) -> None:
    """The kernel drops those before it kills; a group further out may be tighter than the process's own."""
    cgroup(tmp_path / "cgroup/pod/server", "max", 900, 0)
    cgroup(tmp_path / "cgroup/pod", "1000", 900, 300)

    assert resources.memory_share() == pytest.approx(0.6)


def test_the_limit_of_memory_is_the_tightest(proc: Path, tmp_path: Path) -> None:
    """Of the cgroup and those around it; without one it is all that the machine has."""
    (proc / "meminfo").write_text("MemTotal: 4 kB\n")
    assert resources.memory_limit() == 4096

    cgroup(tmp_path / "cgroup/pod/server", "max", 900, 0)
    (tmp_path / "cgroup/pod/memory.max").write_text("1000")

    assert resources.memory_limit() == 1000


def test_inside_a_container_the_root_is_its_own(proc: Path, tmp_path: Path) -> None:
    """Even where the path is the host's."""
    cgroup(tmp_path / "cgroup", "1000", 800, 0)

    assert resources.memory_share() == pytest.approx(0.8)


def test_cgroups_of_the_first_version_have_names_of_their_own(proc: Path, tmp_path: Path) -> None:
    """And a limit that stands for none."""
    (proc / "self/cgroup").write_text("4:cpu,memory:/pod\n1:cpu:/pod\n")
    folder = tmp_path / "cgroup/memory/pod"
    folder.mkdir(parents=True)
    (folder / "memory.usage_in_bytes").write_text("700")
    (folder / "memory.stat").write_text("total_cache 100\n")
    (folder / "memory.limit_in_bytes").write_text(str(2**63 - 4096))
    assert resources.memory_share() == pytest.approx(0.5)

    (folder / "memory.limit_in_bytes").write_text("1000")

    assert resources.memory_share() == pytest.approx(0.6)


def test_a_limit_of_addresses_counts(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is mapped, used or not."""
    page = os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2500 * page, 2500 * page))

    assert resources.memory_share() == pytest.approx(0.8)


def test_descriptors_are_counted() -> None:
    """One more is one more."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resources.descriptors_share()
    with socket.socket():
        assert resources.descriptors_share() == pytest.approx(before + 1 / most)


def test_without_a_descriptor_to_look_with_all_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what it means."""

    def none_left(_: object) -> list[str]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "listdir", none_left)

    assert resources.descriptors_share() == 1.0


def test_the_soft_limit_of_descriptors_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """To what the system allows."""
    limits = [(64, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))

    assert resources.raise_descriptor_limit() == 4096


def test_connections_of_the_port_are_counted_once_a_second() -> None:
    """Those that are established and that the server has taken."""
    now_s = [0.0]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connections = resources.Connections(lambda: port, 4, lambda: now_s[0])
        assert connections.share() == 0.0
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            now_s[0] = 0.5
            assert connections.share() == 0.0
            now_s[0] = 1.0
            assert connections.share() == 0.25
        now_s[0] = 2.0
        assert connections.share() == 0.0


def test_memory_is_given_back() -> None:
    """Or, where the C library cannot, nothing happens."""
    resources.give_back()

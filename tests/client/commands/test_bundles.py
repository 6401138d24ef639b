"""`dragoman bundles`."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from dragoman.cli.main import main
from dragoman.v1 import admin_pb2 as pb
from dragoman.v1 import translation_pb2
from dragoman.v1.admin_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server

Capture = pytest.CaptureFixture[str]


class FakeAdmin(AdminServiceServicer):
    """Keeps what it was asked, and has two bundles."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.bundles = [
            pb.Bundle(directory="/m/a", model="a", version="1", state=translation_pb2.MODEL_STATE_SERVING),
            pb.Bundle(directory="/m/b", state=translation_pb2.MODEL_STATE_FAILED, problem="broken"),
        ]

    def ListBundles(self, request: pb.ListBundlesRequest, context: Any) -> pb.ListBundlesResponse:
        return pb.ListBundlesResponse(bundles=self.bundles)

    def RefreshBundles(self, request: pb.RefreshBundlesRequest, context: Any) -> pb.RefreshBundlesResponse:
        self.asked.append("refresh")
        return pb.RefreshBundlesResponse(bundles=self.bundles)

    def LoadBundle(self, request: pb.LoadBundleRequest, context: Any) -> pb.LoadBundleResponse:
        self.asked.append(request.directory)
        if "missing" in request.directory:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such directory")
        return pb.LoadBundleResponse(bundle=self.bundles[0])

    def UnloadBundle(self, request: pb.UnloadBundleRequest, context: Any) -> pb.UnloadBundleResponse:
        self.asked.append((request.model, request.version))
        return pb.UnloadBundleResponse(bundle=pb.Bundle(directory="/m/a"))


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAdmin]:
    fake, server = FakeAdmin(), grpc.server(ThreadPoolExecutor(2))
    add_AdminServiceServicer_to_server(fake, server)
    monkeypatch.setenv("DRAGOMAN_ADMIN", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    yield fake
    server.stop(None)


def test_bundles_are_listed_and_problems_told(admin: FakeAdmin, capsys: Capture) -> None:
    """In columns, or as JSON."""
    assert main(["bundles"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "MODEL  VERSION  STATE    DIRECTORY",
        "a      1        serving  /m/a",
        "-      -        failed   /m/b",
    ]
    assert shown.err == "/m/b: broken\n"

    assert main(["bundles", "--json", "--refresh"]) == 0
    first, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["model"], first["state"], admin.asked) == ("a", "serving", ["refresh"])


def test_bundles_are_loaded_and_unloaded(
    admin: FakeAdmin, capsys: Capture, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory is named as the server finds it; what the server refuses is said."""
    monkeypatch.chdir(tmp_path)
    assert main(["bundles", "--load", "new"]) == 0
    assert main(["bundles", "--unload", "a"]) == main(["bundles", "--unload", "a", "--version", "1"]) == 0
    assert admin.asked == [str(tmp_path / "new"), ("a", ""), ("a", "1")]

    assert main(["bundles", "--load", "/missing"]) == 1
    assert "no such directory" in capsys.readouterr().err


def test_a_server_without_an_admin_port_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a version alone says nothing."""
    monkeypatch.setenv("DRAGOMAN_ADMIN", "127.0.0.1:1")
    assert main(["bundles"]) == 1
    assert "127.0.0.1:1 does not answer" in capsys.readouterr().err
    assert main(["bundles", "--version", "1"]) == 2

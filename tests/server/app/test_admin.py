"""The admin service of a running server."""

import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from dragoman.server.core.errors import StartError
from dragoman.server.testing import write_bundle
from dragoman.v1 import admin_pb2 as pb
from dragoman.v1 import admin_pb2_grpc as pb_grpc
from dragoman.v1 import translation_pb2, translation_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")

Serve = Callable[..., Awaitable[Any]]
SERVING, FAILED = translation_pb2.MODEL_STATE_SERVING, translation_pb2.MODEL_STATE_FAILED


def admin(served: Any) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{served.app.admin_port}")


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code().name, str(error.value.details())


async def test_bundles_are_loaded_listed_and_unloaded(serve: Serve, tmp_path: Path) -> None:
    """Each answer says how things stand afterwards."""
    other = write_bundle(tmp_path / "other", name="other")
    served = await serve(admin_listen="127.0.0.1:0", look_s=0)

    async with admin(served) as channel:
        stub = pb_grpc.AdminServiceStub(channel)
        loaded = (await stub.LoadBundle(pb.LoadBundleRequest(directory=str(tmp_path / "other")))).bundle
        wanted = pb.Bundle(directory=str(other.directory), model="other", version=other.version, state=SERVING)
        assert loaded == wanted
        listed = (await stub.ListBundles(pb.ListBundlesRequest())).bundles
        assert {bundle.model for bundle in listed} == {"echo", "other"}

        unloaded = (await stub.UnloadBundle(pb.UnloadBundleRequest(model="other", version=other.version))).bundle
        assert unloaded == pb.Bundle(directory=str(other.directory))
        assert (await refused(stub.UnloadBundle(pb.UnloadBundleRequest(model="other"))))[0] == "NOT_FOUND"


async def test_what_cannot_be_loaded_is_said(serve: Serve, tmp_path: Path) -> None:
    """To who asked for it; a folder's bundle that is broken is listed with the reason."""
    write_bundle(tmp_path / "echo")
    served = await serve(models=str(tmp_path), admin_listen="127.0.0.1:0", look_s=0)

    async with admin(served) as channel:
        stub = pb_grpc.AdminServiceStub(channel)
        for directory, reason in ((str(tmp_path / "missing"), "no such directory"), ("", "directory: empty")):
            code, details = await refused(stub.LoadBundle(pb.LoadBundleRequest(directory=directory)))
            assert (code, reason in details) == ("INVALID_ARGUMENT", True)
        shutil.copytree(tmp_path / "echo", tmp_path / "broken")
        (tmp_path / "broken/vocabulary.spm").unlink()
        bundles = (await stub.RefreshBundles(pb.RefreshBundlesRequest())).bundles
        assert [(bundle.state, "vocabulary.spm" in bundle.problem) for bundle in bundles] == [
            (FAILED, True),
            (SERVING, False),
        ]


async def test_only_operators_may(serve: Serve, tmp_path: Path) -> None:
    """And not on the port that clients use, which has no such service."""
    rows = [(name, hashlib.sha256(name.encode()).hexdigest(), name == "boss") for name in ("boss", "other")]
    text = "".join(
        f'[{name}]\nsha256 = "{digest}"\nis_operator = {str(is_one).lower()}\n' for name, digest, is_one in rows
    )
    (tmp_path / "tokens").write_text(text)
    served = await serve(admin_listen="127.0.0.1:0", tokens=str(tmp_path / "tokens"), look_s=0)

    async with admin(served) as channel, grpc.aio.insecure_channel(served.target) as clients:
        stub = pb_grpc.AdminServiceStub(channel)

        def asked(token: str | None, stub: Any = stub) -> Any:
            metadata = [("authorization", f"Bearer {token}")] if token else ()
            return stub.ListBundles(pb.ListBundlesRequest(), metadata=metadata)

        assert len((await asked("boss")).bundles) == 1
        assert (await refused(asked("other")))[0] == "PERMISSION_DENIED"
        assert (await refused(asked(None)))[0] == "UNAUTHENTICATED"
        assert (await refused(asked("boss", pb_grpc.AdminServiceStub(clients))))[0] == "UNIMPLEMENTED"
        translation = translation_pb2_grpc.TranslationServiceStub(channel)
        translate = translation.ListModels(
            translation_pb2.ListModelsRequest(), metadata=[("authorization", "Bearer boss")]
        )
        assert (await refused(translate))[0] == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"admin_listen": "0.0.0.0:0"}, "anybody could load and unload bundles"),
        ({"admin_listen": "0.0.0.0:0", "plaintext": "any"}, "anybody could load and unload bundles"),
        (
            {"admin_listen": "no.such.invalid:0", "plaintext": "any", "tokens": "TOKENS"},
            "--admin-listen no.such.invalid",
        ),
    ],
)
async def test_a_public_admin_port_needs_tokens(
    serve: Serve, tmp_path: Path, options: dict[str, str], reason: str
) -> None:
    """However it is encrypted."""
    (tmp_path / "tokens").write_text(f'[a]\nsha256 = "{hashlib.sha256(b"x").hexdigest()}"\n')
    given = {name: str(tmp_path / "tokens") if value == "TOKENS" else value for name, value in options.items()}
    with pytest.raises(StartError, match=reason):
        await serve(**given)

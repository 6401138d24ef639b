"""What an operator tells a running server: the admin service, over the fleet."""
# ruff: noqa: N802 - the methods have the names that the contract gives them.

from pathlib import Path
from typing import Any

import grpc

from dragoman.server.app.fleet import Berth, Fleet
from dragoman.server.core.errors import InvalidRequest
from dragoman.v1 import admin_pb2 as pb
from dragoman.v1 import admin_pb2_grpc as pb_grpc
from dragoman.v1 import translation_pb2

SERVICE = pb.DESCRIPTOR.services_by_name["AdminService"]
Context = grpc.aio.ServicerContext[Any, Any]


class AdminService(pb_grpc.AdminServiceServicer):
    """Serves a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def ListBundles(self, request: pb.ListBundlesRequest, context: Context) -> pb.ListBundlesResponse:  # noqa: ARG002
        """All directories."""
        return pb.ListBundlesResponse(bundles=map(_bundle, self._fleet.berths))

    async def LoadBundle(self, request: pb.LoadBundleRequest, context: Context) -> pb.LoadBundleResponse:  # noqa: ARG002
        """Serve a directory's bundle."""
        if not request.directory:
            raise InvalidRequest("directory", "empty: name a directory on the server")
        return pb.LoadBundleResponse(bundle=_bundle(await self._fleet.load(Path(request.directory))))

    async def UnloadBundle(self, request: pb.UnloadBundleRequest, context: Context) -> pb.UnloadBundleResponse:  # noqa: ARG002
        """Serve a bundle no more."""
        if not request.model:
            raise InvalidRequest("model", "empty; ListBundles gives the names")
        berth = await self._fleet.unload(request.model, request.version)
        return pb.UnloadBundleResponse(bundle=_bundle(berth))

    async def RefreshBundles(self, request: pb.RefreshBundlesRequest, context: Context) -> pb.RefreshBundlesResponse:  # noqa: ARG002
        """Look for changed bundles."""
        await self._fleet.look()
        return pb.RefreshBundlesResponse(bundles=map(_bundle, self._fleet.berths))


def _bundle(berth: Berth) -> pb.Bundle:
    state = translation_pb2.MODEL_STATE_UNSPECIFIED
    if berth.problem:
        state = translation_pb2.MODEL_STATE_FAILED
    elif berth.pipeline:
        state = translation_pb2.MODEL_STATE_SERVING
    served = {"model": berth.pipeline.name, "version": berth.pipeline.version} if berth.pipeline else {}
    return pb.Bundle(directory=str(berth.directory), state=state, problem=berth.problem, **served)

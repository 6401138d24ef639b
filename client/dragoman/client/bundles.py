"""What an operator tells a running server: which bundles it serves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from dragoman.client.channel import OPTIONS, client_errors, target
from dragoman.v1 import admin_pb2 as pb
from dragoman.v1 import translation_pb2
from dragoman.v1.admin_pb2_grpc import AdminServiceStub

DEFAULT_ADMIN = "127.0.0.1:50052"
TIMEOUT_S = 600.0
"""Large models take minutes to load."""


@dataclass(frozen=True)
class ServedBundle:
    """A directory of the server, and what has become of the bundle in it."""

    directory: str
    model: str
    """The model that is served from there; empty where none is."""
    version: str
    state: str
    """`serving`, `failed`, or `unloaded`."""
    problem: str
    """Why what lies there could not be loaded."""


class Bundles:
    """The bundles of a server, by its admin port. A context manager."""

    def __init__(self, server: str = DEFAULT_ADMIN, *, credentials: grpc.ChannelCredentials | None = None) -> None:
        where = target(server)
        self._channel = (
            grpc.secure_channel(where, credentials, OPTIONS) if credentials else grpc.insecure_channel(where, OPTIONS)
        )
        self._stub = AdminServiceStub(self._channel)

    def __enter__(self) -> "Bundles":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def list(self) -> Sequence[ServedBundle]:
        """All directories."""
        with _errors():
            return _all(self._stub.ListBundles(pb.ListBundlesRequest(), timeout=TIMEOUT_S).bundles)

    def load(self, directory: str) -> ServedBundle:
        """Serve the bundle of a directory on the server, in place of an earlier version from there."""
        with _errors():
            return _bundle(self._stub.LoadBundle(pb.LoadBundleRequest(directory=directory), timeout=TIMEOUT_S).bundle)

    def unload(self, model: str, version: str = "") -> ServedBundle:
        """Serve a bundle no more; calls that are under way are finished."""
        request = pb.UnloadBundleRequest(model=model, version=version)
        with _errors():
            return _bundle(self._stub.UnloadBundle(request, timeout=TIMEOUT_S).bundle)

    def refresh(self) -> Sequence[ServedBundle]:
        """Have the server look for changed bundles now."""
        with _errors():
            return _all(self._stub.RefreshBundles(pb.RefreshBundlesRequest(), timeout=TIMEOUT_S).bundles)


@contextmanager
def _errors() -> Iterator[None]:
    with client_errors(lambda: False):
        yield


def _all(bundles: Sequence[pb.Bundle]) -> Sequence[ServedBundle]:
    return [_bundle(bundle) for bundle in bundles]


def _bundle(bundle: pb.Bundle) -> ServedBundle:
    states = {translation_pb2.MODEL_STATE_SERVING: "serving", translation_pb2.MODEL_STATE_FAILED: "failed"}
    state = states.get(bundle.state, "unloaded")
    return ServedBundle(bundle.directory, bundle.model, bundle.version, state, bundle.problem)

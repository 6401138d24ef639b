"""Types of the generated gRPC service in dragoman/v1/admin.proto; written by proto/generate.py, not by hand."""
# ruff: noqa
# fmt: off

from abc import ABCMeta
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, TypeVar, overload

import grpc
import grpc.aio
from dragoman.v1 import admin_pb2 as _pb2

_T = TypeVar("_T")

# A handler may be a function or a coroutine: its context is one of the two, its requests come in either way.
class _Context(grpc.ServicerContext, grpc.aio.ServicerContext[Any, Any]): ...  # type: ignore[misc]
class _Requests(Iterator[_T], AsyncIterator[_T], metaclass=ABCMeta): ...

class AdminServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> AdminServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> AdminServiceAsyncStub: ...  # type: ignore[misc]
    ListBundles: grpc.UnaryUnaryMultiCallable[_pb2.ListBundlesRequest, _pb2.ListBundlesResponse]
    LoadBundle: grpc.UnaryUnaryMultiCallable[_pb2.LoadBundleRequest, _pb2.LoadBundleResponse]
    UnloadBundle: grpc.UnaryUnaryMultiCallable[_pb2.UnloadBundleRequest, _pb2.UnloadBundleResponse]
    RefreshBundles: grpc.UnaryUnaryMultiCallable[_pb2.RefreshBundlesRequest, _pb2.RefreshBundlesResponse]

class AdminServiceAsyncStub:
    ListBundles: grpc.aio.UnaryUnaryMultiCallable[_pb2.ListBundlesRequest, _pb2.ListBundlesResponse]
    LoadBundle: grpc.aio.UnaryUnaryMultiCallable[_pb2.LoadBundleRequest, _pb2.LoadBundleResponse]
    UnloadBundle: grpc.aio.UnaryUnaryMultiCallable[_pb2.UnloadBundleRequest, _pb2.UnloadBundleResponse]
    RefreshBundles: grpc.aio.UnaryUnaryMultiCallable[_pb2.RefreshBundlesRequest, _pb2.RefreshBundlesResponse]

class AdminServiceServicer:
    def ListBundles(self, request: _pb2.ListBundlesRequest, context: _Context) -> _pb2.ListBundlesResponse | Awaitable[_pb2.ListBundlesResponse]: ...
    def LoadBundle(self, request: _pb2.LoadBundleRequest, context: _Context) -> _pb2.LoadBundleResponse | Awaitable[_pb2.LoadBundleResponse]: ...
    def UnloadBundle(self, request: _pb2.UnloadBundleRequest, context: _Context) -> _pb2.UnloadBundleResponse | Awaitable[_pb2.UnloadBundleResponse]: ...
    def RefreshBundles(self, request: _pb2.RefreshBundlesRequest, context: _Context) -> _pb2.RefreshBundlesResponse | Awaitable[_pb2.RefreshBundlesResponse]: ...

def add_AdminServiceServicer_to_server(servicer: AdminServiceServicer, server: grpc.Server | grpc.aio.Server) -> None: ...

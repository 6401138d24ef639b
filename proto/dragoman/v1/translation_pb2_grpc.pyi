"""Types of the generated gRPC service in dragoman/v1/translation.proto; written by proto/generate.py, not by hand."""
# ruff: noqa
# fmt: off

from abc import ABCMeta
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, TypeVar, overload

import grpc
import grpc.aio
from dragoman.v1 import translation_pb2 as _pb2

_T = TypeVar("_T")

# A handler may be a function or a coroutine: its context is one of the two, its requests come in either way.
class _Context(grpc.ServicerContext, grpc.aio.ServicerContext[Any, Any]): ...  # type: ignore[misc]
class _Requests(Iterator[_T], AsyncIterator[_T], metaclass=ABCMeta): ...

class TranslationServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> TranslationServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> TranslationServiceAsyncStub: ...  # type: ignore[misc]
    Translate: grpc.UnaryUnaryMultiCallable[_pb2.TranslateRequest, _pb2.TranslateResponse]
    TranslateStream: grpc.UnaryStreamMultiCallable[_pb2.TranslateStreamRequest, _pb2.TranslateStreamResponse]
    TranslatePipe: grpc.StreamStreamMultiCallable[_pb2.TranslatePipeRequest, _pb2.TranslatePipeResponse]
    Score: grpc.UnaryUnaryMultiCallable[_pb2.ScoreRequest, _pb2.ScoreResponse]
    ListModels: grpc.UnaryUnaryMultiCallable[_pb2.ListModelsRequest, _pb2.ListModelsResponse]
    GetModel: grpc.UnaryUnaryMultiCallable[_pb2.GetModelRequest, _pb2.GetModelResponse]

class TranslationServiceAsyncStub:
    Translate: grpc.aio.UnaryUnaryMultiCallable[_pb2.TranslateRequest, _pb2.TranslateResponse]
    TranslateStream: grpc.aio.UnaryStreamMultiCallable[_pb2.TranslateStreamRequest, _pb2.TranslateStreamResponse]
    TranslatePipe: grpc.aio.StreamStreamMultiCallable[_pb2.TranslatePipeRequest, _pb2.TranslatePipeResponse]
    Score: grpc.aio.UnaryUnaryMultiCallable[_pb2.ScoreRequest, _pb2.ScoreResponse]
    ListModels: grpc.aio.UnaryUnaryMultiCallable[_pb2.ListModelsRequest, _pb2.ListModelsResponse]
    GetModel: grpc.aio.UnaryUnaryMultiCallable[_pb2.GetModelRequest, _pb2.GetModelResponse]

class TranslationServiceServicer:
    def Translate(self, request: _pb2.TranslateRequest, context: _Context) -> _pb2.TranslateResponse | Awaitable[_pb2.TranslateResponse]: ...
    def TranslateStream(self, request: _pb2.TranslateStreamRequest, context: _Context) -> Iterator[_pb2.TranslateStreamResponse] | AsyncIterator[_pb2.TranslateStreamResponse]: ...
    def TranslatePipe(self, request_iterator: _Requests[_pb2.TranslatePipeRequest], context: _Context) -> Iterator[_pb2.TranslatePipeResponse] | AsyncIterator[_pb2.TranslatePipeResponse]: ...
    def Score(self, request: _pb2.ScoreRequest, context: _Context) -> _pb2.ScoreResponse | Awaitable[_pb2.ScoreResponse]: ...
    def ListModels(self, request: _pb2.ListModelsRequest, context: _Context) -> _pb2.ListModelsResponse | Awaitable[_pb2.ListModelsResponse]: ...
    def GetModel(self, request: _pb2.GetModelRequest, context: _Context) -> _pb2.GetModelResponse | Awaitable[_pb2.GetModelResponse]: ...

def add_TranslationServiceServicer_to_server(servicer: TranslationServiceServicer, server: grpc.Server | grpc.aio.Server) -> None: ...

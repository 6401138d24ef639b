"""The client of dragoman: `Client` blocks, `AsyncClient` is for asyncio. Needs grpcio and protobuf, nothing else.

    from dragoman.client import Client, Options

    with Client("127.0.0.1:50051") as client:
        translation = client.translate("Hello, world!", Options(source_language="en", target_language="pt"))
        print(translation.text, translation.finish_reason)

Errors are a tree below `DragomanError`, described in `dragoman.client.errors`.
"""

from dragoman.client.aio import AsyncClient
from dragoman.client.client import Client
from dragoman.client.errors import (
    AccessDenied,
    Cancelled,
    DeadlineExceeded,
    DragomanError,
    InvalidRequest,
    Overloaded,
    ServerFault,
    SomeTextsFailed,
    Unavailable,
    UnknownModel,
    UnsupportedByModel,
    UnsupportedOption,
)
from dragoman.client.types import (
    Alignment,
    Alternatives,
    CacheMode,
    Diversity,
    EarlyStopping,
    Engine,
    EnginePreference,
    FinishReason,
    Hypothesis,
    LanguagePair,
    LengthPenaltyKind,
    Limits,
    Model,
    ModelState,
    Nat,
    OffsetUnit,
    OnTooLong,
    Options,
    Priority,
    Sampling,
    Score,
    ScoreOptions,
    Span,
    SpanPair,
    Splitting,
    TokenScore,
    Translation,
    UnknownHandling,
)

__all__ = [
    "AccessDenied",
    "Alignment",
    "Alternatives",
    "AsyncClient",
    "CacheMode",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "Diversity",
    "DragomanError",
    "EarlyStopping",
    "Engine",
    "EnginePreference",
    "FinishReason",
    "Hypothesis",
    "InvalidRequest",
    "LanguagePair",
    "LengthPenaltyKind",
    "Limits",
    "Model",
    "ModelState",
    "Nat",
    "OffsetUnit",
    "OnTooLong",
    "Options",
    "Overloaded",
    "Priority",
    "Sampling",
    "Score",
    "ScoreOptions",
    "ServerFault",
    "SomeTextsFailed",
    "Span",
    "SpanPair",
    "Splitting",
    "TokenScore",
    "Translation",
    "Unavailable",
    "UnknownHandling",
    "UnknownModel",
    "UnsupportedByModel",
    "UnsupportedOption",
]

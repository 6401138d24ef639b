"""A server on a real socket that answers as a test wants and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.translation_pb2_grpc import TranslationServiceServicer, add_TranslationServiceServicer_to_server

Reply = Callable[[pb.TranslateRequest, grpc.ServicerContext], pb.TranslateResponse]


def upper(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
    """Each text in capitals; an empty text as the contract has it."""
    response = pb.TranslateResponse(request_id="1", model="fake", model_version="1")
    for index, sent in enumerate(request.texts):
        text = sent.text.upper()
        reason = pb.FINISH_REASON_STOP if text else pb.FINISH_REASON_EMPTY_INPUT
        response.results.add(
            index=index,
            text=text,
            hypotheses=[pb.Hypothesis(text=text, log_probability=-1.5, score=-0.5, finish_reason=reason)],
            finish_reason=reason,
            engine=pb.ENGINE_BEAM if text else pb.ENGINE_UNSPECIFIED,
        )
    return response


class FakeServer(TranslationServiceServicer):
    """Keeps the requests of all calls; `reply` makes the answers of Translate and TranslateStream."""

    def __init__(self) -> None:
        self.reply: Reply = upper
        self.requests: list[pb.TranslateRequest] = []
        self.scored: list[pb.ScoreRequest] = []
        self.piped: list[pb.TranslatePipeRequest] = []
        self.models: list[pb.Model] = []
        self.address = ""
        self.arrived = threading.Semaphore(0)
        """Released for each request."""
        self.cancelled = threading.Event()
        """Set when a stream's client has gone away."""

    def Translate(self, request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        self.requests.append(request)
        self.arrived.release()
        return self.reply(request, context)

    def TranslateStream(
        self, request: pb.TranslateStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.TranslateStreamResponse]:
        context.add_callback(self.cancelled.set)
        self.requests.append(request.request)
        response = self.reply(request.request, context)
        for result in reversed(response.results):
            yield pb.TranslateStreamResponse(request_id="1", result=result)
        yield pb.TranslateStreamResponse(request_id="1", timings=response.timings)

    def TranslatePipe(
        self, requests: Iterator[pb.TranslatePipeRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.TranslatePipeResponse]:
        """Live: words with white space behind them; `bad` fails as a text, `worse` the pipe, `end` ends it."""
        context.add_callback(self.cancelled.set)
        for request in requests:
            self.piped.append(request)
            self.arrived.release()
            [text] = [sent.text for sent in request.texts]
            if "worse" in text:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "live.wait: refused")
            if "end" in text:
                return
            if "slow" in text:
                self.cancelled.wait(30)
            said = text if request.is_whole else "".join(text.rpartition(" ")[:1])
            answer = {"text": said.upper(), "finish_reason": pb.FINISH_REASON_STOP}
            yield pb.TranslatePipeResponse(
                results=[{"status": {"code": 3, "message": "too long"}} if "bad" in text else answer]
            )

    def Score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        """A score of minus the length of the translation; a source "bad" fails its call, "worse" its pair."""
        self.scored.append(request)
        response = pb.ScoreResponse(request_id="1", model="fake", model_version="1")
        for index, pair in enumerate(request.pairs):
            if pair.source == "bad":
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"pairs[{index}].source: bad")
            if pair.source == "worse":
                response.results.add(index=index, status={"code": 3, "message": "too long"})
            else:
                score = -float(len(pair.target))
                tokens = [pb.TokenScore(token="</s>", log_probability=score)] if request.token_scores else []
                response.results.add(index=index, log_probability=score, score=score, tokens=tokens)
        return response

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        wanted = request.source_language
        pairs = ((one, [pair.source for pair in one.language_pairs]) for one in self.models)
        return pb.ListModelsResponse(models=[one for one, sources in pairs if not wanted or wanted in sources])

    def GetModel(self, request: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:
        named = [model for model in self.models if model.name == request.name]
        if not named:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.name}")
        return pb.GetModelResponse(model=named[0])


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A running fake server, at `fake.address`."""
    fake = FakeServer()
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_TranslationServiceServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    server.stop(grace=None).wait()

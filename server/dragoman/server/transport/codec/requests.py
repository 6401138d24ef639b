"""Messages to requests: pure functions. `dragoman.server.transport.codec.supported` has checked the messages."""

from typing import Any

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.limits import MAX_REQUEST_ID_BYTES, check_number
from dragoman.server.core.protection import DEFAULT_PROTECTION, Protection, SpanKind
from dragoman.server.core.requests import DecodingOverrides, Grammar, Output, Request
from dragoman.server.core.strategies import Beam, Method
from dragoman.server.decode.strategies.methods import METHODS
from dragoman.server.pipeline.models import ModelQuery
from dragoman.server.transport.codec.supported import refuse_unknown
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.values import members, read

_SPAN_KINDS = members(SpanKind, pb.SpanKind.DESCRIPTOR)


def model_query(message: Any) -> ModelQuery:
    """What a message says about the model."""
    return ModelQuery(message.model, message.model_version, message.source_language, message.target_language)


def request(
    message: pb.TranslateRequest, *, pair: LanguagePair, deadline_s: float | None, fresh_seed: int = 0
) -> Request:
    """The request that a message stands for. `fresh_seed` is for a sample that names none."""
    _check_id(message.request_id)
    if message.translate_attributes and message.format in (pb.INPUT_FORMAT_UNSPECIFIED, pb.INPUT_FORMAT_PLAIN):
        raise InvalidRequest("translate_attributes", "plain text has no attributes: set a format, or unset it")
    prefixes = tuple(text.target_prefix for text in message.texts)
    contexts = tuple(text.context for text in message.texts)
    return read(
        Request,
        message,
        texts=tuple(text.text for text in message.texts),
        prefixes=prefixes if any(prefixes) else (),
        contexts=contexts if any(contexts) else (),
        overrides=_overrides(message.decoding, "decoding."),
        method=_method(message.decoding),
        grammar=read(Grammar, message.decoding.grammar) if message.decoding.HasField("grammar") else None,
        seed=fresh_seed,
        suppressed_tokens=tuple(message.decoding.suppressed_tokens),
        deadline_s=deadline_s,
        source_language=pair.source,
        target_language=pair.target,
        protection=_protection(message.protection) if message.HasField("protection") else None,
    )


def like_request(message: pb.TranslateRequest, like: Request, *, deadline_s: float | None, fresh_seed: int) -> Request:
    """The request that a message stands for which differs from that of another one in its texts and its id alone."""
    _check_id(message.request_id)
    texts = message.texts
    prefixes = tuple([text.target_prefix for text in texts])
    contexts = tuple([text.context for text in texts])
    return like.of_texts(
        tuple([text.text for text in texts]),
        prefixes if any(prefixes) else (),
        contexts if any(contexts) else (),
        seed=fresh_seed,
        deadline_s=deadline_s,
    )


def _protection(message: pb.Protection) -> Protection:
    """What is to be protected. No kinds named are all that can be looked for."""
    if message.off and message.kinds:
        raise InvalidRequest("protection.kinds", "set although protection is off: unset one of them")
    kinds = frozenset(_SPAN_KINDS[number] for number in message.kinds) or DEFAULT_PROTECTION.kinds
    return Protection(frozenset() if message.off else kinds, tuple(message.patterns))


def score_request(message: pb.ScoreRequest, *, pair: LanguagePair, deadline_s: float | None) -> Request:
    """The request that a message with given translations stands for."""
    _check_id(message.request_id)
    return read(
        Request,
        message,
        texts=tuple(given.source for given in message.pairs),
        targets=tuple(given.target for given in message.pairs),
        overrides=_overrides(message, ""),
        output=read(Output, message),
        deadline_s=deadline_s,
        source_language=pair.source,
        target_language=pair.target,
    )


def _check_id(request_id: str) -> None:
    if len(request_id.encode()) > MAX_REQUEST_ID_BYTES:
        raise InvalidRequest("request_id", f"longer than {MAX_REQUEST_ID_BYTES} bytes")


def _overrides(message: pb.DecodingOptions | pb.ScoreRequest, path: str) -> DecodingOverrides:
    """What a message says about decoding; without a length penalty, of whatever kind, the exponent is 0."""
    if message.length_penalty_kind != pb.LENGTH_PENALTY_KIND_NONE:
        return read(DecodingOverrides, message)
    if message.HasField("length_penalty"):
        raise InvalidRequest(f"{path}length_penalty", "set although length_penalty_kind asks for none: unset one")
    return read(DecodingOverrides, message, length_penalty=0.0, length_penalty_kind=None)


def _method(decoding: pb.DecodingOptions) -> Method:
    """What is asked for: the one of the methods whose field is set, or beam search."""
    methods = [read(kind, getattr(decoding, field)) for field, kind in METHODS.items() if decoding.HasField(field)]
    asked = [method for method in methods if method.is_asked]
    if len(asked) > 1:
        first, second, *_ = asked
        raise InvalidRequest(f"decoding.{second.field}", f"excluded by decoding.{first.field}: unset one of them")
    return asked[0] if asked else Beam()


class PipeSettings:
    """How the texts of a pipe are translated: the last settings that came."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts
        self._settings: pb.TranslateRequest | None = None
        self._request_id = ""
        self._next_index = 0

    def request(self, message: pb.TranslatePipeRequest) -> tuple[pb.TranslateRequest, int]:
        """A message's texts as a request, and the index of its first text in the whole pipe."""
        refuse_unknown(message)
        check_number(len(message.texts), self._max_texts)
        if message.HasField("settings"):
            if message.settings.texts:
                raise InvalidRequest("settings.texts", "must be empty: a pipe's texts stand beside its settings")
            if self._settings is None:
                self._request_id = message.settings.request_id
            self._settings = message.settings
        if message.is_whole and not (self._settings is not None and self._settings.HasField("live")):
            raise InvalidRequest(
                "is_whole", "set, and the texts of this pipe are not live: unset it, or set settings.live"
            )
        if self._settings is None:
            raise InvalidRequest("settings", "not set, and the first message of a pipe needs them")
        request = pb.TranslateRequest()
        request.CopyFrom(self._settings)
        request.request_id = self._request_id
        request.texts.extend(message.texts)
        first = self._next_index
        self._next_index += len(message.texts)
        return request, first

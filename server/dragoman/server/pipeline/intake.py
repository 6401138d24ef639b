"""The texts of a request on their way in: checked, cut and numbered, each of them or its own error.

Only what concerns the request as a whole, such as the number of its texts, is raised.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits
from dragoman.glossary.terms import Term, problem, repeated
from dragoman.server.core.errors import InvalidRequest, UnsupportedByModel, Violation, quoted
from dragoman.server.core.limits import RequestLimits, check_number, check_number_of_terms
from dragoman.server.core.protection import ProtectedSpan
from dragoman.server.core.requests import OnTooLong, Request, TextSettings
from dragoman.server.text.preparing import (
    Find,
    PreparedText,
    check_text,
    prepare,
    prepare_given,
    unprotected,
    whole,
    with_prefix,
)
from dragoman.server.text.term_spans import FindTerms, no_terms, term_spans
from dragoman.server.text.terms import Glossary, TermFinder
from dragoman.server.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FieldNames:
    """What the texts of a request are called in the message that it came as."""

    texts: str
    text: str

    def of_text(self, index: int, name: str = "") -> str:
        """Where a text stands, or another field beside it."""
        return f"{self.texts}[{index}].{name or self.text}"


TRANSLATE = FieldNames("texts", "text")
SCORE = FieldNames("pairs", "source")


def field_names(request: Request) -> FieldNames:
    """The names in the message of this request."""
    return TRANSLATE if request.targets is None else SCORE


def check_terms(terms: Sequence[Term], most: int) -> None:
    """Refuse terms that are too many, that are none, or of which two are for the same."""
    check_number_of_terms(len(terms), sum(len(term.forms) for term in terms), most)
    wrong = [(number, *problem(term).partition(": ")[::2]) for number, term in enumerate(terms) if problem(term)]
    violations = [Violation(f"terms[{number}].{name}", message) for number, name, message in wrong]
    violations += [
        Violation(f"terms[{later}].source", f"{quoted(source)} is a source of terms[{earlier}] already")
        for later, source, earlier in repeated(terms)
    ]
    if violations:
        raise InvalidRequest.of(violations)


def _found(text: str, *, glossaries: Sequence[Glossary]) -> tuple[ProtectedSpan, ...]:
    return tuple(term_spans(text, glossaries))


class Intake:
    """Takes in the texts of one bundle's requests."""

    def __init__(
        self, tokenizer: Tokenizer, limits: RequestLimits, model_limits: Limits, settings: TextSettings | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._limits = limits
        self._model_limits = model_limits
        self._settings = settings or TextSettings()

    def check(self, request: Request) -> list[str | InvalidRequest]:
        """The texts; in place of one that is too large or malformed, itself or what goes with it, its error."""
        names = field_names(request)
        if not request.texts:
            raise InvalidRequest(names.texts, f"empty: send at least one {names.texts.removesuffix('s')}")
        check_number(len(request.texts), self._limits.max_texts, names.texts)
        check_terms(request.terms, self._limits.max_terms)
        if any(request.contexts) and not self._tokenizer.reads_context:
            first = next(index for index, context in enumerate(request.contexts) if context)
            field = names.of_text(first, "context")
            raise UnsupportedByModel(field, "this model was not trained to read what comes before a text: leave it out")
        return [self._checked(request, index, names) for index in range(len(request.texts))]

    def prepare(
        self,
        request: Request,
        texts: Sequence[str | InvalidRequest],
        pair: LanguagePair,
        decoding: Decoding,
        find: Find = unprotected,
        glossaries: Sequence[Glossary] = (),
        most_tokens: int | None = None,
    ) -> Generator[None, None, list[PreparedText | InvalidRequest]]:
        """Cut and number the checked texts of a request that is decoded with these settings, in which `find` says what
        is protected, and the glossaries' terms hold besides its own. Segments have `most_tokens`, or as many as the
        model reads.

        Yields wherever it may be put off.
        """
        known = [*([Glossary("", TermFinder(request.terms))] if request.terms else []), *glossaries]
        find_terms = partial(_found, glossaries=known) if known else no_terms
        limits = self._model_limits
        if most_tokens is not None and most_tokens < limits.max_source_tokens:
            limits = replace(limits, max_source_tokens=most_tokens)
        yield
        prepared: list[PreparedText | InvalidRequest] = []
        room = self._limits.backlog_tokens
        for index, text in enumerate(texts):
            if isinstance(text, InvalidRequest):
                prepared.append(text)
            else:
                made = yield from self._prepare(request, index, text, pair, decoding, find, find_terms, room, limits)
                room -= 0 if isinstance(made, InvalidRequest) else len(made.context) * len(made.ids)
                prepared.append(made)
            yield
        return prepared

    def _checked(self, request: Request, index: int, names: FieldNames) -> str | InvalidRequest:
        given = [(names.of_text(index), request.texts[index])]
        if request.prefixes:
            given.append((names.of_text(index, "target_prefix"), request.prefixes[index]))
        if request.contexts:
            given.append((names.of_text(index, "context"), request.contexts[index]))
        if request.targets is not None:
            given.append((names.of_text(index, "target"), request.targets[index]))
        checked = [check_text(text, field, self._limits.max_text_bytes) for field, text in given]
        return next((text for text in checked if isinstance(text, InvalidRequest)), checked[0])

    def _prepare(
        self,
        request: Request,
        index: int,
        text: str,
        pair: LanguagePair,
        decoding: Decoding,
        find: Find,
        find_terms: FindTerms,
        most_context: int,
        limits: Limits,
    ) -> Generator[None, None, PreparedText | InvalidRequest]:
        """A text with its given translation, or else in segments and with the prefix that the request may have."""
        if request.targets is not None:
            return self._given(index, text, request.targets[index], pair, limits)
        asked = self._settings.asked(request)
        prepared = yield from prepare(
            text,
            field=TRANSLATE.of_text(index),
            tokenizer=self._tokenizer,
            splitting=asked.splitting,
            pair=pair,
            max_tokens=limits.max_source_tokens,
            is_for_memory=limits is not self._model_limits,
            split_long=asked.on_too_long is OnTooLong.SPLIT,
            truncates=asked.on_too_long is OnTooLong.TRUNCATE,
            find=find,
            find_terms=find_terms,
            beside=request.prefixes[index] if request.prefixes else "",
            form=request.format,
            attributes=request.translate_attributes,
            context=request.contexts[index] if request.contexts else "",
            most_context=most_context,
        )
        if isinstance(prepared, PreparedText) and request.whole_field:
            name = request.whole_field
            prepared = whole(prepared, field=f"decoding.{name}", what=f"a choice of {name}")
        if isinstance(prepared, InvalidRequest) or not request.prefixes:
            return prepared
        field, prefix = TRANSLATE.of_text(index, "target_prefix"), request.prefixes[index]
        return with_prefix(prepared, prefix, field=field, tokenizer=self._tokenizer, decoding=decoding)

    def _given(
        self, index: int, text: str, target: str, pair: LanguagePair, limits: Limits
    ) -> PreparedText | InvalidRequest:
        fields = SCORE.of_text(index), SCORE.of_text(index, "target")
        return prepare_given(text, target, fields=fields, tokenizer=self._tokenizer, pair=pair, limits=limits)

"""The served bundles, and which of them a request means.

A request names a model, or a language pair, or neither where only one model is served. Tags are compared without
regard to case, and a tag that nothing serves falls back to its language: `pt-BR` to `pt`.
"""

import re
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from dragoman.bundle.directions import MOST_LISTED, Directions
from dragoman.bundle.manifest import LanguagePair
from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import InvalidRequest, StartError, UnknownModel, quoted
from dragoman.server.pipeline.pipeline import Pipeline

_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
MAX_TAG_LENGTH = 64


class ModelQuery(NamedTuple):
    """What a request says about the model; empty strings leave it open."""

    model: str = ""
    version: str = ""
    source_language: str = ""
    target_language: str = ""


class Models:
    """The served bundles by name, the newest version of each first, and those that come and go.

    Changed on the event loop alone; other threads read what is set as a whole.
    """

    def __init__(self, pipelines: Iterable[Pipeline] = ()) -> None:
        self._served: tuple[Pipeline, ...] = ()
        self.routes: dict[ModelQuery, Pipeline | None] = {}
        """For whoever remembers where requests lead; another one, and empty, when a bundle comes or goes."""
        self.known: dict[Hashable, Any] = {}
        """Likewise, for what is remembered of messages."""
        self.coming: tuple[Bundle, ...] = ()
        """Opened, and not yet served."""
        self.leaving: tuple[Pipeline, ...] = ()
        """Not called any more, and not yet closed."""
        self._calls: Counter[Pipeline] = Counter()
        for pipeline in pipelines:
            self.add(pipeline)

    def __iter__(self) -> Iterator[Pipeline]:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    @property
    def names(self) -> list[str]:
        """Each name once."""
        return list(dict.fromkeys(pipeline.name for pipeline in self._served))

    def add(self, pipeline: Pipeline) -> None:
        """Serve another bundle; calls that name no version get the one of their name that was added last."""
        if any((one.name, one.version) == (pipeline.name, pipeline.version) for one in self):
            raise StartError(f"two bundles are {pipeline.name} in version {pipeline.version}: serve one of them")
        self._serve((pipeline, *self._served))

    def leave(self, pipeline: Pipeline) -> None:
        """Call it no more; calls that are under way go on."""
        self.leaving = (*self.leaving, pipeline)
        self._serve(one for one in self._served if one is not pipeline)

    def _serve(self, pipelines: Iterable[Pipeline]) -> None:
        self._served = tuple(sorted(pipelines, key=lambda one: one.name))
        self.routes, self.known = {}, {}

    def gone(self, pipeline: Pipeline) -> None:
        """It has been closed."""
        self.leaving = tuple(one for one in self.leaving if one is not pipeline)
        del self._calls[pipeline]

    @contextmanager
    def calling(self, pipeline: Pipeline) -> Iterator[None]:
        """Keep a bundle open for as long as a call needs it."""
        self._calls[pipeline] += 1
        try:
            yield
        finally:
            self._calls[pipeline] -= 1

    def calls(self, pipeline: Pipeline) -> int:
        """Calls that are under way."""
        return self._calls[pipeline]

    def among(self, names: Container[str] | None) -> "Models":
        """Those with one of the names, which are all that a caller knows of; None: all."""
        if names is None:
            return self
        some = Models()
        some._served = tuple(pipeline for pipeline in self if pipeline.name in names)
        some.coming = tuple(bundle for bundle in self.coming if bundle.manifest.name in names)
        some.leaving = tuple(pipeline for pipeline in self.leaving if pipeline.name in names)
        return some

    def named(self, name: str, version: str = "", *, field: str = "model") -> Pipeline:
        """The bundle of this name, in this version if one is given."""
        versions = [pipeline for pipeline in self if pipeline.name == name]
        if not versions:
            served = f"served are {', '.join(self.names)}" if len(self) else "none is served"
            raise UnknownModel(field, f"no model is called {quoted(name)}; {served}")
        for pipeline in versions:
            if version in ("", pipeline.version):
                return pipeline
        field = "version" if field == "name" else "model_version"
        others = ", ".join(pipeline.version for pipeline in versions)
        raise UnknownModel(field, f"model {name} is not served in version {quoted(version)}, but in {others}")

    def between(self, source: str, target: str) -> list[Pipeline]:
        """The bundles that translate between these languages; an empty tag stands for any."""
        matches = _matching(list(self), ModelQuery(source_language=source, target_language=target))
        return list(dict.fromkeys(pipeline for pipeline, _ in matches))

    def route(self, query: ModelQuery) -> tuple[Pipeline, LanguagePair]:
        """The bundle that a request means and the pair it translates."""
        for field in ("source_language", "target_language"):
            tag = getattr(query, field)
            if tag and (len(tag) > MAX_TAG_LENGTH or not _TAG.fullmatch(tag)):
                raise InvalidRequest(field, f"{quoted(tag)} is not a BCP-47 language tag, such as en or pt-BR")
        names = [query.model] if query.model else self.names
        candidates = [self.named(name, query.version if query.model else "") for name in names]
        matches = _matching(candidates, query)
        if not matches:
            field = "source_language" if query.source_language else "target_language"
            raise UnknownModel(field, self._no_pair(query))
        if len(matches) > 1:
            raise InvalidRequest("model", self._several(matches))
        pipeline, pair = matches[0]
        return self.named(pipeline.name, query.version), pair

    def _no_pair(self, query: ModelQuery) -> str:
        who = f"model {query.model} does not translate" if query.model else "no model translates"
        pair = f"from {query.source_language or 'any language'} to {query.target_language or 'any language'}"
        served = [f"{name} ({pipeline.name})" for pipeline in self for name in pipeline.directions.names]
        return f"{who} {pair}; served are {', '.join(served)}"

    def _several(self, matches: list[tuple[Pipeline, LanguagePair]]) -> str:
        options = ", ".join(f"{pipeline.name} ({pair})" for pipeline, pair in matches[:MOST_LISTED])
        options += ", ..." if len(matches) > MOST_LISTED else ""
        return f"name a model or a language pair, several would do: {options}"


def joins(bundle: Bundle, source: str, target: str) -> bool:
    """Whether a bundle translates between these languages; an empty tag stands for any."""
    return bool(Directions.of(bundle.manifest).closest(source, target).pairs)


def _matching(candidates: Sequence[Pipeline], query: ModelQuery) -> list[tuple[Pipeline, LanguagePair]]:
    """The pairs that fit the request best."""
    tags = query.source_language, query.target_language
    matches = [(pipeline, pipeline.directions.closest(*tags)) for pipeline in candidates]
    best = max((match.closeness for _, match in matches), default=-1)
    return [(pipeline, pair) for pipeline, match in matches if match.closeness == best for pair in match.pairs]

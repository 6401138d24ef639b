"""The served bundles, and which of them a request means.

A request names a model, or a language pair, or neither where only one bundle is served. Tags are compared without
regard to case, and a tag that nothing serves falls back to its language: `pt-BR` to `pt`.
"""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from dragoman.bundle.directions import MOST_LISTED
from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.errors import InvalidRequest, StartError, UnknownModel, quoted
from dragoman.server.pipeline.pipeline import Pipeline

_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
MAX_TAG_LENGTH = 64


@dataclass(frozen=True)
class ModelQuery:
    """What a request says about the model; empty strings leave it open."""

    model: str = ""
    version: str = ""
    source_language: str = ""
    target_language: str = ""


class Models:
    """All served bundles by name."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._by_name = {pipeline.name: pipeline for pipeline in sorted(pipelines, key=lambda pipeline: pipeline.name)}
        if len(self._by_name) < len(pipelines):
            names = sorted(pipeline.name for pipeline in pipelines)
            twice = sorted({name for name in names if names.count(name) > 1})
            raise StartError(
                f"two bundles have the name {', '.join(twice)}: serve one of them, or export it under another"
            )

    def __iter__(self) -> Iterator[Pipeline]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def among(self, names: Container[str] | None) -> "Models":
        """Those with one of the names, which are all that a caller knows of; None: all."""
        return self if names is None else Models([pipeline for pipeline in self if pipeline.name in names])

    def named(self, name: str, version: str = "", *, field: str = "model") -> Pipeline:
        """The bundle of this name, in this version if one is given."""
        pipeline = self._by_name.get(name)
        if pipeline is None:
            raise UnknownModel(field, f"no model is called {quoted(name)}; served are {', '.join(self._by_name)}")
        if version not in ("", pipeline.version):
            field = "version" if field == "name" else "model_version"
            message = f"model {name} is not served in version {quoted(version)}, but in {pipeline.version}"
            raise UnknownModel(field, message)
        return pipeline

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
        candidates = [self.named(query.model, query.version)] if query.model else list(self)
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


def _matching(candidates: Sequence[Pipeline], query: ModelQuery) -> list[tuple[Pipeline, LanguagePair]]:
    """The pairs that fit the request best."""
    tags = query.source_language, query.target_language
    matches = [(pipeline, pipeline.directions.closest(*tags)) for pipeline in candidates]
    best = max((match.closeness for _, match in matches), default=-1)
    return [(pipeline, pair) for pipeline, match in matches if match.closeness == best for pair in match.pairs]

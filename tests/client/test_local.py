"""Translating in this process: the client's words for the server's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.client import (
    DragomanError,
    Engine,
    FinishReason,
    InvalidRequest,
    Options,
    Splitting,
    Translation,
    codec,
    local,
)
from dragoman.server import domain


class FakeTranslator:
    """Stands for LocalTranslator: keeps what it is asked, answers in capitals."""

    def __init__(self, reason: domain.FinishReason = domain.FinishReason.STOP) -> None:
        self.bundle = SimpleNamespace(manifest=SimpleNamespace(pairs=(LanguagePair("en", "pt"),)))
        self.calls: list[tuple[Any, ...]] = []
        self.reason = reason

    def translate(self, texts: list[str], *rest: Any) -> list[domain.Translation]:
        self.calls.append((texts, *rest))
        return [
            domain.Translation(
                hypotheses=(domain.TextHypothesis(text.upper(), -3.0, -1.5),),
                finish_reason=self.reason,
                engine=domain.Engine.BEAM if text else None,
                source_tokens=2,
                target_tokens=3,
                segments=1,
                steps=4,
                timings=domain.Timings(),
            )
            for text in texts
        ]


def translate(translator: FakeTranslator, options: Options, texts: list[str]) -> list[Translation]:
    """All translations, two at a time."""
    return list(local.translate_batches(cast(Any, translator), codec.batches(texts, 2), options))


def test_texts_go_in_batches_and_come_back_in_order() -> None:
    """With every fact that the server's translation holds."""
    translator = FakeTranslator()

    translations = translate(translator, Options(), ["a", "", "c"])

    assert [call[0] for call in translator.calls] == [["a", ""], ["c"]]
    assert [(one.text, one.engine) for one in translations] == [("A", Engine.BEAM), ("", None), ("C", Engine.BEAM)]
    first = translations[0]
    assert (first.source_tokens, first.target_tokens, first.pieces, first.decode_steps) == (2, 3, 1, 4)
    assert (first.hypotheses[0].log_probability, first.hypotheses[0].score) == (-3.0, -1.5)


def test_options_become_the_overrides_of_the_same_name() -> None:
    """And what is not set stays the bundle's own."""
    translator = FakeTranslator()

    translate(translator, Options(beam_size=4, shortlist=False, splitting=Splitting.LINES, source_language="en"), ["a"])

    [(_, overrides, splitting, *languages)] = translator.calls
    assert overrides == domain.DecodingOverrides(beam_size=4, shortlist=False)
    assert (splitting, languages) == (domain.Splitting.LINES, ["en", ""])


@pytest.mark.parametrize("reason", domain.FinishReason)
def test_every_reason_of_the_server_is_known(reason: domain.FinishReason) -> None:
    """So are its engines and ways of splitting."""
    assert translate(FakeTranslator(reason), Options(), ["a"])[0].finish_reason is FinishReason[reason.name]
    assert set(domain.Engine.__members__) <= set(Engine.__members__)
    assert set(domain.Splitting.__members__) == set(Splitting.__members__)


@pytest.mark.parametrize(
    ("options", "source", "target"),
    [
        (Options(source_language="EN", target_language="PT"), "en", "pt"),
        (Options(source_language="en-US", target_language="pt-BR"), "en", "pt"),
        (Options(target_language="pt-br"), "", "pt"),
    ],
)
def test_language_tags_match_as_on_a_server(options: Options, source: str, target: str) -> None:
    """Without regard to case, and a tag that the bundle has not falls back to its language."""
    translator = FakeTranslator()

    assert [one.text for one in translate(translator, options, ["a"])] == ["A"]
    assert translator.calls[0][-2:] == (source, target)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(model="m", patience=2.0), "model, patience: needs a server"),
        (Options(target_language="de"), r"does not translate \*-de, it translates en-pt"),
        (Options(source_language="pt", target_language="en"), "does not translate pt-en"),
    ],
)
def test_what_the_bundle_cannot_do_is_refused_before_anything_is_decoded(options: Options, named: str) -> None:
    """No option is ignored."""
    translator = FakeTranslator()

    with pytest.raises(InvalidRequest, match=named):
        translate(translator, options, ["a"])
    assert translator.calls == []


def test_a_bundle_that_is_not_there_is_an_error_of_the_client(tmp_path: Path) -> None:
    """With the reader's own message."""
    with pytest.raises(DragomanError) as caught, local.local_translator(tmp_path / "nowhere"):
        pass

    assert "nowhere" in str(caught.value)
    assert caught.value.code == "FAILED_PRECONDITION"

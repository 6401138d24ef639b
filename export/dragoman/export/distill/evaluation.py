"""How good bundles are in the end: an evaluation set through our own engine, decoder by decoder, beside the teacher."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.client.commands.local import local_translator, translate_batches
from dragoman.client.errors import DragomanError
from dragoman.client.types import EnginePreference, Nat, Options, Splitting
from dragoman.export.core.errors import ExportError


@dataclass(frozen=True)
class EvaluationSet:
    """Sources and what their translations are compared with."""

    sources: Sequence[str]
    references: Sequence[str]
    origin: str
    """Where they are from, in words."""


@dataclass(frozen=True)
class Row:
    """How well and how fast a bundle translates when it is decoded in one way."""

    name: str
    bleu: float
    chrf: float
    words_per_second: float
    """Source words, all texts at once, with all lanes."""


def scores(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU (13a) and chrF2 of translations."""
    import sacrebleu

    wanted = [list(references)]
    return {
        "bleu": round(sacrebleu.corpus_bleu(list(translations), wanted).score, 2),
        "chrf": round(sacrebleu.corpus_chrf(list(translations), wanted).score, 2),
    }


def options_by_name(kinds: Sequence[str]) -> dict[str, Options]:
    """The ways to decode a bundle with these decoders, by names for people."""
    options = {
        "greedy": Options(engine=EnginePreference.GREEDY, splitting=Splitting.SENTENCES),
        "beam 4": Options(engine=EnginePreference.BEAM, beam_size=4, splitting=Splitting.SENTENCES),
    }
    if "ctc" in kinds:
        options["ctc"] = _nat("ctc", 1)
    if "mask-predict" in kinds:
        options |= {f"mask-predict, {n} pass{'es' * (n > 1)}": _nat("mask-predict", n) for n in (1, 2, 4)}
    return options


def _nat(decoder: str, passes: int) -> Options:
    return Options(engine=EnginePreference.NAT, nat=Nat(decoder=decoder, passes=passes), splitting=Splitting.SENTENCES)


def evaluate(bundle: Path, name: str, kinds: Sequence[str], test: EvaluationSet) -> list[Row]:
    """A row for each way to decode a bundle."""
    rows, words = [], sum(len(text.split()) for text in test.sources)
    with local_translator(bundle) as translator:
        for way, options in options_by_name(kinds).items():
            started_s = time.monotonic()
            outcomes = list(translate_batches(translator, [list(test.sources)], options))
            seconds = time.monotonic() - started_s
            failed = [outcome for outcome in outcomes if isinstance(outcome, DragomanError)]
            if failed:
                raise ExportError(f"{name}, {way}: {failed[0]}")
            texts = [outcome.text for outcome in outcomes if not isinstance(outcome, DragomanError)]
            quality = scores(texts, test.references)
            rows.append(Row(f"{name}: {way}", quality["bleu"], quality["chrf"], words / seconds))
    return rows

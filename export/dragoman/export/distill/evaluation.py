"""How good bundles are in the end: a test set through our own engine, decoder by decoder, beside the teacher."""

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
class Measured:
    """Sources and what their translations are compared with."""

    sources: Sequence[str]
    references: Sequence[str]
    origin: str
    """Where they are from, in words."""


@dataclass(frozen=True)
class Row:
    """One way to decode one bundle."""

    name: str
    bleu: float
    chrf: float
    words_per_second: float
    """Source words, all texts at once, with all lanes."""


def scores(found: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU (13a) and chrF2 of translations."""
    import sacrebleu

    wanted = [list(references)]
    return {
        "bleu": round(sacrebleu.corpus_bleu(list(found), wanted).score, 2),
        "chrf": round(sacrebleu.corpus_chrf(list(found), wanted).score, 2),
    }


def ways(kinds: Sequence[str]) -> dict[str, Options]:
    """How a bundle with these decoders can be asked, by a name for people."""
    found = {
        "greedy": Options(engine=EnginePreference.GREEDY, splitting=Splitting.SENTENCES),
        "beam 4": Options(engine=EnginePreference.BEAM, beam_size=4, splitting=Splitting.SENTENCES),
    }
    if "ctc" in kinds:
        found["ctc"] = _nat("ctc", 1)
    if "mask-predict" in kinds:
        found |= {f"mask-predict, {n} pass{'es' * (n > 1)}": _nat("mask-predict", n) for n in (1, 2, 4)}
    return found


def _nat(decoder: str, passes: int) -> Options:
    return Options(engine=EnginePreference.NAT, nat=Nat(decoder=decoder, passes=passes), splitting=Splitting.SENTENCES)


def evaluate(bundle: Path, name: str, kinds: Sequence[str], test: Measured) -> list[Row]:
    """The rows of one bundle."""
    rows, words = [], sum(len(text.split()) for text in test.sources)
    with local_translator(bundle) as translator:
        for way, options in ways(kinds).items():
            started_s = time.monotonic()
            outcomes = list(translate_batches(translator, [list(test.sources)], options))
            seconds = time.monotonic() - started_s
            failed = [one for one in outcomes if isinstance(one, DragomanError)]
            if failed:
                raise ExportError(f"{name}, {way}: {failed[0]}")
            texts = [one.text for one in outcomes if not isinstance(one, DragomanError)]
            found = scores(texts, test.references)
            rows.append(Row(f"{name}: {way}", found["bleu"], found["chrf"], words / seconds))
    return rows

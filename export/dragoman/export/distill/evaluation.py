"""How good bundles are in the end: an evaluation set through our own engine, decoder by decoder, beside the teacher."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dragoman.export.core.errors import ExportError
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import ServingError
from dragoman.server.core.requests import DecodingOverrides, EnginePreference, NatOverrides, Request


@dataclass(frozen=True)
class EvaluationSet:
    """Sources and what their translations are compared with."""

    sources: Sequence[str]
    references: Sequence[str]
    origin: str
    """A description of where the sentences are from."""


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


def requests_by_name(kinds: Sequence[str], texts: Sequence[str]) -> dict[str, Request]:
    """The ways to decode texts by a bundle with these decoders, by names for people."""
    plain = Request(tuple(texts))
    searched = replace(plain, decoder="self-attention" if "autoregressive" in kinds else None)
    beam = replace(searched, engine=EnginePreference.BEAM, overrides=DecodingOverrides(beam_size=4))
    requests = {"greedy": replace(searched, engine=EnginePreference.GREEDY), "beam 4": beam}
    if "ctc" in kinds:
        requests["ctc"] = _nat(plain, "ctc", 1)
    if "mask-predict" in kinds:
        requests |= {f"mask-predict, {n} pass{'es' * (n > 1)}": _nat(plain, "mask-predict", n) for n in (1, 2, 4)}
    return requests


def _nat(request: Request, decoder: str, passes: int) -> Request:
    return replace(request, engine=EnginePreference.NAT, nat=NatOverrides(passes=passes, decoder=decoder))


def evaluate(bundle: Path, name: str, kinds: Sequence[str], test: EvaluationSet) -> list[Row]:
    """A row for each way to decode a bundle."""
    rows, words = [], sum(len(text.split()) for text in test.sources)
    with LocalTranslator(bundle) as translator:
        for way, request in requests_by_name(kinds, test.sources).items():
            started_s = time.monotonic()
            outcomes = translator.outcomes(request)
            seconds = time.monotonic() - started_s
            failed = [outcome for outcome in outcomes if isinstance(outcome, ServingError)]
            if failed:
                raise ExportError(f"{name}, {way}: {failed[0]}")
            texts = [outcome.text for outcome in outcomes if not isinstance(outcome, ServingError)]
            quality = scores(texts, test.references)
            rows.append(Row(f"{name}: {way}", quality["bleu"], quality["chrf"], words / seconds))
    return rows

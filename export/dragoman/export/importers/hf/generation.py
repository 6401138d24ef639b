"""How a Hugging Face model is decoded by default: `generation_config.json`, or what `config.json` still says of it.

What changes a translation and is not decoded with is said in a note, never passed over: the network is the same, and
whoever exports it may want it all the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.bundle.manifest import Architecture, Decoding, EarlyStopping
from dragoman.bundle.rules import MAX_BEAM_SIZE, MAX_LENGTH_FACTOR, MAX_LENGTH_PENALTY, MAX_REPETITION_PENALTY
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.hf.config import Family

STOPPING: dict[object, EarlyStopping] = {False: "heuristic", None: "heuristic", True: "first", "never": "exhaustive"}
LONGEST = 1 << 20
"""Lengths above this are not believed."""
NEUTRAL: dict[str, tuple[object, ...]] = {
    "do_sample": (False,),
    "encoder_repetition_penalty": (1, 1.0),
    "diversity_penalty": (0, 0.0),
    "num_beam_groups": (1,),
    "exponential_decay_length_penalty": (),
    "begin_suppress_tokens": ([],),
    "sequence_bias": (),
    "force_words_ids": (),
    "constraints": (),
    "guidance_scale": (1, 1.0),
    "penalty_alpha": (0, 0.0),
}
"""Options that decoding here does not have, and the values with which they do nothing."""


@dataclass(frozen=True)
class Generation:
    """Decoding defaults, and the ids that they speak of."""

    decoding: Decoding
    start_id: int
    eos_id: int
    suppressed_ids: tuple[int, ...]
    forced_first_id: int | None
    """What every translation begins with, whatever its language is."""
    renormalizes: bool
    """Scores are normalised again after suppression."""
    notes: tuple[str, ...]


class _Options:
    """Generation options before those of the model's configuration, with their types checked."""

    def __init__(self, generation: Mapping[str, Any], config: Mapping[str, Any], reasons: Reasons) -> None:
        self._generation, self._config, self._reasons = generation, config, reasons

    def raw(self, name: str) -> Any:
        value = self._generation.get(name)
        return self._config.get(name) if value is None else value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.raw(name)
        value = default if value is None else value
        if type(value) is int and least <= value <= most:
            return value
        self._reasons.add(f"{name} must be a whole number from {least} to {most}, the model says {short(value)}")
        return least

    def number(self, name: str, default: float, most: float, *, above: bool = False) -> float:
        """A number up to `most`; with `above`, zero is too little."""
        value = self.raw(name)
        value = default if value is None else value
        if type(value) in (int, float) and 0 <= value <= most and (value > 0 or not above):
            return float(value)
        least = "above" if above else "from"
        self._reasons.add(f"{name} must be a number {least} 0 to {most:g}, the model says {short(value)}")
        return default

    def word(self, name: str, vocabulary: int) -> int | None:
        """An id, or a list of one."""
        value = self.raw(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is None or (type(value) is int and 0 <= value < vocabulary):
            return value
        self._reasons.add(f"{name} must be one id below {vocabulary}, the model says {short(value)}")
        return None


def read_generation(
    generation: Mapping[str, Any], config: Mapping[str, Any], family: Family, arch: Architecture, reasons: Reasons
) -> Generation:
    """Decoding defaults for the profile `hf`."""
    options, words = _Options(generation, config, reasons), arch.target_vocabulary
    start = options.word("decoder_start_token_id", words)
    start = family.start if start is None else start
    start = options.word("bos_token_id", words) if start is None and family.starts_with_bos else start
    if start is None or start >= words:
        reasons.add("decoder_start_token_id is missing: say in generation_config.json what the decoder begins with")
    eos = options.word("eos_token_id", words)
    reasons.require(eos is not None, "eos_token_id is missing: say in generation_config.json what ends a translation")
    suppressed, left_out = _suppressed(options, words)
    reasons.require(eos not in suppressed, "the end token is among the words that are never emitted (bad_words_ids)")
    length, length_note = _length(options, arch)
    beam = options.whole("num_beams", 1, 1, MAX_BEAM_SIZE)
    ngram = options.whole("encoder_no_repeat_ngram_size", 0, 0, LONGEST)
    has_one = arch.source_vocabulary == words
    foreign = ("not decoded with: encoder_no_repeat_ngram_size, as the source's words are not the target's",)
    stopping = options.raw("early_stopping")
    if stopping not in (False, True, None, "never"):
        reasons.add(f"early_stopping must be true, false or 'never', the model says {short(stopping)}")
        stopping = None
    decoding = Decoding(
        profile="hf",
        beam_size=beam,
        num_hypotheses=options.whole("num_return_sequences", 1, 1, beam),
        length_penalty=options.number("length_penalty", 1.0, MAX_LENGTH_PENALTY),
        max_length=length,
        max_length_factor=MAX_LENGTH_FACTOR,
        early_stopping=STOPPING[stopping],
        min_length=min(_min_length(options), length),
        repetition_penalty=options.number("repetition_penalty", 1.0, MAX_REPETITION_PENALTY, above=True),
        no_repeat_ngram_size=options.whole("no_repeat_ngram_size", 0, 0, LONGEST),
        source_no_repeat_ngram_size=ngram if has_one else 0,
        unknown_handling="allow",
        forced_last_id=options.word("forced_eos_token_id", words),
    )
    return Generation(
        decoding,
        start_id=start or 0,
        eos_id=eos or 0,
        suppressed_ids=suppressed,
        forced_first_id=options.word("forced_bos_token_id", words),
        renormalizes=options.raw("renormalize_logits") is True,
        notes=(*length_note, *left_out, *(foreign if ngram and not has_one else ()), *_not_decoded_with(options)),
    )


def _suppressed(options: _Options, words: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Ids that are never emitted, and a note where words of several ids cannot be suppressed."""
    sequences = options.raw("bad_words_ids") or []
    single = options.raw("suppress_tokens") or []
    sequences = [*sequences, *([word] for word in single)] if isinstance(sequences, list | tuple) else []
    known = [s for s in sequences if isinstance(s, list) and len(s) == 1 and type(s[0]) is int and 0 <= s[0] < words]
    notes = (
        ("not decoded with: bad_words_ids of several words, only single words are suppressed",)
        if len(known) < len(sequences)
        else ()
    )
    return tuple(sorted({s[0] for s in known})), notes


def _length(options: _Options, arch: Architecture) -> tuple[int, tuple[str, ...]]:
    """Target tokens with the end token. transformers counts what the decoder begins with too."""
    new, total = options.raw("max_new_tokens"), options.raw("max_length")
    if new is not None:
        return min(options.whole("max_new_tokens", 1, 1, LONGEST), arch.max_positions), ()
    if total is None:
        note = f"no max_length is given: at most {arch.max_positions} target tokens, as many as there are positions"
        return arch.max_positions, (note,)
    return min(options.whole("max_length", 2, 2, LONGEST) - 1, arch.max_positions), ()


def _min_length(options: _Options) -> int:
    """Target tokens without the end token: the greater of what either option asks for."""
    with_start = options.whole("min_length", 0, 0, LONGEST)
    return max(with_start - 1, options.whole("min_new_tokens", 0, 0, LONGEST))


def _not_decoded_with(options: _Options) -> Iterator[str]:
    for name, neutral in NEUTRAL.items():
        value = options.raw(name)
        if value is not None and value not in neutral:
            yield f"not decoded with: {name} {short(value)}"

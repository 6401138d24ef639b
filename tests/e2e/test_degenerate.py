"""Inputs that are hardly text, on the model that comes with the project: each ends in time that is proportional to its
length, and says what is wrong with what came of it. Text that is text is left in peace.
"""

import base64
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import EnginePreference, OnLoop, Request
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.translations import Translation

DEFAULT = Path(__file__).parents[2] / "models" / "en-pt"
NOISE = random.Random(1)
LOOPING = (
    "It reclaims google, altavista, dejanews, freshmeat, research index, slashdot and many others from the "
    "false-prophet, pox-infested heathen lands of html-forms, placing these wonders where they belong, deep in unix "
    "heartland, as god loving extensions to the shell."
)

GARBLED = {"repetition", "length_ratio", "wrong_language", "untranslated", "number_changed"}
INPUTS: dict[str, tuple[str, set[str], set[str]]] = {
    # What it is: the text, the warnings that it must have, and those that it may have besides.
    "a loop": (LOOPING, {"repetition"}, set()),
    "one word 5,000 times": ("word " * 5_000, set(), {"length_ratio", "repetition"}),
    "one short word": ("no " * 50, set(), {"untranslated"}),
    "one letter 3,000 times": ("a" * 3_000, set(), {"length_ratio"}),
    "letters apart": ("a " * 2_000, set(), {"length_ratio"}),
    "laughter": ("ha" * 1_500, set(), {"length_ratio"}),
    "one sentence 200 times": ("The house is small. " * 200, set(), set()),
    "a clause without an end": ("the house is small and " * 100, set(), {"length_ratio"}),
    "only emoji": ("🎉😀👩\u200d👧🚀" * 200, set(), set()),
    "emoji between words": ("Party 🎉 time 🎉 now 🎉 " * 50, set(), set()),
    "keyboard noise": ("asdkjh qwelkj zxcmnb qpwoei " * 30, set(), GARBLED),
    "other noise": ("".join(NOISE.choice("asdfghjklqwertyuiopzxcvbnm     ") for _ in range(2_000)), set(), GARBLED),
    "10,000 spaces": (" " * 10_000, set(), set()),
    "spaces between words": ("hello" + " " * 10_000 + "world", set(), set()),
    "5,000 lines": ("\n" * 5_000, set(), set()),
    "one letter": ("a", set(), set()),
    "only punctuation": ("?!.,;:" * 400, set(), set()),
    "dots": ("." * 3_000, set(), set()),
    "underscores": ("_" * 2_000, set(), {"repetition"}),
    "brackets": ("(" * 2_000 + ")" * 2_000, set(), set()),
    "zero-width characters": ("\u200b" * 2_000, set(), set()),
    "zero-width characters in words": ("he\u200bllo wo\u200brld " * 40, set(), GARBLED),
    "marks of direction": ("\u202e" + "Hello \u200fworld\u200e " * 40, set(), {"length_ratio"}),
    "combining marks": ("e" + "\u0301" * 2_000, set(), {"untranslated"}),
    "control characters": ("\x00\x01\x02 hello \x7f", set(), set()),
    "base64": (base64.b64encode(NOISE.randbytes(600)).decode(), set(), GARBLED),
    "hexadecimal digits": ("deadbeef" * 150, set(), GARBLED),
    "a URL of 3 KB": ("https://example.org/" + "a1b2/" * 600, set(), set()),
    "capital letters": ("THIS IS A VERY IMPORTANT MESSAGE FOR ALL USERS. " * 10, set(), {"repetition", "length_ratio"}),
    "no spaces": ("thisisasentencewithoutanyspacesinitwhichgoesonandon" * 20, set(), GARBLED),
    "one digit after another": ("1234567890" * 200, {"number_changed"}, GARBLED),
    "one number 1,000 times": ("12 " * 1_000, set(), {"number_changed"}),
    "one adverb 300 times": ("This is " + "very " * 300 + "good.", set(), {"length_ratio"}),
    "Spanish": (
        "Si ha configurado su navegador para deshabilitar los encabezados, vuelva a habilitarlos para este sitio.",
        set(),
        {"wrong_language", "untranslated"},
    ),
    "German": (
        "Bitte geben Sie ein gültiges Kürzel ein, das nur aus Buchstaben, Ziffern und Bindestrichen besteht.",
        set(),
        {"wrong_language", "untranslated"},
    ),
    "the language that it is to become": ("Este pacote contém os arquivos de que o programa precisa.", set(), set()),
    "Japanese": ("このパッケージには、他の言語のファイルがあります。" * 5, {"untranslated"}, set()),
    "Russian": ("Этот пакет содержит файлы, нужные программе. " * 5, {"untranslated"}, set()),
    "mixed scripts": ("Hello мир 世界 שלום नमस्ते γεια " * 20, {"untranslated"}, set()),
    "markup": ('{"a": [1, 2, {"b": null}]}, ' * 60, set(), GARBLED),
}
FOREIGN = {"Spanish", "German"}
ATTENTION, RECURRENT = "self-attention", "ssru"
LOOPS_ELSEWHERE = {"a loop", "one short word", "brackets"}
"""What sends one of the two decoders round in circles and not the other."""


@pytest.fixture(scope="module")
def translator() -> Iterator[LocalTranslator]:
    with LocalTranslator(DEFAULT, threads=1) as translator:
        yield translator


def translated(translator: LocalTranslator, text: str, **request) -> Translation:
    [outcome] = translator.outcomes(Request((text,), **request))
    assert isinstance(outcome, Translation)
    return outcome


@pytest.mark.parametrize("decoder", [ATTENTION, RECURRENT])
@pytest.mark.parametrize("name", INPUTS)
def test_what_is_hardly_text_ends_soon_and_says_what_is_wrong(translator, name, decoder):
    """Steps and tokens are proportional to what the model reads, which is proportional to the text."""
    text, expected, possible = INPUTS[name]
    if decoder == RECURRENT and name in LOOPS_ELSEWHERE:
        expected, possible = expected - {"repetition"}, possible | {"repetition"}

    made = translated(translator, text, engine=EnginePreference.GREEDY, decoder=decoder)

    kinds = {warning.kind.value for warning in made.warnings}
    assert expected <= kinds <= expected | possible
    assert kinds or name not in FOREIGN
    assert (made.finish_reason is not FinishReason.REPETITION) or "repetition" in kinds
    assert made.source_tokens <= 2 * len(text) + 2
    assert made.target_tokens <= 2.5 * made.source_tokens + 3 * made.segments
    # At most three decodes of a segment, where it does not hold its protected spans.
    assert made.decode_steps <= 3 * (2.5 * made.source_tokens + made.segments)
    assert made.text.strip() or not text.strip()


@pytest.mark.parametrize("engine", [EnginePreference.GREEDY, EnginePreference.SPECULATIVE, EnginePreference.AUTO])
def test_a_loop_is_stopped_at_the_same_token_by_all_engines(translator, engine):
    """Far before its limit, and only where that is wanted."""
    stopped = translated(translator, LOOPING, engine=EnginePreference.GREEDY, decoder=ATTENTION)
    on = translated(translator, LOOPING, engine=engine, decoder=ATTENTION, on_loop=OnLoop.CONTINUE)

    made = translated(translator, LOOPING, engine=engine, decoder=ATTENTION)

    assert (made.text, made.target_tokens) == (stopped.text, stopped.target_tokens)
    assert made.finish_reason is FinishReason.REPETITION is not on.finish_reason
    assert on.text.startswith(made.text)
    assert on.target_tokens > 1.5 * made.target_tokens
    assert "repetition" in {warning.kind.value for warning in on.warnings}


def test_text_that_is_text_is_left_in_peace(translator, data):
    """Of 500 lines these have warnings, and a reader agrees: loops, and a year that was left out."""
    known = {
        "repetition": {
            "Elfutils",
            "This package provides single World War I",
            "GMT",
            "Wmctrl",
            "Surfraw",
            "Please read",
        },
        "number_changed": {"This is a port of Digital Psychosis"},
    }
    lines = (data / "dev.en").read_text("utf-8").splitlines()

    made = translator.translate(lines)

    wrong = [
        (line, warning)
        for line, translation in zip(lines, made, strict=True)
        for warning in translation.warnings
        if not line.startswith(tuple(known.get(warning.kind.value, ())))
    ]
    assert len(lines) == 500
    assert wrong == []

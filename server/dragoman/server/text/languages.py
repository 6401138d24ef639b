"""Which language a text is evidently not in: by its script, and by its letters.

Scripts are a table. Among languages of one script a linear model of byte sequences decides, `py3langid`, which was
trained on texts of many kinds. It is believed where the distance is large, and never between languages that it mixes
up. Names and abbreviations say nothing of a language: words with a capital letter are left out.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from py3langid.langid import MODEL_FILE, LanguageIdentifier

MOST_CHARACTERS, LONGEST_WORD = 140, 24
"""Of a longer text or word, what stands behind says nothing new."""
LEAST_LETTERS, LEAST_OTHERS = 24, 6
"""Fewer letters, of all scripts or of a foreign one, say nothing."""
FIRST_WORDS, CLEAR = 20, 3.0
"""If so many words of a text, each by itself, are by so much more of its language than of any other one, it is not
looked at any further: of 500 human translations these are 478, and of 25,000 texts beside eight languages each none is
told otherwise than by all of its letters."""
REMEMBERED_WORDS = 4096
"""Words that a process remembers what they say of: 2 MB."""
SURE = 20.0
"""The distance, in natural logarithms of a probability, from which the model is believed. Nearly all translations
are within 15 of their language, good ones and bad ones."""

_RANGES = {
    "Latn": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u0250-\u02af\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\uff21-\uff5a",
    "Grek": "\u0370-\u03ff\u1f00-\u1fff",
    "Cyrl": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "Armn": "\u0530-\u058f",
    "Hebr": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Arab": "\u0600-\u06ff\u0750-\u077f\u0870-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
    "Deva": "\u0900-\u097f\ua8e0-\ua8ff",
    "Beng": "\u0980-\u09ff",
    "Guru": "\u0a00-\u0a7f",
    "Gujr": "\u0a80-\u0aff",
    "Orya": "\u0b00-\u0b7f",
    "Taml": "\u0b80-\u0bff",
    "Telu": "\u0c00-\u0c7f",
    "Knda": "\u0c80-\u0cff",
    "Mlym": "\u0d00-\u0d7f",
    "Sinh": "\u0d80-\u0dff",
    "Thai": "\u0e00-\u0e7f",
    "Laoo": "\u0e80-\u0eff",
    "Tibt": "\u0f00-\u0fff",
    "Mymr": "\u1000-\u109f",
    "Geor": "\u10a0-\u10ff\u1c90-\u1cbf",
    "Ethi": "\u1200-\u139f",
    "Khmr": "\u1780-\u17ff",
    "Kana": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Hang": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "Hani": "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}
"""The letters of each script, as a class of characters."""

_SCRIPTS = {
    "Latn": """
        af az bs ca cs cy da de en eo es et eu fi fil fo fr ga gd gl ha hr ht hu id ig is it jv ku lb lt lv mg mi ms mt
        nb nl nn no oc pl pt qu ro rw se sk sl so sq su sv sw tl tr uz vi vo wa xh yo zu""",
    "Cyrl": "be bg ky mk mn ru tg tt uk",
    "Cyrl Latn": "kk sr",
    "Grek": "el",
    "Armn": "hy",
    "Hebr": "he iw yi",
    "Arab": "ar ckb fa ps sd ug ur",
    "Deva": "bho hi mai mr ne sa",
    "Beng": "as bn",
    "Guru": "pa",
    "Gujr": "gu",
    "Orya": "or",
    "Taml": "ta",
    "Telu": "te",
    "Knda": "kn",
    "Mlym": "ml",
    "Sinh": "si",
    "Thai": "th",
    "Laoo": "lo",
    "Tibt": "bo dz",
    "Mymr": "my",
    "Geor": "ka",
    "Ethi": "am ti",
    "Khmr": "km",
    "Hani": "wuu yue zh",
    "Kana Hani": "ja",
    "Hang Hani": "ko",
}
SCRIPTS: Mapping[str, frozenset[str]] = {
    language: frozenset(scripts.split()) for scripts, languages in _SCRIPTS.items() for language in languages.split()
}
"""The scripts that a language is written in."""

_ALIKE = (
    {"no", "nb", "nn", "da"},
    {"hr", "bs", "sr"},
    {"id", "ms", "jv"},
    {"pt", "gl"},
    {"cs", "sk"},
    {"hi", "mr", "ne"},
    {"xh", "zu"},
    {"ca", "oc"},
    {"be", "uk", "ru"},
    {"bg", "mk"},
    {"ar", "fa", "ps", "ur", "ug"},
    {"af", "nl"},
    {"fr", "wa", "oc", "ht"},
    {"bn", "as"},
    {"kk", "ky"},
)
"""Languages that the model mixes up."""


@functools.lru_cache(1024)
def primary(tag: str) -> str:
    """The language of a tag, without country and script."""
    return tag.replace("_", "-").partition("-")[0].lower()


def other_script(text: str, tag: str) -> str | None:
    """The script that most letters of a text are in, where that is none of the language's."""
    own = _scripts(tag)
    if not own or (text.isascii() and "Latn" in own):
        return None
    others = _letters_outside(own).findall(text)
    if len(others) < LEAST_OTHERS or 2 * len(others) <= sum(map(str.isalpha, text)):
        return None
    counts = {script: len(re.findall(f"[{letters}]", "".join(others))) for script, letters in _RANGES.items()}
    return max(counts, key=counts.__getitem__)


def other_language(words: Sequence[str], tag: str) -> str | None:
    """The language that the words of a text are in, where that is surely not the one of a tag."""
    model = _model()
    own, plain = model.index.get(primary(tag)), _plain(words)
    if own is None or model.lead(islice(plain, FIRST_WORDS), own) > CLEAR:
        return None
    text = _joined(plain, tag)
    if len(text) < LEAST_LETTERS:
        return None
    scores = model.scores(text)
    best = int(scores.argmax())
    if best == own or model.languages[best] in _alike(primary(tag)):
        return None
    return model.languages[best] if scores[best] - scores[own] > SURE else None


def preference(words: Sequence[str], tag: str, other: str) -> float | None:
    """By how much more the words of a text are in one language than in another one; None where that is not known."""
    model = _model()
    one, two = model.index.get(primary(tag)), model.index.get(primary(other))
    if one is None or two is None:
        return None
    scores = model.scores(_joined(_plain(words), tag))
    return float(scores[one] - scores[two])


def load() -> None:
    """Read the model, which takes a quarter of a second, before it is needed."""
    _model()


@functools.lru_cache(1024)
def _scripts(tag: str) -> frozenset[str]:
    """The scripts of a tag: the one that it names, or those of its language; none of one that is not known."""
    for part in tag.replace("_", "-").split("-")[1:]:
        if len(part) == 4 and part.title() in _RANGES:
            return frozenset({part.title()})
        if part.title() in ("Hans", "Hant"):
            return frozenset({"Hani"})
    return SCRIPTS.get(primary(tag), frozenset())


def _plain(words: Sequence[str]) -> Sequence[str]:
    """The words that are no names, each of them once, without the end of what is too long for a word."""
    return [*{word[:LONGEST_WORD]: None for word in words if len(word) > 1 and not word[0].isupper()}]


def _joined(words: Iterable[str], tag: str) -> str:
    """Those of the words that are in the language's script."""
    own = _scripts(tag)
    if own:
        outside = _letters_outside(own)
        words = (word for word in words if word.isascii() or not outside.search(word))
    return " ".join(words)[:MOST_CHARACTERS]


@functools.cache
def _letters_outside(scripts: frozenset[str]) -> re.Pattern[str]:
    """Letters that are of none of these scripts."""
    own = "".join(_RANGES[script] for script in sorted(scripts))
    return re.compile(rf"[^\W\d_{own}]")


@functools.cache
def _alike(language: str) -> frozenset[str]:
    return frozenset({language}.union(*(languages for languages in _ALIKE if language in languages)))


class _LanguageModel:
    """What `py3langid` has learnt: an automaton over bytes that names features, and their weights for each language."""

    def __init__(self) -> None:
        learnt: Any = LanguageIdentifier.from_pickled_model(MODEL_FILE)
        self._next: Sequence[int] = learnt.tk_nextmove
        states = len(self._next) // 256
        self._features: Sequence[Sequence[int]] = [learnt.tk_output.get(state, ()) for state in range(states)]
        self._weights: npt.NDArray[np.float32] = np.ascontiguousarray(learnt.nb_ptc)
        self._bias: npt.NDArray[np.float32] = learnt.nb_pc
        self.languages: Sequence[str] = learnt.nb_classes
        self.index = {language: number for number, language in enumerate(self.languages)}
        self._said_by = functools.lru_cache(REMEMBERED_WORDS)(lambda word: self._said(f" {word} "))

    def scores(self, text: str) -> npt.NDArray[np.float32]:
        """What a text says for each language, as natural logarithms of probabilities up to a constant."""
        scores: npt.NDArray[np.float32] = self._said(text) + self._bias
        return scores

    def lead(self, words: Iterable[str], own: int) -> float:
        """By how much words, each by itself, are more of one language than of any other one; below zero where they are
        not.
        """
        scores = self._bias.copy()
        for word in words:
            scores += self._said_by(word)
        score = float(scores[own])
        scores[own] = -np.inf
        return score - float(scores.max())

    def _said(self, text: str) -> npt.NDArray[np.float32]:
        """What the features of a text say for each language."""
        found, following, features, state = list[int](), self._next, self._features, 0
        for byte in text.encode("utf-8", "replace"):
            state = following[state << 8 | byte]
            if named := features[state]:
                found += named
        said: npt.NDArray[np.float32] = np.add.reduce(self._weights.take(np.array(found, np.intp), 0), 0)
        return said


@functools.cache
def _model() -> _LanguageModel:
    return _LanguageModel()

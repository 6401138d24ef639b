"""Which forms a model copies: of those that are put into texts, the share that comes back exactly once.

All candidates are tried in a few texts, the best of these in all. The first form is, of those whose share is hardly
below the best, the one that reads best in a sentence, which is what the order of the candidates says; the second keeps
what the first loses, as far as any does. A third stands for numbers, unless the first is a number itself.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dragoman.bundle.manifest import Form
from dragoman.export.probe.carriers import places

CANDIDATES = (
    "XX{n}",
    "N{n}",
    "X{n}",
    "100{n}",
    "R{n}",
    "Xyz{n}",
    "K{n}",
    "P{n}",
    "V{n}",
    "Z{n}",
    "Foo{n}",
    "[{n}]",
    "Q{n}Q",
    "A{n}",
    "ID{n}",
)
"""The first ones made the best translations of strings that have references, as BLEU and chrF say."""
NUMBERS = ("{n}00", "2{n}")
"""Candidates that stand for numbers: in any language more than a few, and never written with a mark in it."""
FIRST_TEXTS = 12
"""Texts that every candidate is tried in."""
LAST = 4
"""Candidates that are tried in all texts."""
NEAR = 0.02
"""A share that is lower by this much is no worse: so few texts do not tell."""
LEAST = 0.5
"""A form of which fewer come back is none."""

Translate = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class _Trial:
    """How a form came back from each of its places in texts."""

    form: str
    kept: tuple[bool, ...]

    @property
    def share(self) -> float:
        return sum(self.kept) / len(self.kept)

    def share_with(self, other: "_Trial") -> float:
        """What came back of it or of the other."""
        return sum(map(max, self.kept, other.kept)) / len(self.kept)


def best_forms(translate: Translate, carriers: Sequence[str]) -> tuple[Form, ...]:
    """The best two forms, or fewer where the model copies none."""
    first = [_tried(form, translate, carriers[:FIRST_TEXTS]) for form in CANDIDATES]
    able = [trial for trial in first if trial.share >= LEAST]
    last = {trial.form for trial in sorted(able, key=lambda trial: -trial.share)[:LAST]}
    # In the candidates' order, which decides between equals.
    trials = [_tried(trial.form, translate, carriers) for trial in able if trial.form in last]
    trials = [trial for trial in trials if trial.share >= LEAST]
    if not trials:
        return ()
    chosen = _best(trials)
    others = [trial for trial in trials if trial is not chosen]
    others = sorted(others, key=lambda trial: (-chosen.share_with(trial), -trial.share))[:1]
    numbers = [] if _is_number(chosen) else [_best([_tried(form, translate, carriers) for form in NUMBERS])]
    numbers = [trial for trial in numbers if trial.share >= LEAST]
    return tuple(Form(trial.form, round(trial.share, 4)) for trial in (chosen, *others, *numbers))


def _best(trials: Sequence[_Trial]) -> _Trial:
    """The first whose share is hardly below the best."""
    most = max(trial.share for trial in trials)
    return next(trial for trial in trials if trial.share >= most - NEAR)


def _is_number(trial: _Trial) -> bool:
    return trial.form.format(n=1).isdigit()


def _tried(form: str, translate: Translate, carriers: Sequence[str]) -> _Trial:
    names = [form.format(n=number) for number in (1, 2, 3)]
    answers = translate([carrier.format(*names) for carrier in carriers])
    pairs = zip(carriers, answers, strict=True)
    return _Trial(form, tuple(_is_kept(name, answer) for text, answer in pairs for name in names[: places(text)]))


def _is_kept(name: str, answer: str) -> bool:
    """Whether a form is in a translation exactly once, and not as a part of a word."""
    return len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", answer)) == 1

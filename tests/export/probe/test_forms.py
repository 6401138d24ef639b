"""Which forms a model copies."""

import re
from collections.abc import Sequence

from dragoman.bundle.manifest import Form
from dragoman.export.probe.carriers import carriers_of, places
from dragoman.export.probe.forms import CANDIDATES, FIRST_TEXTS, LAST, NUMBERS, best_forms

CARRIERS = carriers_of("en")


class _Model:
    """Loses what a pattern finds; counts the texts."""

    def __init__(self, lost: str) -> None:
        self._lost, self.texts = lost, 0

    def __call__(self, texts: Sequence[str]) -> list[str]:
        self.texts += len(texts)
        return [re.sub(self._lost, "", text) for text in texts]


def test_a_model_that_copies_all_gets_the_forms_that_read_best() -> None:
    """All candidates are tried in few texts, and only the best of them in all."""
    model = _Model("copies everything")

    assert best_forms(model, CARRIERS) == tuple(Form(each, 1.0) for each in (*CANDIDATES[:2], NUMBERS[0]))
    assert model.texts == len(CANDIDATES) * FIRST_TEXTS + (LAST + len(NUMBERS)) * len(CARRIERS)


def test_a_number_stands_for_numbers() -> None:
    """The one that comes back, if any does; where the first form is a number, there is no other."""
    assert best_forms(_Model("[123]00"), CARRIERS)[2] == Form(NUMBERS[1], 1.0)
    assert len(best_forms(_Model("[123]00|2[123]"), CARRIERS)) == 2
    assert [each.form for each in best_forms(_Model("XX|N|R|K|P|V|Z"), CARRIERS)] == ["X{n}", "100{n}", "{n}00"]
    assert [each.form for each in best_forms(_Model(r"[A-Z]+[a-z]*\d|\[\d\]|Q\dQ"), CARRIERS)] == ["100{n}"]


def test_a_little_worse_is_no_worse_and_much_worse_is() -> None:
    """So few texts do not tell shares apart that are close."""
    assert best_forms(_Model("XX1 messages"), CARRIERS)[0].form == "XX{n}"
    assert best_forms(_Model("XX2"), CARRIERS)[0].form == "N{n}"


def test_the_second_form_keeps_what_the_first_loses() -> None:
    """Though others come back as often."""
    lost = r"(?:XX|N)1 followers|R1 is required|\b(?:X|100|Xyz|K|P|V|Z|Foo|A|ID)\d\b|\[.\]|Q.Q"
    first, second, _ = best_forms(_Model(lost), CARRIERS)

    assert (first.form, second.form) == ("XX{n}", "R{n}")
    assert first.share == second.share == round(1 - 1 / sum(map(places, CARRIERS)), 4)


def test_a_form_must_come_back_once_and_whole() -> None:
    """Twice, or within another word, is not back."""
    assert best_forms(lambda texts: [f"{text} {text}" for text in texts], CARRIERS) == ()
    assert best_forms(lambda texts: [re.sub(r"\b(?=\S)|(?<=\S)\b", "a", text) for text in texts], CARRIERS) == ()


def test_what_comes_back_from_fewer_than_half_is_no_form() -> None:
    """Then there is one, or none."""
    assert best_forms(lambda texts: [""] * len(texts), CARRIERS) == ()
    only = best_forms(_Model(r"\b(?!XX)[A-Z]+[a-z]*\d|\[\d\]|100\d|Q\dQ|[123]00|2[123]"), CARRIERS)
    assert only == (Form("XX{n}", 1.0),)

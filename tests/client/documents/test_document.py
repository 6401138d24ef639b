"""Edits of a document."""

from collections.abc import Sequence

from dragoman.client.documents.document import Edit, Unit, spliced
from dragoman.client.documents.errors import Unwritable

UNITS = [Unit("b", ""), Unit("d", "")]


def bracketed(texts: Sequence[str]) -> str:
    """The texts in brackets, so that it shows that a stretch was written."""
    return f"[{''.join(texts)}]"


def test_only_the_stretches_of_edits_change() -> None:
    """In whichever order they are given."""
    edits = [Edit(3, 4, (1,), bracketed), Edit(1, 2, (0,), bracketed)]

    assert spliced("abcde", edits, UNITS, ["B", "D"]) == ("a[B]c[D]e", {})


def test_an_edit_waits_for_all_of_its_units() -> None:
    """One without a translation leaves the stretch as it is."""
    edits = [Edit(1, 4, (0, 1), bracketed)]

    assert spliced("abcde", edits, UNITS, ["B", None]) == ("abcde", {})


def test_what_translates_to_itself_is_not_written_anew() -> None:
    """But where the stretch holds something else than the source."""
    edits = [Edit(1, 2, (0,), bracketed), Edit(3, 4, (1,), bracketed, holds_source=False)]

    assert spliced("abcde", edits, UNITS, ["b", "d"]) == ("abc[d]e", {})


def test_edits_without_units_go_with_any_other() -> None:
    """Such as what a header says, which stays where nothing was translated."""
    edits = [Edit(0, 0, (), lambda texts: "!"), Edit(1, 2, (0,), bracketed)]

    assert spliced("abcde", edits, UNITS, ["b", None]) == ("abcde", {})
    assert spliced("abcde", edits, UNITS, ["B", None]) == ("!a[B]cde", {})


def test_what_cannot_be_written_is_named() -> None:
    """It costs no other unit, and the unit's other edits are not made either."""

    def refuse(texts: Sequence[str]) -> str:
        raise Unwritable("too long")

    edits = [Edit(0, 1, (0,), bracketed), Edit(1, 2, (0,), refuse), Edit(3, 4, (1,), bracketed)]

    assert spliced("abcde", edits, UNITS, ["B", "D"]) == ("abc[D]e", {0: "too long"})

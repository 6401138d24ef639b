"""Terms, and the files that hold them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.glossary.terms import (
    MAX_ENTRIES,
    MAX_FORMS,
    MAX_TERM_CHARACTERS,
    GlossaryError,
    Term,
    TermForm,
    problem,
    read_terms,
)


def test_a_line_is_a_term() -> None:
    """Sources, targets and options in columns; comments and blank lines are none, and a missing target means: keep."""
    first = "\ufeff# brands\r\nplugin\textensão\r\n\r\n \t \n"
    second = "  board game \tjogo de tabuleiro\tinflected case\nMarble Madness\n"

    assert read_terms(first + second) == (
        Term("plugin", "extensão"),
        Term("board game", "jogo de tabuleiro", inflected=True, case_sensitive=True),
        Term("Marble Madness", do_not_translate=True),
    )


def test_forms_have_translations_of_their_own_or_share_one() -> None:
    """The n-th form is translated by the n-th target; forms of what is kept have none."""
    assert read_terms("plugin|plugins\textensão|extensões\ngo|went | gone\tir\nZelmar|Zelmars\n") == (
        Term("plugin", "extensão", forms=(TermForm("plugins", "extensões"),)),
        Term("go", "ir", forms=(TermForm("went", "ir"), TermForm("gone", "ir"))),
        Term("Zelmar", do_not_translate=True, forms=(TermForm("Zelmars", ""),)),
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a\tb\tcase\td", "line 2: 4 columns, there are at most 3: source, target, options"),
        ("a\tb\tCase", "line 2: unknown option 'Case'; there are case, inflected"),
        ("\tb", "line 2: source: empty"),
        ("a|b\tc|d|e", "line 2: 3 translations of 2 forms: give one, or one for each"),
        ("a||b\tc", r"line 2: forms[0].source: empty"),
        ("a|b\tc|", r"line 2: forms[0].target: empty (or set do_not_translate, to keep the term as it is)"),
        ("x" * (MAX_TERM_CHARACTERS + 1), "line 2: source: 129 characters, the limit is 128"),
        ("a\x00b\tc", "line 2: source: must be one line of printable characters"),
        ("a\u2028b\tc", "line 2: source: must be one line of printable characters"),
        ("Fine\t x", "line 2: 'Fine' is on line 1 already"),
        ("y|fine \tx", "line 2: 'fine' is on line 1 already"),
        ("|".join(["a"] * (MAX_FORMS + 1)), "line 2: forms: 65 forms of one term, the limit is 64"),
    ],
)
def test_what_is_no_term_is_refused_with_its_line(line: str, reason: str) -> None:
    """The first line that is wrong, and what is wrong with it."""
    with pytest.raises(GlossaryError) as refused:
        read_terms(f"fine\tbom\n{line}\n")

    assert str(refused.value) == reason


def test_a_file_has_a_most() -> None:
    """One line more than the limit is refused."""
    with pytest.raises(GlossaryError, match=f"more than {MAX_ENTRIES} terms"):
        read_terms("".join(f"a{number}\n" for number in range(MAX_ENTRIES + 1)))


def test_a_term_is_kept_or_translated() -> None:
    """Both at once, and neither, are problems with the name of a field."""
    assert problem(Term("a", "b", do_not_translate=True)) == "target: must be empty, as do_not_translate is set"
    assert problem(Term("a")) == "target: empty (or set do_not_translate, to keep the term as it is)"
    assert problem(Term("a", do_not_translate=True)) == ""


FORM = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


def escaped(form: str) -> str:
    """A form as a file writes it."""
    return form.replace("\\", "\\\\").replace("|", "\\|")


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(FORM.filter(lambda form: not form.startswith("#")), FORM), min_size=1, max_size=4))
def test_any_form_can_be_written(pairs: list[tuple[str, str]]) -> None:
    """Bars and backslashes come back from behind a backslash."""
    columns = ("|".join(map(escaped, side)) for side in zip(*pairs, strict=True))

    [term] = read_terms("\t".join(columns) + "\n")

    assert [(form.source, form.target) for form in term.all_forms] == pairs

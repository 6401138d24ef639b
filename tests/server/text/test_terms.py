"""Finding terms in texts, beside a slow and obvious version."""
# ruff: noqa: RUF001 - the scripts and quotation marks are the point.

import functools
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.glossary.terms import Term, TermForm
from dragoman.server.text.terms import TermFinder, find


def found(text: str, *terms: Term) -> list[tuple[str, str]]:
    """What is found of the terms in a text, and what stands for it."""
    return [(text[match.span.start : match.span.end], match.put) for match in find(text, [TermFinder(terms)])]


@pytest.mark.parametrize(
    ("text", "term", "places"),
    [
        ("plugins, plug-in, plugin", "plugin", ["plugin"]),
        ("A Plugin, PLUGIN and plugin", "plugin", ["Plugin", "PLUGIN", "plugin"]),
        ("Straße, STRASSE", "strasse", ["Straße", "STRASSE"]),
        ("cafe\u0301s, cafe\u0301", "café", ["cafe\u0301"]),
        ("caf\u00e9\u0323", "café", []),
        ("board  game, board\u00a0game, board\ngame", "board game", ["board  game", "board\u00a0game"]),
        ("C++, C+, C", "C++", ["C++"]),
        ("C++, C+, C", "C", ["C", "C", "C"]),
        ("net .NET ASP.NET", ".net", [".NET", ".NET"]),
        ("Acme's, Acme’s, ‘Acme’, l'Acme", "Acme", ["Acme", "Acme", "Acme", "Acme"]),
        ("I can't, I can", "can", ["can"]),
        ("don’t worry", "don't worry", ["don’t worry"]),
        ("foo_bar foo", "foo", ["foo"]),
        ("Debian-based", "debian", ["Debian"]),
        ("1.5 5 0,5 5.", "5", ["5", "5"]),
        ("请安装服务器软件", "服务器", ["服务器"]),
        ("サーバーを再起動する", "サーバー", ["サーバー"]),
        ("서버를 재시작, 웹서버", "서버", ["서버"]),
        ("ติดตั้งเซิร์ฟเวอร์แล้ว", "เซิร์ฟเวอร์", ["เซิร์ฟเวอร์"]),
        ("Использует GNOME-оболочку", "gnome", ["GNOME"]),
        ("", "a", []),
    ],
)
def test_a_term_is_found_where_its_words_stand(text: str, term: str, places: list[str]) -> None:
    """In whatever case and way of writing, and never within a word, a number or a contraction."""
    assert [place for place, _ in found(text, Term(term, "x"))] == places


def test_the_longest_term_is_meant() -> None:
    """At each place, from left to right; what it covers is in no other one."""
    terms = [Term(source, f"<{source}>") for source in ("file", "file system", "system", "system call", "a file")]

    assert found("file system call of a file system", *terms) == [
        ("file system", "<file system>"),
        ("a file", "<a file>"),
        ("system", "<system>"),
    ]


def test_case_counts_where_it_is_asked_for() -> None:
    """A term with its case is meant before one without, whichever comes first."""
    terms = Term("apple", "maçã"), Term("Apple", "Apple Inc.", case_sensitive=True)

    assert found("Apple, apple, APPLE", *terms) == [("Apple", "Apple Inc."), ("apple", "maçã"), ("APPLE", "MAÇÃ")]


def test_the_first_of_equal_terms_is_meant() -> None:
    """Within a finder, and of several finders that know the same term."""
    first, second = TermFinder([Term("x", "1"), Term("X", "2")]), TermFinder([Term("x", "3"), Term("x y", "4")])

    assert [(match.finder, match.term, match.put) for match in find("x x y", [first, second])] == [
        (0, 0, "1"),
        (1, 1, "4"),
    ]


def test_plurals_are_found_where_they_are_asked_for() -> None:
    """In -s, -es and -ies, of the last word; a term of its own is never another one's plural."""
    assert found("box boxes proxies proxys box's", Term("box", "caixa"), Term("proxy", "x")) == [
        ("box", "caixa"),
        ("box", "caixa"),
    ]
    inflected = Term("box", "caixa", inflected=True), Term("proxy", do_not_translate=True, inflected=True)
    assert found("boxes' Proxies proxys", *inflected) == [
        ("boxes", "caixa"),
        ("Proxies", "Proxies"),
        ("proxys", "proxys"),
    ]
    assert found("new news", Term("new", "novo", inflected=True), Term("news", "notícias")) == [
        ("new", "novo"),
        ("news", "notícias"),
    ]


def test_each_form_has_its_own_translation() -> None:
    """Which stands with a capital, or in capitals, where its source is found so."""
    term = Term("plugin", "extensão", forms=(TermForm("plugins", "extensões"),))

    assert found("Plugins: a plugin, PLUGINS, A PLUGIN", term) == [
        ("Plugins", "Extensões"),
        ("plugin", "extensão"),
        ("PLUGINS", "EXTENSÕES"),
        ("PLUGIN", "EXTENSÃO"),
    ]


@pytest.mark.parametrize(("source", "found_as", "put"), [("IP", "IP", "ip"), ("x", "X", "Ip"), ("Web", "web", "ip")])
def test_a_translation_has_a_capital_only_where_the_term_has_none(source: str, found_as: str, put: str) -> None:
    """A term that always has one says nothing by it, and a letter alone is no word in capitals."""
    assert found(found_as, Term(source, "ip")) == [(found_as, put)]


def is_letter(char: str) -> bool:
    """Whether a character is a part of a word."""
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"


def is_alone(char: str) -> bool:
    """Whether a character is a word by itself."""
    return "\u4e00" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"


def is_cut(text: str, position: int) -> bool:
    """Whether words may end and begin here."""
    if position in (0, len(text)):
        return True
    before, after = text[position - 1], text[position]
    if unicodedata.category(after)[0] == "M":
        return before.isspace()
    base = text[:position].rstrip("".join(char for char in text if unicodedata.category(char)[0] == "M"))[-1:] or before
    return not (is_letter(base) and is_letter(after)) or is_alone(base) or is_alone(after)


@functools.cache
def plain(text: str) -> str:
    """What all ways of writing a text have in common."""
    spaced = "".join("\n" if char == "\n" else " " if char.isspace() else char for char in text)
    while "  " in spaced:
        spaced = spaced.replace("  ", " ")
    once = unicodedata.normalize("NFC", spaced.replace("’", "'"))
    return unicodedata.normalize("NFC", once.casefold())


def slowly(text: str, terms: list[Term]) -> list[tuple[int, int, int]]:
    """Every stretch of the text is compared with every way of writing every term."""
    ways = [(number, source, False) for number, term in enumerate(terms) for source in [term.source]]
    for number, term in enumerate(terms):
        if term.inflected and term.source[-1].isalpha() and not is_alone(term.source[-1]):
            ways += [(number, term.source + ending, True) for ending in ("s", "es")]
            ways += [(number, term.source[:-1] + "ies", True)] if term.source[-1] in "yY" else []
    ways.sort(key=lambda way: (not terms[way[0]].case_sensitive, way[2]))
    places, start = [], 0
    while start < len(text):
        place = next((p for end in range(len(text), start, -1) if (p := at(text, start, end, terms, ways))), None)
        places += [place] if place else []
        start = place[1] if place else start + 1
    return places


def at(text: str, start: int, end: int, terms: list[Term], ways: list[tuple[int, str, bool]]) -> tuple[int, ...] | None:
    """The term that is just this stretch."""
    stretch = text[start:end]
    if not (is_cut(text, start) and is_cut(text, end)) or stretch[0].isspace() or stretch[-1].isspace():
        return None
    if start and is_alone(text[start]) and text[start] >= "\uac00" and "\uac00" <= text[start - 1] <= "\ud7a3":
        return None
    rest = text[end:].replace("’", "'")
    if rest[:1] == "'" and text[end - 1].isalnum() and rest[1:2].isalnum():
        word = next(rest[1:n] for n in range(2, len(rest) + 1) if is_cut(rest, n))
        if plain(word) != "s":
            return None
    for number, way, _ in ways:
        term = terms[number]
        if plain(stretch) == plain(way):
            exact = [unicodedata.normalize("NFC", " ".join(x.replace("’", "'").split())) for x in (stretch, way)]
            if not term.case_sensitive or exact[0] == exact[1]:
                return (start, end, number)
    return None


LETTERS = st.sampled_from(
    ["a", "b", "A", "s", "e", "y", "ß", "é", "e\u0301", "ą", "中", "국", "어", "_", "'", "’", "-", "+"]
)
SOURCES = st.lists(LETTERS | st.just(" "), min_size=1, max_size=4).map("".join).map(str.strip).filter(bool)
TERMS = st.lists(
    st.builds(Term, SOURCES, st.just("x"), case_sensitive=st.booleans(), inflected=st.booleans()), max_size=5
)


@st.composite
def texts_and_terms(draw: st.DrawFn) -> tuple[str, list[Term]]:
    """Terms, and a text in which they stand, with plurals and beside anything."""
    terms = draw(TERMS)
    sources = [term.source for term in terms]
    written = [*sources, *(f"{source}s" for source in sources), *(f"{source[:-1]}ies" for source in sources)]
    between = LETTERS | st.sampled_from([" ", "  ", "\u00a0", "\n", ". "])
    parts = between if not written else between | st.sampled_from(written) | st.sampled_from(written).map(str.swapcase)
    return "".join(draw(st.lists(parts, max_size=12))), terms


@settings(max_examples=examples(200), deadline=None)
@given(texts_and_terms())
def test_the_tree_finds_what_a_slow_search_finds(given: tuple[str, list[Term]]) -> None:
    """Any texts and terms of letters that hurt: the same places, and the same terms."""
    text, terms = given

    assert [(*match.span, match.term) for match in find(text, [TermFinder(terms)])] == slowly(text, terms)


@settings(max_examples=examples(500), deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=40), st.text(st.characters(max_codepoint=127), min_size=1))
def test_ascii_is_a_shorter_way_to_the_same(text: str, source: str) -> None:
    """A text that is ASCII alone, and the same before a letter that is not, have the same terms."""
    finder = TermFinder([Term(source, "x")])

    assert list(find(text, [finder])) == [
        match for match in find(f"{text}\né", [finder]) if match.span.end <= len(text)
    ]


def test_thousands_of_terms_are_found_in_one_pass() -> None:
    """The steps taken depend on the text alone: each term of 5,000 is found once, in order."""
    terms = [Term(f"term{number} of many", f"t{number}") for number in range(5_000)]
    text = " and ".join(term.source for term in terms)

    assert [match.term for match in find(text, [TermFinder(terms)])] == list(range(5_000))

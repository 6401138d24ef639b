"""Catalogues of gettext as documents."""

from __future__ import annotations

import polib
import pytest
from documents import translated
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.client.documents import DocumentError

HEADER = """\
# Some catalogue.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Language: pt\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

"""

CATALOGUE = (
    HEADER
    + """\
#. A hint.
#: here.c:1
#, c-format
msgctxt "menu"
msgid "open %s"
msgstr "abrir %s"

#, fuzzy, c-format
#| msgctxt "old"
#| msgid "clsoe"
msgid "close"
msgstr "fehcar"

#, fuzzy
msgid "only fuzzy"
msgstr "x"

msgid ""
"several\\n"
"lines\\n"
msgstr ""

#, c-format
msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d ficheiro"
msgstr[1] ""
msgid "no blank line before"
msgstr   "feito"

#~ msgid "obsolete"
#~ msgstr "obsoleto"

#~| msgid "older"
#~ msgid "obsolete, too"
#~ msgstr ""
"""
)

DONE = (
    HEADER
    + """\
#. A hint.
#: here.c:1
#, c-format
msgctxt "menu"
msgid "open %s"
msgstr "OPEN %S"

#, c-format
msgid "close"
msgstr "CLOSE"

msgid "only fuzzy"
msgstr "ONLY FUZZY"

msgid ""
"several\\n"
"lines\\n"
msgstr ""
"SEVERAL\\n"
"LINES\\n"

#, c-format
msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%D FILE"
msgstr[1] "%D FILES"
msgid "no blank line before"
msgstr "NO BLANK LINE BEFORE"

#~ msgid "obsolete"
#~ msgstr "obsoleto"

#~| msgid "older"
#~ msgid "obsolete, too"
#~ msgstr ""
"""
)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_messages_are_translated_and_all_else_is_kept(line_end: str) -> None:
    """Contexts, comments, obsolete entries; what is certain now is not fuzzy any more."""
    written, sent, report = translated(CATALOGUE.replace("\n", line_end), "po")

    assert written.decode() == DONE.replace("\n", line_end)
    assert sent == ["open %s", "close", "only fuzzy", "several\nlines", "%d file", "%d files", "no blank line before"]
    assert report.units == 7


def test_only_what_is_missing() -> None:
    """An empty string, an uncertain one, a form that is not there."""
    written, sent, _ = translated(CATALOGUE, "po", only_missing=True)

    assert sent == ["close", "only fuzzy", "several\nlines", "%d file", "%d files"]
    assert written.decode() == DONE.replace("OPEN %S", "abrir %s").replace(
        'msgstr "NO BLANK LINE BEFORE"', 'msgstr   "feito"'
    )


def test_nothing_missing_is_nothing_written() -> None:
    """To the last byte, in whatever way the file was wrapped."""
    text = HEADER + 'msgid "one"\nmsgstr ""\n"u"\n"m"\n'

    assert translated(text, "po", only_missing=True)[:2] == (text.encode(), [])
    assert translated(text, "po", {"one": "um"}.__getitem__)[0] == text.encode()


def test_a_message_that_failed_stays_missing() -> None:
    """And fuzzy."""
    text = HEADER + '#, fuzzy\n#| msgid "x"\nmsgid "one"\nmsgstr "u"\n\nmsgid "two"\nmsgstr ""\n'

    def answer(text: str) -> str:
        return "\ud800" if text == "one" else "dois"

    written, _, report = translated(text, "po", answer)

    assert written.decode() == text.replace('"two"\nmsgstr ""', '"two"\nmsgstr "dois"')
    assert [problem.place for problem in report.problems] == ["line 10"]


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("pt", ["%D FILE", "%D FILES"]),
        ("ru", ["%D FILE", "%D FILES", "%D FILES"]),
        ("ja", ["%D FILES"]),
        ("ar", ["%D FILES", "%D FILE", "%D FILES", "%D FILES", "%D FILES", "%D FILES"]),
    ],
)
def test_a_template_becomes_a_catalogue_of_the_language(language: str, forms: list[str]) -> None:
    """With its plural forms, and a header that says so."""
    header = (
        '"Language: \\n"\n'
        '"Content-Type: text/plain; charset=CHARSET\\n"\n'
        '"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\\n"\n'
    )
    text = f'msgid ""\nmsgstr ""\n{header}\nmsgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n'

    written, _, _ = translated(text, "po", language=language)

    catalogue = polib.pofile(written.decode().replace("CHARSET", "UTF-8"))
    assert list(catalogue[0].msgstr_plural.values()) == forms
    assert catalogue.metadata["Language"] == language
    assert catalogue.metadata["Plural-Forms"].startswith(f"nplurals={len(forms)};")


def test_without_a_word_on_plurals_an_entry_has_the_forms_that_it_has() -> None:
    """One or two; with more it cannot be known which is which."""
    text = 'msgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n'

    assert translated(text, "po")[0].decode().endswith('msgstr[0] "%D FILE"\nmsgstr[1] "%D FILES"\n')
    assert translated(text.replace('msgstr[1] ""\n', ""), "po")[0].decode().endswith('msgstr[0] "%D FILES"\n')
    with pytest.raises(DocumentError, match="line 1: neither the header's Plural-Forms nor"):
        translated(text + 'msgstr[2] ""\n', "po", language="tlh")


def test_strings_are_wrapped_as_gettext_does() -> None:
    """After line ends, and where a line is full; not where the file is not wrapped."""
    text = HEADER + 'msgid "one"\nmsgstr ""\n'
    long = " ".join(["word"] * 20)

    assert translated(text, "po", lambda _: f"a\n{long}")[0].decode() == HEADER + (
        'msgid "one"\nmsgstr ""\n"a\\n"\n'
        '"word word word word word word word word word word word word word word word "\n'
        '"word word word word word"\n'
    )
    unwrapped = text + f'\nmsgid "{long}"\nmsgstr "x"\n'
    assert f'msgstr "{long}"\n'.encode() in translated(unwrapped, "po", lambda _: long, only_missing=True)[0]


@pytest.mark.parametrize(
    ("written", "text"),
    [('a\\tb\\\\n\\"c\\"', 'a\tb\\n"c"'), ("\\303\\251\\xc3\\xA9", "éé"), ("\\a\\b\\f\\v\\r\\?", "\a\b\f\v\r?")],
)
def test_escapes_are_read_as_c_has_them(written: str, text: str) -> None:
    """Also bytes of a character."""
    assert translated(f'msgid "x{written}x"\nmsgstr ""\n', "po")[1] == [f"x{text}x"]


@pytest.mark.parametrize("charset", ["ISO-8859-15", "UTF-8", "KOI8-R"])
def test_a_catalogue_is_in_the_encoding_that_it_names(charset: str) -> None:
    """What that cannot write is reported."""
    text = HEADER.replace("UTF-8", charset) + 'msgid "one"\nmsgstr ""\n\nmsgid "two"\nmsgstr ""\n'

    written, _, report = translated(text.encode(charset), "po", {"one": "\u20ac", "two": "\u0416"}.__getitem__)

    assert written.decode(charset) == text.replace(
        'one"\nmsgstr "', 'one"\nmsgstr "\u20ac' if charset != "KOI8-R" else 'one"\nmsgstr "'
    ).replace('two"\nmsgstr "', 'two"\nmsgstr "\u0416' if charset != "ISO-8859-15" else 'two"\nmsgstr "')
    assert report.failures == (charset != "UTF-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('msgid "a"\nmsgstr "b', "line 2 is neither a comment nor a message"),
        ("hello", "line 1 is neither"),
        ('"a"\n', "line 1: a string without msgid"),
        ('msgid "a"\n', "the entry of line 1 has no msgstr"),
        ('msgid "a"\nmsgid "b"\nmsgstr ""\n', "line 2: msgid has no place here"),
        ('msgid "a"\nmsgstr ""\nmsgstr ""\n', "line 3: msgstr has no place here"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr ""\n', "line 3: msgstr has no place here"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[0] ""\n', r"line 4: msgstr\[0\] comes twice"),
        (HEADER.replace("UTF-8", "klingon"), "charset=klingon, which is not known"),
    ],
)
def test_what_is_no_catalogue_is_refused(text: str, said: str) -> None:
    """By its line."""
    with pytest.raises(DocumentError, match=said):
        translated(text, "po")


STRINGS = st.text(st.sampled_from('ab "\\\n\t%é\u4e2d\u3002#~[]'), min_size=1, max_size=120)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(STRINGS, STRINGS, st.none() | STRINGS, st.none() | STRINGS), unique_by=lambda e: e[0]))
def test_what_is_written_is_what_polib_reads(entries: list[tuple[str, str, str | None, str | None]]) -> None:
    """Any strings, however they are wrapped."""
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": "nplurals=2; plural=(n != 1);"}
    answers = {}
    for message, translation, context, plural in entries:
        forms = {0: "", 1: ""} if plural else {}
        catalogue.append(polib.POEntry(msgid=message, msgctxt=context, msgid_plural=plural, msgstr_plural=forms))
        answers[message.strip()] = translation

    written, _, report = translated(str(catalogue), "po", lambda text: answers.get(text, "plural"))

    assert not report.problems
    for before, after in zip(catalogue, polib.pofile(written.decode()), strict=True):
        message = before.msgid
        core = message.strip()
        translation = answers[core].strip() if any(map(str.isalpha, core)) else core
        start = message.find(core)
        expected = message[:start] + translation + message[start + len(core) :]
        assert (after.msgid, after.msgctxt, after.msgid_plural or None) == (
            message,
            before.msgctxt,
            before.msgid_plural,
        )
        assert (after.msgstr_plural[0] if before.msgid_plural else after.msgstr) == expected

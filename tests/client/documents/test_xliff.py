"""XLIFF as a document."""

from __future__ import annotations

import re

import pytest
from documents import translated
from lxml import etree

from dragoman.client.documents import DocumentError

OLD = """\
<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
  <file original="a" source-language="en" datatype="plaintext">
    <body>
      <trans-unit id="1">
        <source>one &amp; two</source>
        <note>a note</note>
      </trans-unit>
      <trans-unit id="2" xml:space="preserve"><source> three
  four </source><target state="needs-translation"/></trans-unit>
      <group translate="no"><trans-unit id="3"><source>not me</source></trans-unit>
        <trans-unit id="4" translate="yes"><source>but me</source><target
          state='new'>old</target></trans-unit></group>
      <trans-unit id="5">
        <source>has
          one</source>
        <target state="final">tem</target>
        <alt-trans><source>not me</source><target>nem eu</target></alt-trans>
      </trans-unit>
      <trans-unit id="6"><source>Click <g id="x">here<x id="y"/></g> <ph id="z">{0}</ph>now</source></trans-unit>
      <trans-unit id="7"><source>One. Two.</source><seg-source><mrk mtype="seg" mid="0">One.</mrk> <mrk mtype="seg"
        mid="1">Two.</mrk></seg-source></trans-unit>
      <trans-unit id="8"><source></source></trans-unit>
    </body>
  </file>
</xliff>
"""

NEW = """\
<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en">
 <file id="f">
  <unit id="1">
   <segment state="initial">
    <source>one</source>
   </segment>
   <ignorable><source>, </source></ignorable>
   <segment id="b">
    <source>Press <pc id="1">the <mrk id="m" translate="no">OK</mrk></pc><ph id="2"/></source>
    <target>Prima</target>
   </segment>
  </unit>
  <unit id="2" translate="no"><segment><source>not me</source></segment></unit>
 </file>
</xliff>
"""


def capitals(text: str) -> str:
    """A text in capitals, its marks aside."""
    return re.sub(r"<[^>]*>|&\w+;|[^<&]+", lambda m: m[0] if m[0][0] in "<&" else m[0].upper(), text)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_sources_become_targets_and_all_else_is_kept(line_end: str) -> None:
    """Behind their sources, as they are indented; what needed a translation is translated."""
    written, sent, _ = translated(OLD.replace("\n", line_end), "xliff", capitals, language="pt")

    assert sent == [
        "one & two",
        "three\n  four",
        "but me",
        "has one",
        "One.",
        "Two.",
        'Click <g id="1">here<x id="2"/></g> <x id="3"/>now',
    ]
    expected = (
        OLD.replace('datatype="plaintext"', 'datatype="plaintext" target-language="pt"')
        .replace("two</source>", "two</source>\n        <target>ONE &amp; TWO</target>")
        .replace('<target state="needs-translation"/>', '<target state="translated"> THREE\n  FOUR </target>')
        .replace("state='new'>old", 'state="translated">BUT ME')
        .replace("tem<", "HAS ONE<")
        .replace(
            "</ph>now</source>",
            '</ph>now</source><target>CLICK <g id="x">HERE<x id="y"/></g> <ph id="z">{0}</ph>NOW</target>',
        )
        .replace(
            "</mrk></seg-source>",
            '</mrk></seg-source><target><mrk mtype="seg" mid="0">ONE.</mrk> <mrk mtype="seg"\n        '
            'mid="1">TWO.</mrk></target>',
        )
    )
    assert written.decode() == expected.replace("\n", line_end).replace(" THREE\r\n", " THREE\n")


def test_xliff_2_has_segments() -> None:
    """With states of their own; what is between them is no text."""
    written, sent, _ = translated(NEW, "xliff", capitals, language="pt")

    assert sent == ["one", 'Press <g id="1">the <x id="2"/></g><x id="3"/>']
    assert written.decode() == (
        NEW.replace('srcLang="en"', 'srcLang="en" trgLang="pt"')
        .replace('state="initial"', 'state="translated"')
        .replace("one</source>", "one</source>\n    <target>ONE</target>")
        .replace('<segment id="b">', '<segment id="b" state="translated">')
        .replace("Prima", 'PRESS <pc id="1">THE <mrk id="m" translate="no">OK</mrk></pc><ph id="2"/>')
    )


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (
            OLD,
            [
                "one & two",
                "three\n  four",
                "but me",
                "One.",
                "Two.",
                'Click <g id="1">here<x id="2"/></g> <x id="3"/>now',
            ],
        ),
        (NEW, ["one"]),
    ],
)
def test_only_what_is_missing(text: str, sent: list[str]) -> None:
    """A target that is not there, is empty, or says that it is none yet; a second run has nothing to do."""
    written, texts, _ = translated(text, "xliff", capitals, only_missing=True)

    assert texts == sent
    assert translated(written, "xliff", only_missing=True)[:2] == (written, [])


def test_a_text_that_failed_has_no_target() -> None:
    """A file in which nothing was translated is the same file."""
    written, _, report = translated(NEW, "xliff", lambda text: "\x07" if "<" not in text else "lost", language="pt")

    assert written.decode() == NEW
    assert [problem.place for problem in report.problems] == ["line 5", "line 9 (b)"]


def test_namespaces_may_have_prefixes() -> None:
    """And so has what is new."""
    text = OLD.replace("<!--", "").replace("xmlns=", "xmlns:x=")
    text = re.sub(r"<(/?)(?![?!])", r"<\1x:", text)

    written, _, _ = translated(text, "xliff", capitals)

    assert b"<x:target>ONE &amp; TWO</x:target>" in written
    etree.fromstring(written)


def test_strings_with_mark_up_of_their_own_travel_as_html() -> None:
    """As those of catalogues do."""
    text = NEW.replace(">one<", ">&lt;b&gt;one&lt;/b&gt; &amp; two<")

    written, sent, _ = translated(text, "xliff", lambda text: text.replace("two", "dois").replace(" & ", " &amp; "))

    assert sent[0] == "<b>one</b> & two"
    assert b"<target>&lt;b&gt;one&lt;/b&gt; &amp; dois</target>" in written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<a/>", "no XLIFF 1 or 2: its root is a$"),
        ('<xliff version="3.0"/>', "its root is xliff 3.0"),
        ("<xliff", "no XML"),
        ('<!DOCTYPE xliff [<!ENTITY a "b">]><xliff version="1.2"/>', "declares entities"),
    ],
)
def test_what_is_no_xliff_is_refused(text: str, said: str) -> None:
    """With a reason."""
    with pytest.raises(DocumentError, match=said):
        translated(text, "xliff")

"""Markdown as a document."""

import pytest
from documents import Scribe, translated

from dragoman.client import InputFormat
from dragoman.client.documents import DocumentOptions, translate_data
from dragoman.client.documents import markdown as module

TEXT = """\
---
title: x

more: y
---

# Title

Some [text][Ref].

    indented code

```sh
# no

text
```

<!-- a

comment -->

<pre>

a
</pre>

- item

  more of it

Last [one](x), ~~~ no fence.

[ref]: http://x.example "T"
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces as small as they may be."""
    monkeypatch.setattr(module, "pieces", lambda cuts, length: module_pieces(cuts, length, 1))


module_pieces = module.pieces


def test_a_file_goes_to_the_server_as_markdown() -> None:
    """As a whole, where it is not long; line ends around it are layout."""
    scribe = Scribe(str.upper)
    written, report = translate_data(scribe, f"\n{TEXT}\n".encode(), document=DocumentOptions(in_format="md"))

    assert scribe.texts == [TEXT.rstrip()]
    assert scribe.options[0].format is InputFormat.MARKDOWN
    assert written.decode() == f"\n{TEXT.upper()}\n"
    assert report.units == 1


def test_a_leading_indentation_is_code() -> None:
    """And not taken off."""
    assert translated("    code\n\ntext\n", "md")[1] == ["    code\n\ntext"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_pieces_are_cut_between_blocks(line_end: str) -> None:
    """Not in front matter, code, comments, HTML, and what is indented; with the definitions of links that they use."""
    text = TEXT.replace("\n", line_end)
    same, sent, _ = translated(text, "md", str)
    written, _, _ = translated(text, "md", str.upper)

    assert same == text.encode()
    assert written.decode() == text.upper()
    definition = '\n\n[ref]: http://x.example "T"'
    assert [piece.replace("\r\n", "\n").replace("\r", "") for piece in sent] == [
        "---\ntitle: x\n\nmore: y\n---",
        "# Title",
        "Some [text][Ref].\n\n    indented code" + definition,
        "```sh\n# no\n\ntext\n```",
        "<!-- a\n\ncomment -->",
        "<pre>\n\na\n</pre>",
        "- item\n\n  more of it",
        "Last [one](x), ~~~ no fence.",
        '[ref]: http://x.example "T"',
    ]


@pytest.mark.usefixtures("small")
def test_definitions_that_do_not_come_back_are_a_failure() -> None:
    """By the lines of the piece."""
    text = "a [b]\n\n[b]: x\n"

    written, _, report = translated(text, "md", lambda text: text.replace("\n\n[b]: x", ""))

    assert written.decode() == text
    assert [problem.place for problem in report.problems] == ["lines 1 to 1"]

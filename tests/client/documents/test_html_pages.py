"""HTML as a document."""

import pytest
from documents import Scribe, translated

from dragoman.client import InputFormat
from dragoman.client.documents import DocumentOptions, translate_data
from dragoman.client.documents import html_pages as module

PAGE = """\
<!DOCTYPE html>
<html><head><title>a <p> b</title><script>"<p>"</script></head>
<body class="<p>"><!-- <p> -->
<DIV><p>one<p>two <b>x<div>y</div></b>
<ul><li><p>three</p></li></ul>
<div translate="no"><p>no</p></div><h1>four</h1></DIV><br>
<table><tr><td><p>five</p></td></tr></table>
<section><p>six &amp; < 7</p></section></i>
<p>eight</body></html>
"""


def test_a_page_goes_to_the_server_as_html() -> None:
    """As a whole, where it is not long."""
    scribe = Scribe(str.upper)
    written, report = translate_data(scribe, PAGE.encode(), document=DocumentOptions(in_format="html"))

    assert scribe.texts == [PAGE.rstrip()]
    assert scribe.options[0].format is InputFormat.HTML
    assert written.decode() == PAGE.upper()
    assert report.units == 1


def test_pieces_are_cut_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in comments, attributes, scripts, lists, tables, inline elements, and what is not to be translated."""
    whole = module.pieces
    monkeypatch.setattr(module, "pieces", lambda cuts, length: whole(cuts, length, 1))

    same, sent, _ = translated(PAGE, "html", str)

    assert same == PAGE.encode()
    assert "".join(sent).replace("\n", "") == PAGE.replace("\n", "")
    assert [piece[:12] for piece in sent] == [
        "<!DOCTYPE ht",
        "<DIV>",
        "<p>one",
        "<p>two <b>x<",
        "<ul><li><p>t",
        "<div transla",
        "<h1>four</h1",
        "<table><tr><",
        "<section>",
        "<p>six &amp;",
        "<p>eight</bo",
    ]


@pytest.mark.parametrize("text", ["<p><!-- <p>", "<p><script><p>", "<p><div <p>", '<p><a href="<p>', "<" * 10_000])
def test_what_never_ends_is_not_cut(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes no longer than other pages."""
    whole = module.pieces
    monkeypatch.setattr(module, "pieces", lambda cuts, length: whole(cuts, length, 1))

    assert translated(text, "html", str)[0] == text.encode()


def test_a_page_is_in_the_encoding_that_it_declares() -> None:
    """In its head."""
    page = '<meta charset="iso-8859-1"><p>é</p>'

    assert translated(page.encode("latin-1"), "html")[0] == page.upper().encode("latin-1")

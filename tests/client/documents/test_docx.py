"""Word documents."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import docx
import pytest
from documents import translated
from lxml import etree

from dragoman.client.documents import DocumentError

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BOLD = "<w:rPr><w:b/></w:rPr>"
FIELD = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'


def run(text: str, properties: str = "") -> str:
    """A run of characters."""
    return f'<w:r w:rsidR="1">{properties}<w:t xml:space="preserve">{text}</w:t></w:r>'


def word(*paragraphs: str, **parts: str) -> bytes:
    """A document of paragraphs, and of further parts."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, content in {"document": "".join(f"<w:p>{p}</w:p>" for p in paragraphs), **parts}.items():
            archive.writestr(f"word/{name}.xml", f'<w:x xmlns:w="{W}" xmlns:m="urn:m">{content}</w:x>')
        archive.writestr("word/media/image.png", b"\x89PNG\x00", zipfile.ZIP_STORED)
    return packed.getvalue()


def part(data: bytes, name: str = "document") -> str:
    """What a part holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(f"word/{name}.xml").decode().partition(">")[2].rpartition("<")[0]


def capitals(text: str) -> str:
    """A text in capitals, its marks aside."""
    return re.sub(r"<[^>]*>|&\w+;|[^<&]+", lambda m: m[0] if m[0][0] in "<&" else m[0].upper(), text)


def swapped(text: str) -> str:
    """A text whose parts between spaces and marks stand in the opposite order."""
    return "".join(reversed(re.findall(r"<g .*?</g>|<x [^>]*>|[^ <]+| ", text)))


def test_a_document_of_python_docx_is_translated_in_all_its_parts() -> None:
    """Headings, tables, headers and footers; formatting stays on its words, tabs and line breaks part texts."""
    document = docx.Document()
    document.add_heading("A title", 0)
    paragraph = document.add_paragraph("Plain text with ")
    paragraph.add_run("bold").bold = True
    paragraph.add_run(" and more.\tx\ny & z")
    document.add_table(1, 2).cell(0, 0).text = "a cell"
    document.sections[0].header.paragraphs[0].text = "the header"
    document.sections[0].footer.paragraphs[0].text = "the footer"
    packed = io.BytesIO()
    document.save(packed)

    same, sent, _ = translated(packed.getvalue(), "docx", str)
    written, _, report = translated(packed.getvalue(), "docx", capitals)

    assert same == packed.getvalue()
    assert sorted(sent) == sorted(
        ["A title", "x", "y & z", "a cell", "the header", "the footer", 'Plain text with <g id="1">bold</g> and more.']
    )
    assert [problem.place for problem in report.problems] == []
    opened = docx.Document(io.BytesIO(written))
    assert [paragraph.text for paragraph in opened.paragraphs] == [
        "A TITLE",
        "PLAIN TEXT WITH BOLD AND MORE.\tX\nY & Z",
    ]
    assert [run.text for run in opened.paragraphs[1].runs if run.bold] == ["BOLD"]
    assert opened.tables[0].cell(0, 0).text == "A CELL"
    assert opened.sections[0].header.paragraphs[0].text == "THE HEADER"
    assert opened.sections[0].footer.paragraphs[0].text == "THE FOOTER"


def test_all_other_files_and_parts_stay() -> None:
    """In their order, with their way of packing."""
    data = word(run("one"), footnotes="<w:p>" + run("two") + "</w:p>", comments="<w:p>" + run("three") + "</w:p>")

    written, sent, _ = translated(data, "docx")

    assert sent == ["one", "two"]
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(io.BytesIO(written)) as new:
        assert new.namelist() == old.namelist()
        assert [info.compress_type for info in new.infolist()] == [info.compress_type for info in old.infolist()]
        assert {name for name in old.namelist() if old.read(name) != new.read(name)} == {
            "word/document.xml",
            "word/footnotes.xml",
        }


LINK = '<w:hyperlink r:id="1" xmlns:r="r">{}</w:hyperlink>'
NOTE = '<w:r><w:footnoteReference w:id="2"/></w:r>'
PLAIN = '<w:r>{}<w:t xml:space="preserve">{}</w:t></w:r>'


@pytest.mark.parametrize(
    ("paragraph", "sent", "answer", "written"),
    [
        # Runs that only editing has parted are one text.
        (run("o") + run("ne") + '<w:proofErr w:type="x"/>' + run(" b"), "one b", capitals, PLAIN.format("", "ONE B")),
        (run("one", BOLD) + run(" two", BOLD), "one two", capitals, PLAIN.format(BOLD, "ONE TWO")),
        ("<w:pPr/>" + run("a &lt; b"), "a < b", capitals, "<w:pPr/>" + PLAIN.format("", "A &lt; B")),
        # The formatting of most of the text needs no mark.
        (
            run("ab", BOLD) + run(" longer text"),
            '<g id="1">ab</g> longer text',
            swapped,
            PLAIN.format("", "text longer ") + PLAIN.format(BOLD, "ab"),
        ),
        # What stands around all of a text, or beside it, is not sent.
        (LINK.format(run("all")) + NOTE, "all", capitals, LINK.format(PLAIN.format("", "ALL")) + NOTE),
        ('<w:bookmarkStart w:id="0"/>' + run("a") + '<w:bookmarkEnd w:id="0"/>', "a", capitals,
         '<w:bookmarkStart w:id="0"/>' + PLAIN.format("", "A") + '<w:bookmarkEnd w:id="0"/>'),
        (
            run("see ") + LINK.format(run("this ") + run("page", BOLD)) + NOTE + run(" now"),
            'see <g id="1">this <g id="2">page</g></g><x id="3"/> now',
            capitals,
            PLAIN.format("", "SEE ")
            + LINK.format(PLAIN.format("", "THIS ") + PLAIN.format(BOLD, "PAGE"))
            + NOTE
            + PLAIN.format("", " NOW"),
        ),
        # Deleted text, formulas and fields come along.
        (
            run("a ") + "<w:del>" + "<w:r><w:delText>b</w:delText></w:r></w:del><m:oMath/>" + run(" c"),
            'a <x id="1"/> c',
            swapped,
            PLAIN.format("", "c ") + "<w:del><w:r><w:delText>b</w:delText></w:r></w:del><m:oMath/>"
            + PLAIN.format("", " a"),
        ),
        (
            run("p. ") + FIELD.format("begin") + "<w:r><w:instrText>PAGE</w:instrText></w:r>" + FIELD.format("separate")
            + run("one") + FIELD.format("end") + run(" x"),
            'p. <x id="1"/> x',
            capitals,
            PLAIN.format("", "P. ") + FIELD.format("begin") + "<w:r><w:instrText>PAGE</w:instrText></w:r>"
            + FIELD.format("separate") + run("one") + FIELD.format("end") + PLAIN.format("", " X"),
        ),
        (
            run("a ") + FIELD.format("begin") + '<w:r><w:instrText> HYPERLINK "x"</w:instrText></w:r>'
            + FIELD.format("separate") + run("link") + FIELD.format("end"),
            'a <g id="1">link</g>',
            swapped,
            FIELD.format("begin") + '<w:r><w:instrText> HYPERLINK "x"</w:instrText></w:r>' + FIELD.format("separate")
            + PLAIN.format("", "link") + FIELD.format("end") + PLAIN.format("", " a"),
        ),
        # A field that ends in another paragraph has no end here.
        (FIELD.format("begin") + run("a") + FIELD.format("begin"), "a", capitals,
         FIELD.format("begin") + PLAIN.format("", "A") + FIELD.format("begin")),
        # Word's notes on the language of the source are wrong about the translation.
        (run("a", '<w:rPr><w:b/><w:lang w:val="en"/></w:rPr>'), "a", capitals, PLAIN.format(BOLD, "A")),
        (run("a") + "<w:r><w:noBreakHyphen/><w:t>b</w:t></w:r>", "a\u2011b", capitals, PLAIN.format("", "A\u2011B")),
    ],
)  # fmt: skip
def test_runs_are_written_anew(paragraph: str, sent: str, answer: Callable[[str], str], written: str) -> None:
    """With their formatting, and all that is no text, around the words that translate theirs."""
    data, texts, report = translated(word(paragraph), "docx", answer)

    assert texts == [sent]
    assert report.problems == ()
    assert part(data) == f"<w:p>{written}</w:p>"


def test_text_boxes_are_texts_of_their_own() -> None:
    """Also within a paragraph that is written anew."""
    box = "<w:r><w:pict><w:txbxContent><w:p>" + run("{}") + "</w:p></w:txbxContent></w:pict></w:r>"
    after = "<w:r><w:pict><w:txbxContent><w:p>" + PLAIN.format("", "INNER") + "</w:p></w:txbxContent></w:pict></w:r>"

    written, sent, report = translated(
        word(run("a ") + box.format("inner") + run(" b"), box.format("inner")), "docx", capitals
    )

    assert sent == ["inner", 'a <x id="1"/> b']
    assert report.units == 3
    assert part(written) == (
        "<w:p>" + PLAIN.format("", "A ") + after + PLAIN.format("", " B") + "</w:p><w:p>" + after + "</w:p>"
    )


def test_a_paragraph_that_failed_stays_as_it_was() -> None:
    """By its place in its part; what lost a mark is not written."""
    data = word(run("a ") + NOTE + run(" b"), run("c"), run("12"), header1="<w:p>" + run("d") + "</w:p>")

    written, _, report = translated(
        data, "docx", lambda text: "lost" if "<" in text else "\x07" if text == "d" else "C"
    )

    assert part(written) == part(data).replace(run("c"), PLAIN.format("", "C"))
    assert part(written, "header1") == part(data, "header1")
    assert [(problem.place, problem.is_failure) for problem in report.problems] == [
        ("document, paragraph 1", True),
        ("header1, paragraph 1", True),
    ]


def zipped(**files: bytes) -> bytes:
    """A zip of files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "/") + ".xml", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no Word document: File is not a zip file"),
        (b"hello", "no Word document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Word"),
        (zipped(a=b""), "it holds no word/document.xml"),
        (zipped(word_document=b"<a>"), "word/document.xml: no XML"),
        (zipped(word_document=b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "word/document.xml: declares entities"),
        (zipped(word_document=b"<a/>", bomb=b"\0" * (257 * 2**20)), "larger than 256 MiB once it is unpacked"),
        (word(run("a"))[:-30], "no Word document"),
        (word(run("a")).replace(b"\x89PNG", b"\x88PNG"), "is damaged: word/media/image.png"),
    ],
    ids=map(str, range(9)),  # zipped bytes tell the second
)
def test_what_is_no_document_is_refused(data: bytes, said: str) -> None:
    """Cut off, damaged, encrypted, of another kind, or made to fill the memory."""
    with pytest.raises(DocumentError, match=said):
        translated(data, "docx")


def test_an_encrypted_zip_is_refused() -> None:
    """It says so in its flags."""
    data = bytearray(word(run("a")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = data.find(signature)
        while position >= 0:
            data[position + offset] |= 1
            position = data.find(signature, position + 1)

    with pytest.raises(DocumentError, match="is encrypted"):
        translated(bytes(data), "docx")


def test_what_is_written_is_xml() -> None:
    """Whatever a translation holds."""
    written, _, _ = translated(
        word(run("a ") + NOTE + run("b", BOLD)), "docx", lambda text: text.replace("a", "]]&gt;é😀\r")
    )

    etree.fromstring(f'<x xmlns:w="{W}">{part(written)}</x>')

"""HTML and Markdown by the model of models/en-pt: all structure stays, and marks are placed well."""

from collections import Counter
from pathlib import Path

import html5lib
import pytest
from markdown_it import MarkdownIt
from marked_up import tags

from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.protection import WarningKind
from dragoman.server.core.requests import EnginePreference, InputFormat, Output, Request
from dragoman.server.core.translations import Translation

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/data/markup"
WELL_PLACED = 92
"""Of a hundred fragments. The others are near misses: an article or a preposition more or less."""


@pytest.fixture(scope="module")
def translator():
    with LocalTranslator(ROOT / "models/en-pt", threads=1) as translator:
        yield translator


def fragments() -> list[tuple[str, list[str]]]:
    """Fragments, and what each of their inline elements should be around."""
    text = (DATA / "fragments.txt").read_text("utf-8")
    paragraphs = [paragraph.splitlines() for paragraph in text.split("\n\n")[1:]]
    return [(source, expected.split(" ; ")) for source, expected in paragraphs]


def documents() -> list[str]:
    return (DATA / "documents.txt").read_text("utf-8").split("----8<----\n")


def translated(translator: LocalTranslator, request: Request) -> list[Translation]:
    outcomes = translator.outcomes(request)
    assert all(isinstance(outcome, Translation) for outcome in outcomes)
    return outcomes


def missed(html: str, expected: list[str]) -> list[str]:
    """Which elements are not around what they should be around."""
    tree = html5lib.parseFragment(html, namespaceHTMLElements=False)
    elements = Counter((node.tag, " ".join("".join(node.itertext()).split())) for node in tree.iter())
    missed = []
    for each in expected:
        name, _, texts = each.partition("=")
        found = [pair for pair in elements if pair[0] == name and (texts == "*" or pair[1] in texts.split("|"))]
        if found:
            elements -= Counter(found[:1])
        else:
            missed.append(each)
    return missed


def shape(source: str) -> list[str]:
    """What Markdown consists of, in the order of its blocks; within a block in any order."""
    shape = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source):
        shape.append(f"{token.type} {token.info} {token.content if token.type in ('fence', 'code_block') else ''}")
        children = [child for child in token.children or () if child.type not in ("text", "softbreak")]
        shape += sorted(f"{c.type} {c.attrs} {c.content if c.type != 'image' else ''}" for c in children)
    return shape


def test_a_hundred_fragments_of_html(translator: LocalTranslator) -> None:
    """The elements of all are the same, and of at least 92 each is around the words that translate its own."""
    cases = fragments()
    results = translated(translator, Request(tuple(source for source, _ in cases), format=InputFormat.HTML))

    texts = [result.text for result in results]
    faults = [
        (text, wrong) for text, (_, expected) in zip(texts, cases, strict=True) if (wrong := missed(text, expected))
    ]
    print(f"\n{len(cases) - len(faults)} of {len(cases)} fragments are well placed; the others:")
    print(*(f"  {', '.join(wrong)}\n    in {text}" for text, wrong in faults), sep="\n")

    assert len(cases) == 100
    assert [tags(text) for text in texts] == [tags(source) for source, _ in cases]
    assert len(cases) - len(faults) >= WELL_PLACED


def test_forty_documents_in_markdown(translator: LocalTranslator) -> None:
    """Blocks, code, links, images, emphasis, tables and front matter of all are the same."""
    sources = documents()
    results = translated(translator, Request(tuple(sources), format=InputFormat.MARKDOWN))

    assert len(sources) == 40
    for source, result in zip(sources, results, strict=True):
        named = source.replace("[project page][]", "[x][project page]").replace("[wiki].", "[x][wiki].")
        assert shape(result.text) == shape(named)
        assert WarningKind.UNTRANSLATED not in [warning.kind for warning in result.warnings]


def test_a_decoder_that_does_not_say_what_it_attends_to_keeps_all_elements(translator: LocalTranslator) -> None:
    """Marks are placed by position then, and results say so."""
    cases = fragments()[:20]
    sources = tuple(source for source, _ in cases)
    results = translated(translator, Request(sources, format=InputFormat.HTML, engine=EnginePreference.NAT))

    assert [tags(result.text) for result in results] == [tags(source) for source in sources]
    assert sum(result.marks.by_position for result in results if result.marks) > 20
    assert not any(result.marks.by_attention for result in results if result.marks)


def test_offsets_are_those_of_the_texts_with_their_mark_up(translator: LocalTranslator) -> None:
    """Of sentences, of words, of protected spans; counted in the text as it was sent, and in the one that came back."""
    source = "<p title='Red car'>Fish &amp; chips are <b>good</b>.</p><p>Use <code>a&lt;b</code> here.</p>"
    output = Output(sentence_spans=True, alignments=True, kept_spans=True)
    request = Request((source,), format=InputFormat.HTML, translate_attributes=True, output=output)

    [result] = translated(translator, request)

    sentences = [(source[slice(*p.source)], result.text[slice(*p.target)]) for p in result.sentence_spans]
    assert [sentence for sentence, _ in sentences] == [
        "Fish &amp; chips are <b>good</b>.",
        "Use <code>a&lt;b</code> here.",
        "Red car",
    ]
    assert sentences[2][1] == "Carro vermelho"
    assert all(target in result.text for _, target in sentences)
    links = sorted(result.hypotheses[0].alignments, key=lambda link: link.weight)
    words = {source[slice(*link.source)]: result.text[slice(*link.target)] for link in links}  # each word's strongest
    assert words["car"] == "Carro"
    assert [source[slice(*kept.source)] for kept in result.kept] == ["<code>a&lt;b</code>"]
    assert [result.text[slice(*kept.target)] for kept in result.kept] == ["<code>a&lt;b</code>"]

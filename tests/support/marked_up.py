"""Texts with mark-up for tests: translated by a made-up language, and read by html5lib."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import html5lib
import numpy as np
from html5lib._tokenizer import HTMLTokenizer
from hypothesis import strategies as st
from properties import examples

from dragoman.server.core.requests import Splitting
from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Block, Document
from dragoman.server.text.markup.passages import Passage, passages
from dragoman.server.text.markup.placing import Sentence, Shares, place
from dragoman.server.text.markup.writing import Replacement, Translated, WrittenText, write
from dragoman.server.text.splitting import split

TOKENS = {number: kind for kind, number in html5lib.constants.tokenTypes.items()}

Translate = Callable[[Sentence], tuple[Sentence, Shares | None]]

EXAMPLES = examples(30)
"""How many texts a property is tried on."""
WORDS = re.compile(r"\w+|[^\w\s]")


def sentence(text: str) -> Sentence:
    """A text and its words."""
    return Sentence(text, [Span(*word.span()) for word in WORDS.finditer(text)])


def sentences(block: Block) -> list[Passage]:
    """The sentences of a block."""
    spans = list[Span]()
    for span in split(block.text, Splitting.SENTENCES, "en"):
        if spans and any(atom.span.start < span.start < atom.span.end for atom in block.atoms):
            spans[-1] = Span(spans[-1].start, span.end)
        else:
            spans.append(span)
    return passages(block, spans)


def shouted(source: Sentence) -> tuple[Sentence, Shares]:
    """Another language: all in capitals, in the same order."""
    return Sentence(source.text.upper(), source.words), np.eye(len(source.words))


def backwards(source: Sentence) -> tuple[Sentence, Shares]:
    """Another language: all in capitals, the last word first."""
    words = [source.text[slice(*word)].upper() for word in reversed(source.words)]
    return sentence(" ".join(words)), np.eye(len(words))[::-1]


def at_random(seed: int) -> Translate:
    """A model that says anything, and attends to whatever it likes."""
    chance = random.Random(seed)

    def translate(source: Sentence) -> tuple[Sentence, Shares | None]:
        target = sentence(" ".join(chance.choices(["um", "dois", ",", "<três>", "&", "."], k=chance.randrange(9))))
        if chance.random() < 0.2:
            return target, None
        shares = [[chance.random() ** 4 for _ in source.words] for _ in target.words]
        return target, np.array(shares).reshape(len(target.words), len(source.words))

    return translate


def translated(document: Document, translate: Translate) -> WrittenText:
    """A document all of whose sentences are translated. What is an atom stays."""
    own = [passage for block in document.blocks for passage in sentences(block)]
    values = [passage for block in document.attributes for passage in sentences(block)]
    results = [_translated(passage, document.source, translate) for passage in (*own, *values)]
    return write(document, own, values, results)


def _translated(passage: Passage, source: str, translate: Translate) -> Translated:
    """A passage behind whose translation its atoms are put."""
    read = sentence(passage.text)
    target, shares = translate(read)
    text, replacements = target.text, []
    for atom in () if text == passage.text else passage.atoms:
        replacements.append(Replacement(Span(len(text) + 1, len(text) + 2), source[slice(*atom.source)]))
        text += " \ufffc"
    result = Sentence(text, target.words)
    if len(read.words) != (shares.shape[1] if shares is not None else len(read.words)):
        shares = None
    return Translated(text, place(passage.marks, read, result, shares), replacements)


def tags(html: str) -> Counter[Any]:
    """All elements with their attributes, comments among them, as a browser has them."""
    return Counter(_nodes(html5lib.parseFragment(html, namespaceHTMLElements=False)))


def _nodes(tree: Any) -> Iterator[Any]:
    for node in tree.iter():
        yield (node.tag, tuple(sorted(node.attrib.items()))) if isinstance(node.tag, str) else ("comment", node.text)


def tokens(html: str) -> Counter[Any]:
    """All tags that a browser reads, whether they match or not."""
    seen = list[Any]()

    class Tokenizer(HTMLTokenizer):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            for token in super().__iter__():
                seen.append(_token(token))
                yield token

    class Parser(html5lib.HTMLParser):  # type: ignore[misc]
        def mainLoop(self) -> None:
            self.tokenizer.__class__ = Tokenizer
            super().mainLoop()

    Parser().parseFragment(html)
    return Counter(token for token in seen if token)


def _token(token: Any) -> Any:
    kind, name = TOKENS[token["type"]], token.get("name")
    if kind in ("StartTag", "EmptyTag"):
        return (
            kind,
            name,
            tuple(token["data"].items() if isinstance(token["data"], dict) else map(tuple, token["data"])),
        )
    return (kind, name or token["data"]) if kind in ("EndTag", "Doctype") else None


_INLINE = ("b", "em", "span", "u", "x-y")
_TEXT = st.text(st.sampled_from("abc Zé.,!?&<>\"'\u00a0\n字🎉"), max_size=12)


def written(text: str) -> str:
    """A text as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_attributes = st.sampled_from(("", ' class="x y"', " hidden", ' title="a &lt; b"', " id='q>r'", ' href="?a=1&amp;b"'))
_leaves = st.one_of(
    _TEXT.map(written),
    st.sampled_from(("<img src=x>", "<br>", "<!-- <b> -->", "<code>x &lt; y</code>", "<i></i>", "<wbr>", "&eacute;")),
)


def _element(name: str, attributes: str, content: str) -> str:
    return f"<{name}{attributes}>{content}</{name}>"


_phrasing = st.recursive(
    _leaves,
    lambda inner: st.builds(_element, st.sampled_from(_INLINE), _attributes, st.lists(inner, max_size=4).map("".join)),
    max_leaves=12,
)
_paragraph = st.lists(_phrasing, max_size=5).map("".join)
_rows = st.lists(_paragraph.map(lambda cell: f"<td>{cell}</td>"), max_size=3)
_items = st.lists(_paragraph.map(lambda item: f"<li>{item}</li>\n"), max_size=3)
html_fragments: st.SearchStrategy[str] = st.lists(
    st.one_of(
        st.builds(_element, st.sampled_from(("p", "div", "h2", "blockquote")), _attributes, _paragraph),
        _rows.map(lambda cells: f"<table><tbody><tr>{''.join(cells)}</tr></tbody></table>"),
        _items.map(lambda items: f"<ul>\n{''.join(items)}</ul>"),
        _paragraph,
        st.sampled_from(("<pre>a  b</pre>", "<script>if (a<b) c('</p>')</script>", "<hr>", "<textarea>x</textarea>")),
    ),
    max_size=4,
).map("".join)
"""HTML that is as it should be."""

_xml = st.recursive(
    st.one_of(
        _TEXT.map(lambda text: written(text.replace("\u00a0", " "))),
        st.sampled_from(("<x/>", "<br />", "<!-- <b> -->", "<?a b?>", "<code>x</code>", "&#233;", "<![CDATA[a & b]]>")),
    ),
    lambda inner: st.builds(
        _element,
        st.sampled_from(("b", "ns:g", "p", "item")),
        st.sampled_from(("", ' id="1>2"', " title='a b'", ' translate="no"', ' xml:space="preserve"')),
        st.lists(inner, max_size=4).map("".join),
    ),
    max_leaves=16,
)
xml_fragments: st.SearchStrategy[str] = st.lists(_xml, max_size=4).map("".join)
"""XML that is well-formed but for what stands around it."""

_PARTS = (
    "< > </ <b> </b> <i> </i> <p> </p> <!-- --> & &amp; a word. <a\xa0href=' \" ' = / <code> </code> <br/> <! <? <x "
    "<svg> </svg> <div\xa0translate=no> </div> <script> </script> \n <title> </title> é <p\xa0translate=yes>"
)
broken_html: st.SearchStrategy[str] = st.lists(
    st.sampled_from((" ", *(part.replace("\xa0", " ") for part in _PARTS.split(" ")))), max_size=30
).map("".join)
"""What no browser refuses."""

_SPANS = st.recursive(
    st.sampled_from(
        ["one", "two words", "`co_de *x*`", "![pic](a.png)", "<http://a.b>", "\\*", "&amp;", "a_b", "2 * 3", "<br>"]
    )
    | st.sampled_from(["end.", "[ref]", "é", "  \n", "\n"]),
    lambda inner: st.builds(
        lambda signs, parts: f"{signs[0]}{' '.join(parts).strip() or 'x'}{signs[1]}",
        st.sampled_from((("*", "*"), ("**", "**"), ("~~", "~~"), ("[", "](u 't')"), ("<b>", "</b>"), ("[", "][ref]"))),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)
_line = st.lists(_SPANS | st.just("word[^1]"), min_size=1, max_size=4).map(" ".join)
_single = _line.map(lambda text: text.replace("\n", " "))
_OTHERS = ("```\ncode *a*\n```", "---", "    code", "<div>\n<p>a <b>b</b></p>\n</div>", "a\n===")
markdown_documents: st.SearchStrategy[str] = st.lists(
    st.one_of(
        _line,
        _single.map(lambda text: f"# {text}"),
        _line.map(lambda text: "> " + text.replace("\n", "\n> ")),
        st.lists(_line.map(lambda text: "- " + text.replace("\n", "\n  ")), min_size=1, max_size=3).map("\n".join),
        _single.map(lambda text: f"| a | {text} |\n|---|:-:|\n| {text} | b |"),
        st.sampled_from(_OTHERS),
    ),
    max_size=5,
).map(lambda blocks: "\n\n".join((*blocks, "[ref]: http://x 'y'\n")))
"""Markdown of all kinds."""

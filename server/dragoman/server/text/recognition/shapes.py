"""Stretches that are recognised by their looks: what a program fills in or reads, addresses, names of files, symbols.

Each `Shape` is looked for by itself; the recogniser joins what overlaps. One whose sign a text lacks costs next to
nothing, any other costs time in proportion to the text: its pattern begins only where no other try of it was under way
(behind a character that it cannot hold), and never reads anew what it has read (`++`, `*+`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dragoman.server.core.protection import SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.recognition import emoji
from dragoman.server.text.recognition.braces import brace_spans

Test = Callable[[str], bool]


@dataclass(frozen=True)
class Shape:
    """A kind of stretch that a pattern finds."""

    kind: SpanKind
    sign: str
    """Every such stretch holds it."""
    pattern: re.Pattern[str]
    test: Test | None = None
    """What a match must pass, where a pattern alone cannot tell."""
    closing: str = ""
    """What is no part of a match at its end, and brackets there that nothing in it opens."""

    def spans(self, text: str) -> Iterator[Span]:
        """Where such stretches are, in a text that has the sign."""
        for match in self.pattern.finditer(text):
            start, end = match.span()
            if self.closing:
                end = start + len(without_closing(match[0], self.closing))
            if start < end and (self.test is None or self.test(text[start:end])):
                yield Span(start, end)


def shape_spans(text: str, kinds: frozenset[SpanKind]) -> Iterator[tuple[Span, SpanKind]]:
    """All stretches of these kinds, in no order; some overlap."""
    for shape in _shapes_of(text):
        if shape.kind in kinds:
            for span in shape.spans(text):
                yield span, shape.kind
    if "{" in text and SpanKind.PLACEHOLDER in kinds:
        for span in brace_spans(text):
            yield span, SpanKind.PLACEHOLDER


def _shapes_of(text: str) -> Iterator[Shape]:
    """The shapes that a text may hold."""
    for sign, shapes in _SHAPES.items():
        if sign in text:
            yield from shapes
    for gate, shapes in _GATED:
        if gate.search(text) is not None:
            yield from shapes
    if not text.isascii():
        yield _PICTURES


def without_closing(address: str, closing: str) -> str:
    """An address as it stands in a sentence, without what ends the sentence: `(see http://x.org/a_(b)).`"""
    end = len(address)
    unmatched = {close: address.count(close) - address.count(opening) for opening, close in ("()", "[]", "{}")}
    while end:
        last = address[end - 1]
        if unmatched.get(last, 0) > 0:
            unmatched[last] -= 1
        elif last not in closing:
            break
        end -= 1
    return address[:end]


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _is_path(text: str) -> bool:
    """Whether parts with slashes between are a file's: `src/a.py`, and not `and/or` or `10/12`."""
    parts = text.rstrip("/").split("/")
    is_folder = text.endswith("/") and text.islower() and len(parts) > 1
    is_odd = any("*" in part or "_" in part or part.startswith(".") for part in parts)
    return _has_letter(text) and (is_folder or is_odd or _is_file(parts[-1]))


def _is_file(name: str) -> bool:
    stem, _, ending = name.rpartition(".")
    return bool(stem) and _FILE_ENDINGS.fullmatch(ending) is not None


def _is_domain(address: str) -> bool:
    host, slash, _ = address.partition("/")
    top = host.partition(":")[0].rpartition(".")[2]
    return _TOPS.fullmatch(top) is not None or (bool(slash) and top.isalpha() and len(top) > 1)


def _is_version(text: str) -> bool:
    """Whether numbers with dots between are a version or an address, and no date and no large number."""
    parts = text.split(".")
    if not all(map(str.isdigit, parts)):
        return True
    is_large_number = all(len(part) == 3 for part in parts[1:]) and len(parts[0]) <= 3
    is_date = len(parts) == 3 and len(parts[2]) in (2, 4) and len(parts[0]) <= 2 and len(parts[1]) == 2
    return len(parts) > 2 and not (is_large_number or is_date)


def _is_dotted(text: str) -> bool:
    """Whether words with dots between are a program's name: `django.contrib.auth`, and not `e.g.x`."""
    return all(len(part) > 1 for part in text.split("."))


def _is_date_format(text: str) -> bool:
    """Whether letters for parts of dates have something between them, as no two words of a sentence have."""
    return any(mark in text for mark in ":/.-")


def _shape(kind: SpanKind, sign: str, *parts: str, test: Test | None = None, closing: str = "") -> Shape:
    return Shape(kind, sign, re.compile("".join(parts)), test, closing)


_SENTENCE_ENDS = ".,;:!?'\"*_~>"
_ADDRESS = r"[^\s<>\"`\\|\u2018-\u201d\u00ab\u00bb\u2026\u3000-\u303f\uff00-\uffef]"
"""A character of an address."""
_PART = r"[\w.@+~*-]"
"""A character of a path's part."""
_WIDTHS = r"[-+#0]*+[\d*]*+(?:\.[\d*]++)?+"
"""Flags, width and precision of printf."""
_BB = "b|i|u|s|url|img|quote|code|list|color|size|center|left|right|email|spoiler"
_TOPS = re.compile(
    r"com|org|net|edu|gov|int|io|dev|app|info|biz|co|tv|eu|uk|de|fr|es|pt|br|nl|pl|ru|cz|ch|se|fi|dk|jp|cn|au|ca|"
    r"mx|ar|local|example|test|xyz|site|online|cloud",
    re.IGNORECASE,
)
"""Endings of hosts that are no words of a sentence whose dot lacks a space."""
_FILE_ENDINGS = re.compile(
    r"py|pyc|pyi|js|mjs|cjs|jsx|ts|tsx|json|jsonl|yaml|yml|toml|ini|cfg|conf|env|md|rst|txt|csv|tsv|xml|html|htm|"
    r"css|scss|less|sh|bash|zsh|bat|cmd|ps1|c|h|cc|cpp|hpp|cs|java|kt|go|rs|rb|php|pl|lua|swift|sql|db|sqlite|log|"
    r"lock|pdf|doc|docx|xls|xlsx|ppt|pptx|odt|ods|odp|rtf|epub|png|jpg|jpeg|gif|svg|webp|ico|bmp|tiff|mp3|mp4|wav|"
    r"ogg|flac|avi|mkv|mov|webm|zip|tar|gz|bz2|xz|7z|rar|tgz|iso|dmg|exe|dll|so|dylib|msi|deb|rpm|apk|jar|war|whl|"
    r"bin|dat|bak|tmp|po|pot|mo|xliff|xlf|srt|vtt|properties|gradle|pem|crt|ipynb|onnx|pb|proto|tex|bib|vue|svelte|"
    r"psd|ttf|woff|woff2|plist|diff",
    re.IGNORECASE,
)
_MEDIA = (
    r"x-[\w.+-]*+\w|vnd\.[\w.+-]*+\w|[a-z0-9-]++\+(?:xml|json|zip)|json|xml|html|plain|css|csv|markdown|javascript|pdf|zip|"
    r"gzip|octet-stream|form-data|mixed|png|jpeg|gif|webp|svg|bmp|mp4|mpeg|ogg|wav|webm|woff2?|ttf|\*"
)
_CLOCK = r"(?:YYYY|YY|yyyy|yy|MMM?|DD|dd|mm|HH|hh|SS|ss|u{3,6}|f{3,6}|TZ)"
"""A part of how a date or a time is to be written."""
_DATE = (
    rf"(?<!\w)\[{{0,4}}+{_CLOCK}(?:[]:/.-]{{0,4}}+(?:[ T](?=\[{{0,4}}{_CLOCK}))?+\[{{0,4}}+[:/.-]?+{_CLOCK})++",
    r"(?:\]{1,4}+|(?!\w))",
    r"|(?<![\w/:-])[dmyYHhis]([/:-])[dmyYHhis]\1[dmyYHhis](?![\w/:-])",
)
_DATE_SIGNS = ("YY", "yy", "HH", "hh", "MM", "mm:", "/dd", "dd/", "/Y", "Y-", "Y/", "-Y", "H:")
"""One of these is in every such stretch."""
_ALL = (
    # YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ], dd/mm/yyyy, d/m/Y
    *(_shape(SpanKind.CODE, sign, *_DATE, test=_is_date_format) for sign in _DATE_SIGNS),
    # %s, %-5.2f, %1$s, %(name)s, %@, %{name}, %name%. Letters that are glued to it belong to it: %dpx. Of `100% of` and
    # `100%d` nothing does.
    _shape(
        SpanKind.PLACEHOLDER,
        "%",
        r"%(?:%(?:[A-Za-z_]\w*+%%)?+",
        rf"|(?:\([^()\n]{{1,64}}\)|\d++\$ ?){_WIDTHS}[A-Za-z@](?:[A-Za-z]{{1,2}}(?![\w%{{<]))?+",
        rf"|\{{[^{{}}\n]{{0,64}}\}}|<\w{{1,64}}>{_WIDTHS}\w*+",
        r"|(?<!\d%)(?<!\d %)(?:[A-Za-z_]\w*+%(?![\w%(@{<#+]|[-.]\d)",
        rf"|{_WIDTHS}(?:[A-Za-z_]\w*+|@)|L?[1-9]\d?+(?![.,%]?\d))",
        r"|(?<=\d %)[sdiufgxcq](?!\w))",
    ),
    # $name, $name->field, $t(key)
    _shape(
        SpanKind.PLACEHOLDER,
        "$",
        r"\$(?<![\w$]\$)[A-Za-z_]\w*+(?:\[[^\[\]\s]{1,64}\]|->\w++|\$)?+(?:\([^()\s]{0,64}\))?+",
    ),
    # :name; no times, no emoticons.
    _shape(SpanKind.PLACEHOLDER, ":", r":(?<![\w:)]:)[A-Za-z_][A-Za-z0-9_]++(?![\w:)])"),
    _shape(SpanKind.PLACEHOLDER, "@", r"@(?<!\w@)[A-Za-z_]\w*+@(?!\w)"),
    # What a text within a program's text escapes; `path\to\name` has folders.
    _shape(
        SpanKind.PLACEHOLDER,
        "\\",
        r"(?:\\(?:[\"'\\]|(?:(?<!\w\\)[nrt0]|[nrt](?![a-z]))|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}))++",
    ),
    # Tags, comments, instructions of templates; an element of code as a whole.
    _shape(
        SpanKind.CODE,
        "<",
        r"<(?:/?+[A-Za-z][\w:.-]*+(?:\s++[\w:@.#*\[\]()\u2026-]++(?:\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'<>=]++))?+)*+\s*+/?+>",
        r"|/?+\d++/?+>|/?>|!--(?:(?!--)(?s:.))*+-->|![A-Za-z][^<>]*+>|\?[^<>?]*+\?>|%[^<>%]*+%>)",
    ),
    _shape(SpanKind.CODE, "</", r"<(code|kbd|samp|var|pre|script|style)>[^<>]{1,1000}</\1>"),
    _shape(SpanKind.CODE, "&", r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});"),
    _shape(SpanKind.CODE, "[", rf"\[(?:/?+(?:{_BB})|(?:{_BB})=[^\[\]\n]{{1,1000}}|\[[^\[\]\n]{{1,1000}}\])\]"),
    # As many backticks as open it close it; `quoted' is no code, and what stands from there to the next one neither.
    _shape(SpanKind.CODE, "`", r"`(?<!``)(?:(?=\S)[^`\n]++(?<=\S)|(?= )[^`\n]++(?<= ))`(?!`)"),
    _shape(SpanKind.CODE, "``", r"``(?<!```)(?!`)(?:[^`\n]|`(?!`))++``(?!`)"),
    _shape(SpanKind.CODE, "```", r"```(?<!````)(?!`)(?:[^`]|`(?!``))++```(?!`)"),
    # Names of programs: foo_bar, __all__, foo(), a UUID.
    _shape(
        SpanKind.CODE,
        "_",
        r"(?<![\w.])(?:[^\W_]++\.)*+(?:_*+[^\W_]++_++[^\W_]\w*+|__[a-z][a-z0-9_]*+(?<=__))(?:\.\w++)*+(?:\(\))?+",
    ),
    _shape(SpanKind.CODE, "::", r"(?<![\w:.])[A-Za-z_]\w*+(?:::~?[A-Za-z_]\w*+)++(?:\(\))?+"),
    *(
        _shape(SpanKind.CODE, f"{kind}/", rf"(?<![\w./-]){kind}/(?:{_MEDIA})(?![\w/.+-]*\w)")
        for kind in ("application", "text", "image", "audio", "video", "multipart", "font")
    ),
    _shape(SpanKind.CODE, "()", r"(?<![\w.])[A-Za-z_][\w.:]*+(?<!:)\(\)"),
    # Addresses.
    _shape(SpanKind.URL, "://", rf"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*+://{_ADDRESS}*+", closing=_SENTENCE_ENDS),
    _shape(SpanKind.URL, "www.", rf"www\.(?<![\w.@/-]www\.){_ADDRESS}++", closing=_SENTENCE_ENDS),
    _shape(
        SpanKind.URL,
        "localhost",
        rf"localhost(?<![\w.-]localhost)(?::\d++)?+(?:/{_ADDRESS}*+)?+",
        closing=_SENTENCE_ENDS,
    ),
    _shape(
        SpanKind.EMAIL,
        "@",
        rf"(?<![\w.+%-])(?:mailto:)?+[\w.+%-]++@[\w-]++(?:\.[\w-]++)++(?:(?:\?|:(?!//)){_ADDRESS}*+)?+",
        closing=_SENTENCE_ENDS,
    ),
    # Files.
    _shape(
        SpanKind.PATH,
        "/",
        rf"(?<![\w.@+~*/<>:)-])(?:~|\.\.?+)?+/(?=[\w.~*-])(?:{_PART}++/?+)++",
        test=_has_letter,
        closing=".",
    ),
    _shape(SpanKind.PATH, "/", rf"(?<![\w.@+~*/<>:-]){_PART}++/(?:{_PART}++/?+)*+", test=_is_path, closing="."),
    _shape(
        SpanKind.PATH,
        ":\\",
        r"(?<!\w)[A-Za-z]:\\(?:[^\s\\/:*?\"<>|]++(?: [^\s\\/:*?\"<>|]++){0,3}\\)*+[^\s\\/:?\"<>|]*+",
        closing=".,;",
    ),
    _shape(SpanKind.PATH, "\\\\", r"\\\\(?<![\w\\]\\\\)[\w.-]++(?:\\[^\s\\/:*?\"<>|]++)++", closing=".,;"),
    _shape(SpanKind.PATH, " .", r"(?<=\s)\.[a-z][a-z_]++(?:[.-]\w++)*+(?![\w/])"),
    _shape(SpanKind.PATH, "*.", r"\*\.(?<![\w*]\*\.)\w++"),
    # --dry-run, --level=3, -v, -xvf
    _shape(SpanKind.FLAG, "--", r"--(?<![\w-]--)[A-Za-z][\w-]*+(?:=[^\s,;)\]\"'`]++)?+", closing="."),
    _shape(SpanKind.FLAG, "-", r"-(?<![^\s(\[\"'|,=]-)(?:[A-Za-z]|[b-df-hj-np-tv-xz]{2,4})(?![\w-])"),
    _shape(SpanKind.HANDLE, "@", r"@(?<![\w@.]@)[A-Za-z_](?:[\w-]|\.(?=\w))*+"),
    _shape(SpanKind.HANDLE, "#", r"#(?<![\w#&/]#)\w++"),
    _shape(SpanKind.VERSION, "v", r"v(?<!\wv)\d++(?:\.\d++)*+(?:[-.]?(?:rc|alpha|beta|dev|a|b)[-.]?\d*+)?+(?!\w)"),
    # Faces.
    _shape(SpanKind.SYMBOL, ":", r":(?<!\S:)['^-]?[()DPpOo3|/\\*\]\[](?!\w)|:[a-z][a-z0-9_+-]*+:(?!\w)"),
    _shape(SpanKind.SYMBOL, ";", r";(?<!\S;)-?[)(DPp](?!\w)"),
    _shape(SpanKind.SYMBOL, "<3", r"</?3(?!\w)"),
)
_DOTTED = (
    _shape(
        SpanKind.CODE, ".", r"(?<![\w.@/-])[a-z][a-z0-9]*+(?:\.[A-Za-z][A-Za-z0-9_]*+){2,}+(?![\w@-])", test=_is_dotted
    ),
    _shape(
        SpanKind.URL,
        ".",
        rf"(?<![\w.@/-])[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++(?::\d++)?+(?:/{_ADDRESS}*+)?+(?![\w@])",
        test=_is_domain,
        closing=_SENTENCE_ENDS,
    ),
    _shape(SpanKind.PATH, ".", r"(?<![\w.@/*-])[\w*][\w*-]*+(?:\.[\w-]++)++(?![\w@/])", test=_is_file),
    _shape(SpanKind.PATH, ".", r"\A\.[a-z][a-z_]++(?:[.-]\w++)*+(?![\w/])"),
    _shape(
        SpanKind.VERSION,
        ".",
        r"(?<![\w.,])(?:(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2}|:\d{1,5})(?!\w)",
        r"|\d++(?:\.\d++)*+(?:\.[xX*])?+(?:[.-]?(?:(?:a|b|c|rc)\d++|(?:alpha|beta|dev|post|pre|final)[.-]?\d*+))?+(?!\w|[.,]\d))",
        test=_is_version,
    ),
)
_PICTURES = Shape(SpanKind.SYMBOL, "", emoji.PATTERN)
_SHAPES = {sign: tuple(shape for shape in _ALL if shape.sign == sign) for sign in {shape.sign for shape in _ALL}}
_UUID = _shape(SpanKind.CODE, "-", r"(?<![\w-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])")
_GATED = ((re.compile(r"\.\w"), _DOTTED), (re.compile(r"-[0-9a-fA-F]{4}-"), (_UUID,)))
"""Shapes whose sign nearly every text has, behind what fewer have."""

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


def _is_network(text: str) -> bool:
    """Whether numbers with colons between are an address: `fe80::1`, and not `10::20`."""
    return any(map(str.isdigit, text)) and (text[0] == ":" or text.count(":") > 2 or _has_letter(text))


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
_WIDTHS = r"(?:[-+#0,]|'[^\w\s%']?+)*+[\d*]*+(?:\.[\d*]++)?+"
"""Flags, width and precision of printf; PHP's have what is padded with, Java's groups."""
_ARGUMENT = r"(?:[\w.$-]++|\"[^\"\n]{0,64}\"|'[^'\n]{0,64}')"
_LITERAL = r"(?:-?\d[\w.]*+|\"[^\"\n]{0,64}\"|'[^'\n]{0,64}')"
"""What a call may have in its brackets by itself, as the word of `file(s)` may be one's ending."""
_KEYS = r"(?:Ctrl|Control|Alt|AltGr|Option|Shift|Cmd|Command|Meta|Super|Win|Fn)"
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
    # %s, %-5.2f, %1$s, %(name)s, %@, %{name}, %name%, %1%. Letters that are glued to it belong to it: %dpx. Of
    # `100% of` and `100%d` nothing does.
    _shape(
        SpanKind.PLACEHOLDER,
        "%",
        r"%(?:%(?:[A-Za-z_]\w*+%%)?+",
        rf"|(?:\([^()\n]{{1,64}}\)|\d++\$ ?){_WIDTHS}[A-Za-z@](?:[A-Za-z]{{1,2}}(?![\w%{{<]))?+",
        rf"|(?:[-0]?\d{{1,3}})?\{{[^{{}}\n]{{0,64}}\}}|<\w{{1,64}}>{_WIDTHS}\w*+|<(?:t[A-Za-z]|[sdfxc])(?![\w>])",
        r"|(?<!\d%)(?<!\d %)(?:[A-Za-z_]\w*+(?:(?:\.\w++)++|\(x86\))?+%(?![\w%(@{<#+]|[-.]\d)",
        rf"|{_WIDTHS}(?:[A-Za-z_]\w*+|@)| [-+#]?\d*+(?:\.\d++)?[dif](?!\w)|L?[1-9]\d?+(?![.,%]?\d)%?+)",
        r"|(?<=\d %)[sdiufgxcq](?!\w))",
    ),
    # $name, $name->field, $t(key), $(name), and keys with options: $t(key, {"count": 3})
    _shape(
        SpanKind.PLACEHOLDER,
        "$",
        r"\$(?<![\w$]\$)[A-Za-z_]\w*+(?:\[[^\[\]\s]{1,64}\]|->\w++|\$)?+(?:\([^()\s]{0,64}\))?+",
    ),
    _shape(SpanKind.PLACEHOLDER, "$t(", r"\$t\((?:[^()\n]{0,200}+(?:\([^()\n]{0,100}+\))?+){1,4}+\)"),
    _shape(SpanKind.PLACEHOLDER, "$(", r"\$\([A-Za-z_][\w.:-]{0,63}+\)"),
    # $1 and what stands beside it; no money.
    _shape(
        SpanKind.PLACEHOLDER,
        "$1",
        r"\$(?<![\w$]\$)[1-9](?![\w%]|[.,]\d| (?:[mbtk]\b|(?:hundred|thousand|million|billion|trillion|bn|mn)\b))",
    ),
    # :name; no times, no emoticons.
    _shape(
        SpanKind.PLACEHOLDER,
        ":",
        r":(?<![\w:)]:)[A-Za-z_][A-Za-z0-9_]++(?![\w:)])|(?<=\():[A-Za-z_][A-Za-z0-9_]++(?=\))",
    ),
    _shape(SpanKind.PLACEHOLDER, "[:", r"\[:[A-Za-z_]\w{0,63}+\]"),
    # !name, [% name %], [*name*], *|NAME|*, [FIRST_NAME], <<name>>
    _shape(SpanKind.PLACEHOLDER, "!", r"(?<![^\s(\"'])![a-z][a-z_]{2,}+(?![\w'])"),
    _shape(SpanKind.PLACEHOLDER, "[%", r"\[%[^\[\]%\n]{1,200}+%\]"),
    _shape(SpanKind.PLACEHOLDER, "[*", r"\[\*\w{1,64}+\*\]"),
    _shape(SpanKind.PLACEHOLDER, "*|", r"\*\|[\w:.-]{1,64}+\|\*"),
    _shape(SpanKind.PLACEHOLDER, "[", r"\[[A-Z][A-Z0-9]{0,31}+(?:_[A-Z0-9]{1,31}+){1,8}+\]"),
    _shape(SpanKind.PLACEHOLDER, "<<", r"<<\w{1,64}+>>"),
    _shape(SpanKind.PLACEHOLDER, "@", r"@(?<!\w@)[A-Za-z_]\w*+@(?!\w)"),
    # What a text within a program's text escapes; `path\to\name` has folders.
    _shape(
        SpanKind.PLACEHOLDER,
        "\\",
        r"(?:\\(?:[\"'\\%*{}\[\]#&$|`0-9]|(?:(?<!\w\\)[nrt0]|[nrt](?![a-z]))|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}))++",
    ),
    # Tags, comments, instructions of templates; an element of code as a whole.
    _shape(
        SpanKind.CODE,
        "<",
        r"<(?:/?+[A-Za-z][\w:.-]*+(?:\s++[\w:@.#*\[\]()\u2026-]++(?:\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+'|[^\s\"'<>=]++))?+)*+\s*+/?+>",
        r"|/?+\d++/?+>|/?>|!--(?:(?!--)(?s:.))*+-->|![A-Za-z][^<>]*+>|\?[^<>?]*+\?>|%[^<>%]*+%>)",
    ),
    _shape(SpanKind.CODE, "</", r"<(code|kbd|samp|var|pre|script|style)>[^<>]{1,1000}</\1>"),
    _shape(SpanKind.CODE, "&lt;", r"&lt;/?+[A-Za-z](?:[^&<>\n]|&(?!lt;|gt;)){0,300}+&gt;"),
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
        r"(?<![\w.])(?:[^\W_]++\.)*+(?:_*+[^\W_]++_++[^\W_]\w*+|__[A-Za-z][A-Za-z0-9_]*+(?<=__))(?:\.\w++)*+(?:\(\))?+",
    ),
    _shape(SpanKind.CODE, "::", r"(?<![\w:.])[A-Za-z_]\w*+(?:::~?[A-Za-z_]\w*+)++(?:\(\))?+"),
    *(
        _shape(SpanKind.CODE, f"{kind}/", rf"(?<![\w./-]){kind}/(?:{_MEDIA})(?![\w/.+-]*\w)")
        for kind in ("application", "text", "image", "audio", "video", "multipart", "font")
    ),
    _shape(SpanKind.CODE, "()", r"(?<![\w.:])[A-Za-z_][\w.:]*+(?<!:)\(\)"),
    _shape(SpanKind.CODE, "->", r"(?<!\w)[A-Za-z_]\w*+->[A-Za-z_]\w*+(?:\(\))?+"),
    _shape(SpanKind.CODE, "(", rf"(?<![\w.])[A-Za-z_][\w.]*+\((?:{_ARGUMENT}(?:, ?{_ARGUMENT})++|{_LITERAL})\)"),
    _shape(SpanKind.CODE, "]", r"(?<![\w.])[A-Za-z_][\w.]*+(?:\[\d{1,9}\])++"),
    _shape(SpanKind.CODE, "+", rf"(?<![\w+]){_KEYS}(?:\+(?:\w++|[^\w\s,.;:!?)\"']))++(?!\w)"),
    _shape(SpanKind.CODE, "CVE-", r"CVE-\d{4}-\d{4,9}(?!\w)"),
    # What stands behind the words of a link in Markdown.
    _shape(SpanKind.CODE, "](", r"\]\([^\s()<>]{1,1000}+(?:\([^\s()]{0,200}+\)[^\s()]{0,1000}+)?+\)"),
    _shape(SpanKind.CODE, "\x1b[", r"\x1b\[[0-9;?]{0,32}+[A-Za-z]"),
    # Addresses.
    _shape(
        SpanKind.URL,
        "://",
        rf"(?<![A-Za-z0-9+.-])(?:jdbc:|feed:|view-source:)?+[A-Za-z][A-Za-z0-9+.-]*+://{_ADDRESS}*+",
        closing=_SENTENCE_ENDS,
    ),
    _shape(SpanKind.URL, "data:", rf"data:(?<!\wdata:)[a-z]++/[\w.+-]++[;,]{_ADDRESS}++"),
    *(
        _shape(SpanKind.URL, scheme, rf"{scheme}(?<!\w{scheme}){begin}{_ADDRESS}*+", closing=_SENTENCE_ENDS)
        for scheme, begin in (
            ("magnet:", r"\?"),
            ("tel:", r"[+\d]"),
            ("sms:", r"[+\d]"),
            ("urn:", r"[a-z]++:"),
            ("about:", "[a-z]"),
        )
    ),
    _shape(
        SpanKind.URL, "//", rf"//(?<![^\s(\"'=]//)[\w-]++(?:\.[\w-]++)++(?:[:/]{_ADDRESS}*+)?+", closing=_SENTENCE_ENDS
    ),
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
    _shape(SpanKind.PATH, ":/", r"(?<!\w)[A-Za-z]:/(?!/)[^\s:*?\"<>|]++", closing=".,;)"),
    _shape(SpanKind.PATH, "%\\", r"%\w++(?:\(x86\))?%(?:\\[^\s\\/:*?\"<>|]++)++", closing=".,;)"),
    _shape(SpanKind.PATH, "\\\\", r"\\\\(?<![\w\\]\\\\)[\w.-]++(?:\\[^\s\\/:*?\"<>|]++)++", closing=".,;"),
    _shape(SpanKind.PATH, "*.", r"\*\.(?<![\w*]\*\.)\w++"),
    # --dry-run, --level=3, -v, -xvf
    _shape(SpanKind.FLAG, "--", r"--(?<![\w-]--)[A-Za-z][\w-]*+(?:=[^\s,;)\]\"'`]++)?+", closing="."),
    _shape(SpanKind.FLAG, "-", r"-(?<![^\s(\[\"'|,=]-)(?:[A-Za-z]|[b-df-hj-np-tv-xz]{2,4})(?![\w-])"),
    _shape(SpanKind.FLAG, "=", r"(?<![^\s(\[\"'|,=])-[A-Za-z][\w.-]*+=[^\s,;)\]\"'`]++", closing="."),
    _shape(SpanKind.HANDLE, "@", r"@(?<![\w@.]@)[a-z][\w-]*+/[a-z][\w-]*+"),
    _shape(SpanKind.HANDLE, "@", r"@(?<![\w@.]@)[A-Za-z_](?:[\w-]|\.(?=\w))*+"),
    _shape(SpanKind.HANDLE, "#", r"#(?<![\w#&/]#)\w++"),
    _shape(SpanKind.VERSION, "v", r"v(?<!\wv)\d++(?:\.\d++)*+(?:[-.]?(?:rc|alpha|beta|dev|a|b)[-.]?\d*+)?+(?!\w)"),
    # Addresses of networks and of their cards.
    _shape(
        SpanKind.VERSION,
        "::",
        r"(?<![\w:.])(?:(?:[0-9A-Fa-f]{1,4}:){1,7}|:):(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?(?:/\d{1,3})?(?![\w:])",
        test=_is_network,
    ),
    _shape(
        SpanKind.VERSION,
        ":",
        r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?:/\d{1,3})?(?![\w:])|(?<![\w:.])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])",
    ),
    # Faces.
    _shape(SpanKind.SYMBOL, "ツ", r"¯\\{0,3}_\(ツ\)_/¯"),
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
    _shape(SpanKind.PATH, ".", r"(?:\A|(?<=[\s(\"'\[]))\.[a-z][a-z_]++(?:[.-]\w++)*+(?![\w/])"),
    _shape(
        SpanKind.VERSION,
        ".",
        r"(?<![\w.,])(?:(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2}|:\d{1,5})(?!\w)",
        r"|\d++(?:\.\d++)*+(?:\.[xX*])?+(?:[.-]?(?:(?:a|b|c)\d++|(?:rc|alpha|beta|dev|post|pre|final)[.-]?\d*+))?+(?!\w|[.,]\d))",
        test=_is_version,
    ),
)
_PICTURES = Shape(SpanKind.SYMBOL, "", emoji.PATTERN)
_SHAPES = {sign: tuple(shape for shape in _ALL if shape.sign == sign) for sign in {shape.sign for shape in _ALL}}
_UUID = _shape(SpanKind.CODE, "-", r"(?<![\w-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])")
_CAMEL = _shape(SpanKind.CODE, "", r"(?<![\w.@/-])[a-z]{2,}+[a-z0-9]*+(?:[A-Z][a-z0-9]++)++(?!\w)(?:\(\))?+")
_HEX = _shape(
    SpanKind.CODE, "", r"(?<![\w-])(?:(?:sha\d{1,3}|md5):)?+(?=[a-f]*+[0-9])(?=[0-9]*+[a-f])[0-9a-f]{7,128}+(?![\w-])"
)
_ADDRESS_OF_MEMORY = _shape(SpanKind.CODE, "", r"(?<!\w)0[xX][0-9A-Fa-f]++(?!\w)")
_LONG_NUMBER = _shape(SpanKind.CODE, "", r"(?<![\w.,])\d{10,64}+(?!\w|[.,]\d)")
_GATED = (
    (re.compile(r"\.\w"), _DOTTED),
    (re.compile(r"-[0-9a-fA-F]{4}-"), (_UUID,)),
    (re.compile(r"[a-z][A-Z]"), (_CAMEL,)),
    (re.compile(r"[0-9][a-f]|[a-f][0-9]"), (_HEX,)),
    (re.compile(r"0[xX]"), (_ADDRESS_OF_MEMORY,)),
    (re.compile(r"[0-9]{10}"), (_LONG_NUMBER,)),
)
"""Shapes whose sign nearly every text has, behind what fewer have."""

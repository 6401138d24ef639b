"""Recognised by their looks: what programs fill in and read, addresses, files, symbols."""

import pytest

from dragoman.server.core.protection import RECOGNISED, SpanKind
from dragoman.server.text.recognition.shapes import shape_spans, without_closing


def found(text: str, *kinds: SpanKind) -> list[str]:
    """The outermost stretches that are recognised, in order."""
    spans = sorted((span for span, _ in shape_spans(text, frozenset(kinds) or RECOGNISED)), key=lambda s: (s[0], -s[1]))
    outer = [span for index, span in enumerate(spans) if all(span.end > earlier.end for earlier in spans[:index])]
    return [text[span.start : span.end] for span in outer]


@pytest.mark.parametrize(
    "text",
    [
        "%s|%d|%i|%1$s|%2$d|%5.2f|%-10s|%05d|%+d|%ld|%lu|%@|%1$@|%.3g|%*d|%x|%n|%(name)s|%(count)05d|%%|%{name}|%<price>.2f",
        "%name%|%dpx|%sMB|%(size)sMB|%1|%L1|%%name%%",
        "%1%|%user.name%|%2$,d|%,d|%'d|% d|%1$'010d|%'.10d|%-10{x}|%<tY|%ProgramFiles(x86)%",
        "[% name %]|[*name*]|[:name]|[FIRST_NAME]|<<name>>|!link|$(name)|$(a.b)",
        '$t(key, {"count": 3})|$t(items, { "count": {{n}} })|$t(a, f(b))',
        "{}|{0}|{count}|{0:.2f}|{user.name}|{items[0]}|{value!r:>10}|${var}|#{var}|%{var}|@{var}",
        "{{ name }}|{{{ name }}}|{% if x > 1 %}|{# note #}|{{count}}|{!! raw !!}",
        "{n, plural, one {# item} other {# items}}|{when, date, short}|{x,select,a{A {n} b}other{}}",
        '{:>width$}|{!r}|{:.2f}|{0:dd MMM yyyy HH:mm}|{ NUMBER($n, digits: 2) }|{ -term(case: "gen") }|{First Name}',
        '{ $n -> [one] one *[other] many }|{@link Foo#bar()}|{ "" }',
        "$name|$user->name|$list[0]|$t(key.path)|:name|:user_id|@name@",
        r"\n|\t|\r\n|\u00e9|\x1b|\%|\*|\1|\{",
    ],
)
def test_what_a_program_fills_in(text: str) -> None:
    """In every notation, and nothing but it."""
    parts = text.split("|")

    for part in parts:
        assert found(f"see {part} here", SpanKind.PLACEHOLDER) == [part]
        assert found(f'"{part}".', SpanKind.PLACEHOLDER) == [part]


def test_letters_behind_a_named_placeholder_are_words() -> None:
    """But a unit of two letters belongs to it."""
    assert found("please %(link)ssign up%(end)s") == ["%(link)s", "%(end)s"]
    assert found("%(size)sMB free") == ["%(size)sMB"]


@pytest.mark.parametrize(
    "text",
    [
        "100% of it, 50 % der, 5%, 100%d and 20 %sure",
        "At 10:30 or 7:45:10, note: this. Ratio 1:2",
        "text/audio or an image/link, application/forms text/plainly",
        "MM, DD and YYYY, HH of MMS, add-ons, yy/x, h/d and m-s, dd or mm",
        "and/or km/h 1/2 24/7 he/she TCP/IP w/o 10/12/2024 n/a",
        "It costs $5, US$ 10, A$AP or R$20",
        "e.g. this, i.e. that, U.S. law, 5 p.m. today. The end.It was fine.Next",
        "1.5 or 1,000.25 or 1.234.567 or 12.05.2024 or 3.11",
        "well-known, first-class, 10-20, -5, - no, co-operate",
        "fish & chips, AT&T; R&D",
        "Wow! really, the %(of all) is 5 % d'or",
        "10::20, 10:30:45, iPhone and macOS, JavaScript, YouTube, McDonald, 0x, a1b2, decade, 123456789",
        "the file(s) of a user(name), sizes (5), Shift+, Option-based, 1+1, a [0], word -> word",
        "data: one, tel: five, about: this, urn: x, // not",
        "item(s), f(x) and (a)",
        "{ this is prose in braces }",
        "a < b and c > d, 1 <2",
        "[sic] and [1] and [see below]",
        "It's \"quoted\" and 'quoted' and *so* and _so_",
        "___ fill in ____",
    ],
)
def test_prose_stays_prose(text: str) -> None:
    """What only looks like something."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("(see http://x.org/a_(b)).", ["http://x.org/a_(b)"]),
        ("at https://a.b/c?d=1&e=2#f, or", ["https://a.b/c?d=1&e=2#f"]),
        ("“https://a.b/”…", ["https://a.b/"]),
        ("请看https://a.b/c。谢谢", ["https://a.b/c"]),
        ("www.foo.de/bar! localhost:8000/x?", ["www.foo.de/bar", "localhost:8000/x"]),
        ("On example.com or sub.example.org:80/x.", ["example.com", "sub.example.org:80/x"]),
        ("<https://a.b>", ["https://a.b"]),
        ("https://{host}/%s", ["https://{host}/%s"]),
        ("bob@example.com, a.b+c@d-e.co.uk.", ["bob@example.com", "a.b+c@d-e.co.uk"]),
        ("mailto:a@b.com?subject=x", ["mailto:a@b.com?subject=x"]),
        (
            "data:image/png;base64,iVBORw0KGgo= tel:+351-21-000.",
            ["data:image/png;base64,iVBORw0KGgo=", "tel:+351-21-000"],
        ),
        ("magnet:?xt=urn:btih:a, urn:isbn:0451450523", ["magnet:?xt=urn:btih:a", "urn:isbn:0451450523"]),
        (
            "jdbc:mysql://h:3306/db (//cdn.a.com/x.js) about:config",
            ["jdbc:mysql://h:3306/db", "//cdn.a.com/x.js", "about:config"],
        ),
        ("fe80::1, ::1 2001:db8::/32 00:1A:2B:3C:4D:5E", ["fe80::1", "::1", "2001:db8::/32", "00:1A:2B:3C:4D:5E"]),
        ("Read [the terms](https://a.b/c_(d)) now", ["](https://a.b/c_(d))"]),
        ("git@github.com:foo/bar.git", ["git@github.com:foo/bar.git"]),
        ("@user, #tag #1", ["@user", "#tag", "#1"]),
    ],
)
def test_addresses(text: str, parts: list[str]) -> None:
    """Without the punctuation of the sentence."""
    assert found(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("~/.bashrc, /etc/fstab.", ["~/.bashrc", "/etc/fstab"]),
        ("../x ./y src/*.py **/*.txt *.py", ["../x", "./y", "src/*.py", "**/*.txt", "*.py"]),
        (
            r"C:\x or C:\Program Files\a b\c.txt, \\host\share",
            [r"C:\x", r"C:\Program Files\a b\c.txt", r"\\host\share"],
        ),
        ("README.md, setup.py (package.json) .gitignore", ["README.md", "setup.py", "package.json", ".gitignore"]),
        (r"D:/a/x.csv, (.env) '.rst' %APPDATA%\App\x.ini", ["D:/a/x.csv", ".env", ".rst", r"%APPDATA%\App\x.ini"]),
        ("-DNAME=1 -o=x, @org/pkg 1.2.3-rc.1", ["-DNAME=1", "-o=x", "@org/pkg", "1.2.3-rc.1"]),
        ("$1 edited by $2, $15 or $5.50, $1 million, A$1", ["$1", "$2"]),
        (
            "fooBar maxLength() obj->name a->b() 0xFF 0123456789",
            ["fooBar", "maxLength()", "obj->name", "a->b()", "0xFF", "0123456789"],
        ),
        (
            'f(x, y) rgb(0,0,0) print("hi") man ls(1), arr[0][1]',
            ["f(x, y)", "rgb(0,0,0)", 'print("hi")', "ls(1)", "arr[0][1]"],
        ),
        (
            "Ctrl+C Ctrl+Alt+Del, Shift+F10. 9f86d08 sha256:9f86d081884c",
            ["Ctrl+C", "Ctrl+Alt+Del", "Shift+F10", "9f86d08", "sha256:9f86d081884c"],
        ),
        (
            "__NAME__ CVE-2021-44228 \x1b[31mred\x1b[0m (:name)",
            ["__NAME__", "CVE-2021-44228", "\x1b[31m", "\x1b[0m", ":name"],
        ),
        ("¯\\_(ツ)_/¯ *|FNAME|*", ["¯\\_(ツ)_/¯", "*|FNAME|*"]),
        ("src/lib/ and a/b.c", ["src/lib/", "a/b.c"]),
        ("--dry-run --level=3, -v -xvf", ["--dry-run", "--level=3", "-v", "-xvf"]),
        ("v1.2.3 1.2.3 2.0-beta 2.x v2 1.0rc1.", ["v1.2.3", "1.2.3", "2.0-beta", "2.x", "v2", "1.0rc1"]),
        ("192.168.0.1 10.0.0.0/8 127.0.0.1:80", ["192.168.0.1", "10.0.0.0/8", "127.0.0.1:80"]),
        ("foo_bar CONST_X __all__ a.b_c() foo() x.y()", ["foo_bar", "CONST_X", "__all__", "a.b_c()", "foo()", "x.y()"]),
        ("__slots__ of __x1__, x.__dict__", ["__slots__", "__x1__", "x.__dict__"]),
        ("django.contrib.auth", ["django.contrib.auth"]),
        ("The value `x' is `y' or `z`, ` a b ` too", ["`z`", "` a b `"]),
        ("`git push` ``a`b`` ```\nx\n```", ["`git push`", "``a`b``", "```\nx\n```"]),
        ("std::vector::push_back, a::b() 10::20 :: x", ["std::vector::push_back", "a::b()"]),
        (
            "application/json text/* image/svg+xml, text/html;",
            ["application/json", "text/*", "image/svg+xml", "text/html"],
        ),
        ("123e4567-e89b-12d3-a456-426614174000", ["123e4567-e89b-12d3-a456-426614174000"]),
        (":) :-D ;) <3", [":)", ":-D", ";)", "<3"]),
        (":smile: :+1:", [":smile:"]),
    ],
)
def test_what_programs_read(text: str, parts: list[str]) -> None:
    """Files, flags, versions, names; and faces."""
    assert found(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<a href=\"x\" class='y' z>b</a><br/>", ["<a href=\"x\" class='y' z>", "</a>", "<br/>"]),
        ("<0>x</0> <1/> <!-- no -- yes --> <!DOCTYPE html>", ["<0>", "</0>", "<1/>", "<!DOCTYPE html>"]),
        ("<!-- one\ntwo --> <?php x ?> <% y %>", ["<!-- one\ntwo -->", "<?php x ?>", "<% y %>"]),
        ("<code>git push</code> <kbd>Ctrl</kbd>", ["<code>git push</code>", "<kbd>Ctrl</kbd>"]),
        ("&nbsp;&amp; &#39; &#x1F600;", ["&nbsp;", "&amp;", "&#39;", "&#x1F600;"]),
        ("[b]bold[/b] [url=http://x]y[/url] [[link]]", ["[b]", "[/b]", "[url=http://x]", "[/url]", "[[link]]"]),
        ('<a rel="noreferrer" …>', ['<a rel="noreferrer" …>']),
        (
            '<input value="a > b"> &lt;b class="x"&gt;bold&lt;/b&gt;',
            ['<input value="a > b">', '&lt;b class="x"&gt;', "&lt;/b&gt;"],
        ),
    ],
)
def test_tags_in_plain_text(text: str, parts: list[str]) -> None:
    """The words between them are translated, but those of code."""
    assert found(text, SpanKind.CODE) == parts


@pytest.mark.parametrize(
    "text",
    [
        "YYYY-MM-DD|YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ]|[DD] [[HH:]MM:]ss[.uuuuuu]|HH:MM[:ss]|DD/MM/YYYY|MM/DD|dd.mm.yy",
        "mm/dd/yyyy|yyyy/mm/dd hh:mm:ss|YYYY-MM-DDTHH:mm:ss.fff|mm:ss|d/m/Y|Y-m-d|H:i:s",
    ],
)
def test_how_dates_are_to_be_written(text: str) -> None:
    """Whole, with what is in brackets."""
    for part in text.split("|"):
        assert found(f"as {part} here") == [part]
        assert found(f"({part}).") == [part]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"One\nTwo", [r"\n"]),
        (r"one.\nTwo\n\nThree\t5", [r"\n", r"\n\n", r"\t"]),
        (r"path\to\new and one\ntwo", []),
        (r"\new and \"quoted\"", [r"\n", r"\"", r"\""]),
    ],
)
def test_escapes_between_words(text: str, parts: list[str]) -> None:
    """A letter that goes on in small letters behind a word may be a folder's."""
    assert found(text, SpanKind.PLACEHOLDER) == parts


def test_only_the_kinds_that_are_asked_for() -> None:
    """Each shape has one."""
    text = "%s https://a.b x@y.zz /etc/a --b-c `d` #e v1.2 \U0001f600"
    kinds = [SpanKind.PLACEHOLDER, SpanKind.URL, SpanKind.EMAIL, SpanKind.PATH, SpanKind.FLAG, SpanKind.CODE]
    kinds += [SpanKind.HANDLE, SpanKind.VERSION, SpanKind.SYMBOL]

    assert [found(text, kind) for kind in kinds] == [[part] for part in text.split()]
    assert [*shape_spans(text, frozenset())] == []


@pytest.mark.parametrize(
    ("address", "left"),
    [("a).", "a"), ("a(b)", "a(b)"), ("a(b))", "a(b)"), ("a)))]}", "a"), ("...", ""), ("a/", "a/"), ("((a", "((a")],
)
def test_what_closes_a_sentence_is_no_part_of_an_address(address: str, left: str) -> None:
    """A bracket is where it opens one."""
    assert without_closing(address, ".,") == left

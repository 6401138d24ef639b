"""What must come through, translated by the model that comes with the project: `make text-table` writes the page."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.protection import WarningKind
from dragoman.server.core.requests import InputFormat, Output, Request
from dragoman.server.core.translations import Translation

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "server/reference/text.md"
MODEL = ROOT / "models/en-pt"


@dataclass(frozen=True)
class Row:
    """A text, and what of it must stand in its translation as often as there."""

    text: str
    kept: tuple[str, ...]
    warning: WarningKind | None = None
    form: InputFormat = InputFormat.PLAIN


ROWS = (
    Row("Hello %1$s, you have {count} new messages.", ("%1$s", "{count}")),
    Row(
        "Visit https://example.com/a?b=1&c=2 or mail bob@example.com.",
        ("https://example.com/a?b=1&c=2", "bob@example.com"),
    ),
    Row("\U0001f389 Party time!", ("\U0001f389",)),
    Row("Price: 18,10 \u20ac", ("18,10 \u20ac",)),
    Row("\u3053\u3093\u306b\u3061\u306f", ("\u3053\u3093\u306b\u3061\u306f",), WarningKind.UNTRANSLATED),
    Row("Send it to \u7530\u4e2d today.", ("\u7530\u4e2d",)),
    Row("<p>Click <b>here</b> to <a href='x'>log in</a>.</p>", ("<p>", "<b>", "</b>", "<a href='x'>", "</a>", "</p>")),
    Row("Call `foo_bar()` with --dry-run.", ("`foo_bar()`", "--dry-run")),
    Row("The field %(name)s must have at least %(min)d characters.", ("%(name)s", "%(min)d")),
    Row("%d of %d files were copied.", ("%d", "%d")),
    Row("{0} invited {1} to {2}.", ("{0}", "{1}", "{2}")),
    Row("Welcome back, ${user.name}!", ("${user.name}",)),
    Row("Dear {{ customer.first_name }}, your order is ready.", ("{{ customer.first_name }}",)),
    Row("Signed in as %{login} on %{host}.", ("%{login}", "%{host}")),
    Row("{n, plural, one {# file} other {# files}} selected", ("{n, plural, one {# file} other {# files}}",)),
    Row("The :attribute field is required.", (":attribute",)),
    Row("{total:.2f} euros were paid by {payer!r}.", ("{total:.2f}", "{payer!r}")),
    Row("See http://localhost:8080/#/settings for details.", ("http://localhost:8080/#/settings",)),
    Row("Our site is www.example.org/help, open day and night.", ("www.example.org/help",)),
    Row("Write to first.last+tag@mail.example.co.uk before Friday.", ("first.last+tag@mail.example.co.uk",)),
    Row("Open /etc/hosts and look for the name of the server.", ("/etc/hosts",)),
    Row(r"The file is in C:\Users\Ana\notes.txt now.", (r"C:\Users\Ana\notes.txt",)),
    Row("Run it with -v or with --log-level=debug to see more.", ("-v", "--log-level=debug")),
    Row("Set `max_length = 10` and restart.", ("`max_length = 10`",)),
    Row("Use ``git rebase -i HEAD~3`` to edit your commits.", ("``git rebase -i HEAD~3``",)),
    Row("Follow @dragoman_mt and write about it with #translation.", ("@dragoman_mt", "#translation")),
    Row("Version v2.10.3-beta.1 is out.", ("v2.10.3-beta.1",)),
    Row("I love \U0001f355 and \U0001f35d!", ("\U0001f355", "\U0001f35d")),
    Row(
        "The family \U0001f468\u200d\U0001f469\u200d\U0001f467 is here \u2764\ufe0f",
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f"),
    ),
    Row("Step 1 \u2192 step 2 \u2192 done \u2705", ("\u2192", "\u2192", "\u2705")),
    Row("\u041f\u0440\u0438\u0432\u0435\u0442 means hello.", ("\u041f\u0440\u0438\u0432\u0435\u0442",)),
    Row("Ask \u0645\u062d\u0645\u062f about the house.", ("\u0645\u062d\u0645\u062f",)),
    Row("{first}{second}", ("{first}{second}",)),
    Row("{a} / {b}", ("{a} / {b}",)),
    Row("Delete X1 and {name}?", ("X1", "{name}")),
    Row("Line one.\r\n\r\n  Line two with {x}.\r\n", ("\r\n\r\n  ", "{x}", ".\r\n")),
    Row("Name:\t{name}\tAge:\t{age}", ("\t{name}\t", "\t{age}")),
    Row("\u00a0\u00a0The dog sleeps.\u00a0\n\n\tThe cat too.  ", ("\u00a0\u00a0", "\u00a0\n\n\t", "  ")),
    Row(
        "You have {n} new message(s) from %s at https://example.com/inbox \U0001f4ec",
        ("{n}", "%s", "https://example.com/inbox", "\U0001f4ec"),
    ),
    Row("Are you sure? {name} will be deleted. This cannot be undone.", ("{name}",)),
    Row("It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format.", ("YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ]",)),
    Row("The answer is on page\u00a05 of the book.", ("\u00a05",)),
    Row("Send the file as application/json, please.", ("application/json",)),
    Row(
        "<p>Click <b>here</b> to <a href='x'>log in</a>.</p>",
        ("<p>", "<b>", "</b>", "<a href='x'>", "</a>", "</p>"),
        form=InputFormat.HTML,
    ),
    Row(
        "Read the [**new** guide](https://example.org/a_b) and run `make test`.",
        ("[**", "**", "](https://example.org/a_b)", "`make test`"),
        form=InputFormat.MARKDOWN,
    ),
)


def translated() -> list[Translation]:
    """The rows' translations."""
    with LocalTranslator(MODEL, threads=1) as translator:
        outcomes = [
            outcome
            for row in ROWS
            for outcome in translator.outcomes(Request((row.text,), output=Output(kept_spans=True), format=row.form))
        ]
    assert all(isinstance(outcome, Translation) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Translation)]


def problems(row: Row, translation: Translation) -> list[str]:
    """What is not right about a translation."""
    wrong = [
        f"{part!r} is there {translation.text.count(part)} times, not {row.text.count(part)}"
        for part in Counter(row.kept)
        if translation.text.count(part) != row.text.count(part)
    ]
    warnings = [warning.kind for warning in translation.warnings]
    if warnings != ([row.warning] if row.warning else []):
        wrong.append(f"the warnings are {warnings}")
    return wrong


def page(translations: list[Translation]) -> str:
    """The table."""
    lines = [
        "# What comes through\n",
        "Texts as `models/en-pt` translates them by default, and how each protected span came into the translation.",
        "Tags are protected in plain texts; with their `format` they stand around the words that translate theirs.",
        "Line ends and other white space are shown as `\\r\\n` and the like. `make text-table` writes this page, and a",
        "test compares it with what the model says.\n",
        "| text | format | translation | kept |",
        "|---|---|---|---|",
    ]
    for row, translation in zip(ROWS, translations, strict=True):
        counts = vars(translation.keeping) if translation.keeping else {}
        kept = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number)
        warned = "".join(f"; {warning.kind.value}" for warning in translation.warnings)
        lines.append(f"| {_cell(row.text)} | {row.form.value} | {_cell(translation.text)} | {kept}{warned} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    shown = text.translate({10: "\\n", 13: "\\r", 9: "\\t", 0xA0: "\\u00a0"}).replace("|", "\\|")
    ticks = "```" if "``" in shown else "``" if "`" in shown else "`"
    space = " " if len(ticks) > 1 else ""
    return f"{ticks}{space}{shown}{space}{ticks}"


def main() -> int:
    """Write the page; say what is not right."""
    translations = translated()
    wrong = [(row.text, found) for row, one in zip(ROWS, translations, strict=True) if (found := problems(row, one))]
    for text, found in wrong:
        print(f"{text!r}: {'; '.join(found)}", file=sys.stderr)
    PAGE.write_text(page(translations), "utf-8")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

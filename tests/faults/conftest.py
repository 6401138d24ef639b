"""Faults that are brought about, and the table of what came of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROWS = pytest.StashKey[list["Row"]]()
HEAD = ("fault", "holds", "what happens", "seen after", "lost")


@dataclass
class Row:
    """A fault: a line of the table."""

    fault: str
    happens: str = ""
    seen: str = "-"
    """How long it takes until somebody can see it: by a status, a probe, a metric."""
    lost: str = "-"
    holds: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """As they are printed."""
        return (self.fault, {True: "yes", False: "NO"}.get(self.holds, "?"), self.happens, self.seen, self.lost)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Callable[[str], Row]:
    """Begin a line of the table; whether the fact holds is the test's outcome."""

    def begin(name: str) -> Row:
        row = Row(name)
        request.config.stash[ROWS].append(row)
        request.node.stash[ROWS] = [*request.node.stash.get(ROWS, []), row]
        return row

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    report = yield
    for row in item.stash.get(ROWS, []):
        if call.when == "call":
            row.holds = call.excinfo is None
        elif call.excinfo is not None:
            row.holds = False
        if call.excinfo is not None and not row.happens:
            row.happens = " ".join(str(call.excinfo.value).split())[:160] or call.excinfo.typename
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, also as a file: `faults.md` in the folder of exported bundles."""
    rows = config.stash[ROWS]
    if not rows:
        return
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD) - 1)]
    terminalreporter.section("what became of the faults")
    for line in lines:
        terminalreporter.write_line("  ".join([*map(str.ljust, line, widths), line[-1]]).rstrip())
    text = ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]
    text.insert(1, "|" + "---|" * len(HEAD))
    folder = Path(os.environ.get("CACHE", Path(__file__).parents[2] / ".cache"))
    if folder.is_dir():
        stamp = time.strftime("%Y-%m-%d %H:%M")
        (folder / "faults.md").write_text("\n".join([f"{stamp}", "", *text]) + "\n", "utf-8")

"""What comes through, by the model that comes with the project."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "bench/text_table.py"


@pytest.fixture(scope="module")
def table() -> Any:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("text_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["text_table"] = module  # where its dataclass looks for its own module
    spec.loader.exec_module(module)
    return module


def test_every_row_comes_through(table: Any) -> None:
    """And the page has the rows as they are translated now."""
    translations = table.translated()

    assert [problem for pair in zip(table.ROWS, translations, strict=True) for problem in table.problems(*pair)] == []
    assert table.PAGE.read_text("utf-8") == table.page(translations)

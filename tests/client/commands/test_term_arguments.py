"""Terms of a command line."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from dragoman.client.commands import term_arguments
from dragoman.client.types import Options
from dragoman.glossary.terms import GlossaryError, Term


def parsed(*line: str) -> Options:
    """What a command line asks for."""
    parser = ArgumentParser()
    term_arguments.register(parser)
    return term_arguments.with_terms(Options(beam_size=2), parser.parse_args(line))


def test_nothing_is_asked_for_by_itself() -> None:
    """The options stay as they are."""
    assert parsed() == Options(beam_size=2)


def test_terms_and_phrases_are_listed_in_order() -> None:
    """A target may hold equals signs; options are for all of them."""
    options = parsed("--term", "plugin=extensão", "--keep", "Marble Madness", "--term", " a = b=c ", "--term-inflected")

    assert options.terms == (
        Term("plugin", "extensão", inflected=True),
        Term("a", "b=c", inflected=True),
        Term("Marble Madness", do_not_translate=True, inflected=True),
    )
    assert parsed("--keep", "x", "--term-case").terms == (Term("x", do_not_translate=True, case_sensitive=True),)


def test_a_glossary_is_a_name_or_a_file(tmp_path: Path) -> None:
    """Names are the server's; what ends in .tsv or lies in a folder is read here, and keeps its own options."""
    (tmp_path / "ui.tsv").write_text("board game\tjogo de tabuleiro\tinflected\n", "utf-8")
    (tmp_path / "keep").write_text("Zelmar", "utf-8")

    options = parsed("--glossary", "brands", "--glossary", str(tmp_path / "ui.tsv"), "--glossary", f"{tmp_path}/keep")

    assert options.glossaries == ("brands",)
    assert options.terms == (
        Term("board game", "jogo de tabuleiro", inflected=True),
        Term("Zelmar", do_not_translate=True),
    )


@pytest.mark.parametrize("line", [["--term", "plugin"], ["--term", "=x"], ["--term", "x="], ["--keep", " "]])
def test_what_is_no_term_is_a_wrong_argument(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As argparse says it, with the reason."""
    with pytest.raises(SystemExit):
        parsed(*line)

    assert f"argument {line[0]}: " in capsys.readouterr().err


def test_a_file_that_is_no_glossary_is_named(tmp_path: Path) -> None:
    """With the line, or with what is no UTF-8."""
    (tmp_path / "a.tsv").write_text("a\tb\tc\td\n", "utf-8")
    (tmp_path / "b.tsv").write_bytes(b"\xff\n")

    with pytest.raises(GlossaryError, match=r"a\.tsv: line 1: 4 columns"):
        parsed("--glossary", str(tmp_path / "a.tsv"))
    with pytest.raises(GlossaryError, match=r"b\.tsv: no UTF-8"):
        parsed("--glossary", str(tmp_path / "b.tsv"))

"""Glossaries of a folder, and what becomes of them when it changes."""

import logging
import os
from pathlib import Path

import pytest

from dragoman.server.core.errors import InvalidRequest, StartError
from dragoman.server.pipeline.glossaries import MAX_GLOSSARIES, Glossaries


def write(path: Path, text: str, *, old: bool = False) -> None:
    """A file as it is once it is written; `old` ones have been there for long."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    if old:
        os.utime(path, (1, 1))


def sources(glossaries: Glossaries, name: str, model: str = "m") -> list[str]:
    """What a glossary knows."""
    [glossary] = glossaries.named([name], model)
    return [term.source for term in glossary.finder.terms]


def test_files_of_a_folder_are_glossaries(tmp_path: Path) -> None:
    """Those in it are for all models, those in a folder of a model's name for that one, and before others."""
    for name in (
        "brands.tsv",
        "m/brands.tsv",
        "m/ui.tsv",
        "n/law.tsv",
        "notes.txt",
        ".brands.tsv",
        "a b.tsv",
        "m/deep/x.tsv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, f"{name}\n")

    glossaries = Glossaries(str(tmp_path))

    assert [glossary.name for glossary in glossaries.of_model("m")] == ["brands", "ui"]
    assert [glossary.name for glossary in glossaries.of_model("n")] == ["brands", "law"]
    assert sources(glossaries, "brands", "m") == ["m/brands.tsv"]
    assert sources(glossaries, "brands", "n") == ["brands.tsv"]


def test_no_folder_is_no_glossary() -> None:
    """And whoever names one is told so."""
    with pytest.raises(InvalidRequest, match=r"^glossaries\[0\]: .*'x'; the server has none: send its terms in terms"):
        Glossaries().named(["x"], "m")

    assert Glossaries().of_model("m") == Glossaries().named([], "m") == []


def test_names_of_a_request_are_checked(tmp_path: Path) -> None:
    """One that is not known is named with those that are; one twice is one; more than the limit are refused."""
    write(tmp_path / "ui.tsv", "a\tb\n")
    glossaries = Glossaries(str(tmp_path))

    assert [glossary.name for glossary in glossaries.named(["ui", "ui"], "m")] == ["ui"]
    with pytest.raises(InvalidRequest, match=r"^glossaries\[1\]: no glossary for m is called 'UI'; there are ui"):
        glossaries.named(["ui", "UI"], "m")
    with pytest.raises(InvalidRequest, match="17 glossaries, the limit is 16"):
        glossaries.named(["ui"] * (MAX_GLOSSARIES + 1), "m")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Also one that is new, and one that is gone is known no more; what has not changed is not read."""
    reads: list[str] = []
    write(tmp_path / "ui.tsv", "a\tb\n", old=True)
    write(tmp_path / "law.tsv", "x\ty\n", old=True)
    glossaries = Glossaries(str(tmp_path), reads.append, still_s=0)

    write(tmp_path / "ui.tsv", "c\td\n")
    (tmp_path / "law.tsv").unlink()
    write(tmp_path / "new.tsv", "e\tf\n")
    glossaries.look()
    glossaries.look()

    assert [glossary.name for glossary in glossaries.of_model("m")] == ["new", "ui"]
    assert sources(glossaries, "ui") == ["c"]
    assert reads == ["taken"] * 4


@pytest.mark.parametrize("text", ["a\tb\nc\td", "a\tb\tnonsense\n", "a\tb\na\tc\n"])
def test_a_file_that_is_no_glossary_keeps_the_old_one(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Half written or malformed: the log says why, once, and what was in force stays so until the file is mended."""
    reads: list[str] = []
    write(tmp_path / "ui.tsv", "old\talt\n", old=True)
    glossaries = Glossaries(str(tmp_path), reads.append, still_s=0)

    write(tmp_path / "ui.tsv", text)
    with caplog.at_level(logging.INFO):
        glossaries.look()
        glossaries.look()

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "glossary_not_taken"
    ]
    assert sources(glossaries, "ui") == ["old"]
    write(tmp_path / "ui.tsv", "mended\tgut\n")
    glossaries.look()
    assert sources(glossaries, "ui") == ["mended"]
    assert reads == ["taken", "kept_old", "taken"]


def test_a_folder_that_is_away_takes_nothing_with_it(tmp_path: Path) -> None:
    """A mount that is gone for a moment, say."""
    folder = tmp_path / "glossaries"
    write(folder / "ui.tsv", "a\tb\n")
    glossaries = Glossaries(str(folder), still_s=0)

    folder.rename(tmp_path / "away")
    glossaries.look()

    assert sources(glossaries, "ui") == ["a"]


def test_a_server_does_not_start_with_what_is_no_glossary(tmp_path: Path) -> None:
    """All files that are wrong are named, with the line; and so is a folder that is not there."""
    write(tmp_path / "one.tsv", "a\tb\tx\n")
    write(tmp_path / "two.tsv", "a\tb")

    with pytest.raises(StartError) as refused:
        Glossaries(str(tmp_path))
    with pytest.raises(StartError, match="no such directory"):
        Glossaries(str(tmp_path / "none"))

    assert [line.rpartition("/")[2] for line in str(refused.value).splitlines()] == [
        "one.tsv: line 1: unknown option 'x'; there are case, inflected",
        "two.tsv: its last line has no end, so it may be half written",
    ]


def test_a_file_is_read_when_it_lies_still(tmp_path: Path) -> None:
    """What is written at the moment is not read, though it ends with a line: the old one holds until it is whole."""
    write(tmp_path / "ui.tsv", "old\talt\n")
    glossaries = Glossaries(str(tmp_path), still_s=0.2)
    write(tmp_path / "ui.tsv", "new\tneu\n")

    problems = list(glossaries._look(tmp_path, os.stat(tmp_path / "ui.tsv").st_ctime - 0.1))
    assert (problems, sources(glossaries, "ui")) == ([], ["old"])
    glossaries.look()

    assert sources(glossaries, "ui") == ["new"]


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A named pipe would never end."""
    os.mkfifo(tmp_path / "ui.tsv")

    assert Glossaries(str(tmp_path)).of_model("m") == []

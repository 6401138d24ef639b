"""What an interrupted run leaves."""

from pathlib import Path

from dragoman.client.documents.document import Markup
from dragoman.client.documents.journal import Journal, journal_of

OPTIONS = {"options": {"beam_size": "4"}}
ONE, TWO = (Markup.NONE, "one\nline"), (Markup.HTML, "<b>\ud800</b>")


def leave(path: Path, key: tuple[Markup, str], translation: str, problem: str = "") -> None:
    """What a run with these options leaves."""
    with Journal(path, OPTIONS) as journal:
        journal.add(key, (translation, problem))


def kept(path: Path, **more: str) -> dict[tuple[Markup, str], tuple[str, str]]:
    """What a later run finds."""
    return dict(Journal(path, {**OPTIONS, **more}).known(in_place=False))


def test_what_was_added_is_there_for_the_next_run(tmp_path: Path) -> None:
    """Those of all runs."""
    path = journal_of(tmp_path / "a.txt")
    leave(path, ONE, "um")
    leave(path, TWO, "dois", "may be incomplete")

    assert path.name == "a.txt.unfinished"
    assert kept(path) == {ONE: ("um", ""), TWO: ("dois", "may be incomplete")}


def test_what_was_added_needs_no_end(tmp_path: Path) -> None:
    """A run may be killed at any moment."""
    path = tmp_path / "journal"
    with Journal(path, OPTIONS) as journal:
        journal.add(ONE, ("um", ""))

        assert kept(path) == {ONE: ("um", "")}


def test_a_last_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    """Those before it do, and those that come after it."""
    path = tmp_path / "journal"
    with Journal(path, OPTIONS) as journal:
        journal.add(ONE, ("um", ""))
        journal.add(TWO, ("dois", ""))
    path.write_bytes(path.read_bytes()[:-10])
    leave(path, (Markup.NONE, "three"), "três")

    assert kept(path) == {ONE: ("um", ""), (Markup.NONE, "three"): ("três", "")}


def test_what_was_made_otherwise_is_not_taken_up(tmp_path: Path) -> None:
    """Other options, another server; and what is no journal at all is written over, not extended."""
    path = tmp_path / "journal"
    leave(path, ONE, "um")

    assert kept(path, translator="another") == {}
    path.write_bytes(b"{}\n[1]\nnull\n\xff\n")
    assert kept(path) == {}
    leave(path, TWO, "dois")
    assert kept(path) == {TWO: ("dois", "")}


def test_a_new_journal_forgets(tmp_path: Path) -> None:
    """Where the user says so."""
    path = tmp_path / "journal"
    leave(path, ONE, "um")

    assert Journal(path, OPTIONS, is_new=True).known(in_place=False) == {}


def test_in_place_a_translation_is_done(tmp_path: Path) -> None:
    """The document that is read may be what an earlier run has written."""
    path = tmp_path / "journal"
    leave(path, ONE, "um", "odd")

    assert Journal(path, OPTIONS).known(in_place=True) == {ONE: ("um", "odd"), (Markup.NONE, "um"): ("um", "odd")}


def test_it_goes_away(tmp_path: Path) -> None:
    """Also where there never was one."""
    path = tmp_path / "journal"
    with Journal(path, OPTIONS) as journal:
        journal.remove()
        journal.add(ONE, ("um", ""))
        journal.remove()

    assert list(tmp_path.iterdir()) == []

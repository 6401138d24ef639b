"""Which formats there are."""

from pathlib import Path

import pytest

from dragoman.client.documents import formats
from dragoman.client.documents.document import DocumentOptions
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.formats import FORMATS, Format, format_for, read_document


def test_every_format_is_found_by_its_name_and_by_the_ends_of_names() -> None:
    """In capitals, too; no two formats share an end."""
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]

    assert len(set(suffixes)) == len(suffixes)
    for known in FORMATS:
        assert format_for(Path("x.unknown"), known.name) is known
        for suffix in known.suffixes:
            assert format_for(Path(f"x{suffix.upper()}"), None) is known


@pytest.mark.parametrize(("path", "name"), [("x.doc", None), ("x", None), (None, None), ("x.txt", "pdf")])
def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(path: str | None, name: str | None) -> None:
    """Nothing is translated as plain text that is something else."""
    with pytest.raises(DocumentError, match="Name one of txt, "):
        format_for(Path(path) if path else None, name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (DocumentOptions(keys=("a",)), "--keys is for json.*, this is txt"),
        (DocumentOptions(only_missing=True), "--only-missing is for .*, this is txt"),
    ],
)
def test_what_a_format_has_no_use_for_is_refused(options: DocumentOptions, said: str) -> None:
    """By name: nothing is asked for and ignored."""
    with pytest.raises(DocumentError, match=said):
        read_document(b"", format_for(None, "txt"), options)


def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a traceback."""
    with pytest.raises(DocumentError, match=r"odd needs nowhere: pip install 'dragoman\[documents\]'"):
        read_document(b"", Format("odd", (), "nowhere.at_all"), DocumentOptions())
    with pytest.raises(ModuleNotFoundError):
        read_document(b"", Format("odd", (), f"{formats.__package__}.nowhere"), DocumentOptions())

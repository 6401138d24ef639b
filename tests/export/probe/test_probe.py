"""A bundle with the forms that its model copies."""

import os
from pathlib import Path

import pytest

from dragoman.bundle.manifest import Form
from dragoman.bundle.reader import open_bundle
from dragoman.export.core.errors import ExportError
from dragoman.export.probe import probe
from dragoman.export.probe.probe import with_forms
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.testing import FakeLanes, write_bundle


@pytest.fixture(autouse=True)
def _no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine answers without a model: what it was given."""
    monkeypatch.setattr(probe, "LocalTranslator", lambda path: LocalTranslator(path, lanes=FakeLanes()))


def test_a_bundle_is_replaced_in_its_place(tmp_path: Path) -> None:
    """Nothing but the manifest is new, and of it only the forms."""
    before = write_bundle(tmp_path / "bundle")

    after = with_forms(before, progress=lambda _: None)

    assert [form.share for form in after.manifest.forms] == [1.0, 1.0, 1.0]
    assert open_bundle(tmp_path / "bundle").manifest == after.manifest
    assert after.manifest.files == before.manifest.files
    assert after.digest != before.digest
    assert [*tmp_path.iterdir()] == [tmp_path / "bundle"]


def test_a_bundle_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files cannot be linked; the first stays as it was."""
    before = write_bundle(tmp_path / "bundle")

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    after = with_forms(before, tmp_path / "other", ["one two three four five"], lambda _: None)

    assert after.directory == (tmp_path / "other").resolve()
    assert after.manifest.forms
    assert open_bundle(tmp_path / "bundle").manifest == before.manifest


def test_what_no_text_gives_back_leaves_no_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle says so, and its server uses the usual ones."""
    monkeypatch.setattr(probe, "_translated", lambda _, __, texts: [""] * len(texts))

    assert with_forms(write_bundle(tmp_path / "bundle"), progress=lambda _: None).manifest.forms == ()


def test_a_bundle_that_cannot_be_served_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, and as it was."""
    monkeypatch.setattr(probe, "LocalTranslator", LocalTranslator)
    before = write_bundle(tmp_path / "bundle")

    with pytest.raises(ExportError, match="forms cannot be tried: "):
        with_forms(before, progress=lambda _: None)

    assert open_bundle(tmp_path / "bundle").manifest == before.manifest


def test_forms_are_a_part_of_what_a_bundle_says(tmp_path: Path) -> None:
    """Those of a probe before are replaced."""
    first = with_forms(write_bundle(tmp_path / "bundle"), progress=lambda _: None)

    assert with_forms(first, progress=lambda _: None).manifest.forms == first.manifest.forms
    assert all(isinstance(form, Form) for form in first.manifest.forms)

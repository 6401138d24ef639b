"""Writing a bundle: in full or not at all."""

import dataclasses
import os

import pytest

from dragoman.bundle.errors import BundleCorrupt, BundleError, BundleExists
from dragoman.bundle.reader import open_bundle
from dragoman.bundle.writer import BundleWriter


def fill(writer: BundleWriter, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        writer.path(name).write_bytes(data)


def tree(directory) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_the_same_content_gives_the_same_bytes(bundle_at, tmp_path, manifest):
    """Twice, with the dictionaries filled in another order: byte-identical folders and one digest."""
    turned = dataclasses.replace(manifest, graphs=dict(reversed(manifest.graphs.items())))

    first = bundle_at(tmp_path / "first")
    second = bundle_at(tmp_path / "second", turned)

    assert tree(first) == tree(second)
    assert open_bundle(first).digest == open_bundle(second).digest


def test_a_commit_returns_the_bundle_in_its_place(manifest, tmp_path, content):
    """What `commit` gives is what opening the directory gives."""
    with BundleWriter(tmp_path / "b") as writer:
        fill(writer, content)
        bundle = writer.commit(manifest)

    assert bundle == open_bundle(tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]


def test_nothing_is_left_after_an_exception(tmp_path, content):
    """Neither the bundle, nor the partial one, nor the parents that were made for it."""

    def interrupted() -> None:
        with BundleWriter(tmp_path / "new" / "deep" / "b") as writer:
            fill(writer, content)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert os.listdir(tmp_path) == []


def test_nothing_is_visible_before_the_commit(manifest, tmp_path, content):
    """A server that looks at the target meanwhile sees no half bundle."""
    with BundleWriter(tmp_path / "b") as writer:
        fill(writer, content)
        assert not (tmp_path / "b").exists()
        writer.commit(manifest)

    assert (tmp_path / "b" / "manifest.json").exists()


def test_a_bundle_that_could_not_be_opened_is_not_written(manifest, tmp_path, content):
    """The writer judges by the reader's rules: here a graph's file was forgotten."""
    del content["step.onnx"]

    def write() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            fill(writer, content)
            writer.commit(manifest)

    with pytest.raises(BundleCorrupt, match=r"graphs\.step: the file 'step\.onnx' is not listed"):
        write()

    assert os.listdir(tmp_path) == []


def test_leaving_without_a_commit_is_an_error(tmp_path):
    """Nobody believes that something was written when nothing was."""
    with pytest.raises(BundleError, match="without a commit"), BundleWriter(tmp_path / "b") as writer:
        writer.path("x").write_bytes(b"")

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a\\b", "manifest.json", ""])
def test_an_unsafe_name_is_never_written_to(tmp_path, name):
    """The same rule as in the reader, before the file exists."""
    with (
        pytest.raises(BundleError, match=r"safe file name|the manifest itself"),
        BundleWriter(tmp_path / "b") as writer,
    ):
        writer.path(name)

    assert os.listdir(tmp_path) == []


def test_an_existing_target_is_left_alone(bundle_at, directory, content):
    """Refused at once, before any work is done for it."""
    before = tree(directory)

    with pytest.raises(BundleExists, match="choose another directory or ask to replace it"):
        bundle_at(directory)

    assert tree(directory) == before


def test_replacing_swaps_the_whole_bundle(bundle_at, directory, manifest):
    """No file of the old one survives, and nothing lies beside it."""
    renamed = dataclasses.replace(manifest, name="second")

    bundle_at(directory, renamed, replace=True)

    assert open_bundle(directory).manifest.name == "second"
    assert os.listdir(directory.parent) == [directory.name]


def test_a_failed_replacement_leaves_the_old_bundle(directory, content):
    """The old bundle is touched only when the new one is complete."""

    def write() -> None:
        with BundleWriter(directory, replace=True) as writer:
            writer.path("step.onnx").write_bytes(b"other")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()

    assert open_bundle(directory).path("step.onnx").read_bytes() == content["step.onnx"]
    assert os.listdir(directory.parent) == [directory.name]


def test_a_folder_that_is_no_bundle_is_never_replaced(bundle_at, tmp_path):
    """A mistyped target does not cost anyone their files."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1").write_text("years of work")

    with pytest.raises(BundleExists, match="is not a bundle"):
        bundle_at(tmp_path / "thesis", replace=True)

    assert (tmp_path / "thesis" / "chapter-1").read_text() == "years of work"


def test_two_writers_of_one_target_do_not_mix(bundle_at, manifest, tmp_path, content):
    """The second to commit is refused, and the first one's bundle stays whole."""

    def write_slowly() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            fill(writer, content)
            bundle_at(tmp_path / "b")
            writer.commit(dataclasses.replace(manifest, name="slow"))

    with pytest.raises(BundleExists, match="meanwhile"):
        write_slowly()

    assert open_bundle(tmp_path / "b").manifest.name == manifest.name
    assert os.listdir(tmp_path) == ["b"]

"""Opening a bundle: everything that can be wrong with one is refused, with its reason."""

import dataclasses
import hashlib
import json
import os

import pytest

from dragoman.bundle.errors import BundleCorrupt, BundleError, BundleMissing, BundleTooNew, BundleTooOld
from dragoman.bundle.manifest import FORMAT_VERSION
from dragoman.bundle.reader import MAX_MANIFEST_BYTES, open_bundle


def problems_of(directory) -> tuple[str, ...]:
    with pytest.raises(BundleCorrupt) as error:
        open_bundle(directory)
    return error.value.problems


@pytest.fixture
def edit(directory):
    """Change the manifest of the bundle behind its back."""

    def apply(change) -> None:
        path = directory / "manifest.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return apply


def test_a_bundle_opens_with_what_was_written(directory, manifest, content):
    """Manifest, files, size and digest are those of the folder."""
    bundle = open_bundle(directory)

    assert dataclasses.replace(bundle.manifest, files={}) == manifest
    assert {name: bundle.path(name).read_bytes() for name in bundle.manifest.files} == content
    assert bundle.size == sum(map(len, content.values()))
    assert bundle.digest == hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    digest = bundle.digest[:12]
    assert repr(bundle) == f"<Bundle opus-tiny en-pt-BR,en-pt fp32 3 files {bundle.size} bytes sha256:{digest}>"


def test_only_listed_files_have_a_path(directory):
    """A name that was not verified leads nowhere, however it is spelt."""
    bundle = open_bundle(directory)

    for name in ("step.onnx.data", "../bundle/step.onnx", "manifest.json"):
        with pytest.raises(BundleMissing, match=r"it has encoder\.onnx, step\.onnx, text/vocabulary\.spm"):
            bundle.path(name)


def test_what_is_handed_out_is_what_was_verified(directory, content, tmp_path):
    """Bytes or copies: a file that was changed, cut or taken away since is an error, and never another model."""
    bundle = open_bundle(directory)
    name, changed = "step.onnx", bytearray(content["step.onnx"])
    bundle.copy(name, tmp_path / "copy")
    assert bundle.read(name) == (tmp_path / "copy").read_bytes() == content[name]
    changed[-1] ^= 1

    for now in (bytes(changed), b"", content[name] + b"x"):
        (directory / name).write_bytes(now)
        with pytest.raises(BundleCorrupt, match=r"step\.onnx has changed since the bundle was opened"):
            bundle.read(name)
    (directory / name).unlink()
    with pytest.raises(BundleError, match=r"step\.onnx: cannot be read"):
        bundle.copy(name, tmp_path / "another")


def test_a_copy_never_replaces_a_file(directory, tmp_path):
    """Nor is anything written through a link that somebody has put there."""
    (tmp_path / "copy").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        open_bundle(directory).copy("step.onnx", tmp_path / "copy")

    assert not (tmp_path / "elsewhere").exists()


def test_one_changed_byte_is_found(directory):
    """Same size, one bit: the checksum tells."""
    path = directory / "step.onnx"
    data = bytearray(path.read_bytes())
    data[1234] ^= 1
    path.write_bytes(data)

    assert problems_of(directory) == ("step.onnx has changed: its SHA-256 is not the one in the manifest",)


@pytest.mark.parametrize(("size", "found"), [(0, 0), (3999, 3999), (4001, 4001)])
def test_another_size_is_found_before_hashing(directory, size, found):
    """Cut short, emptied or grown."""
    path = directory / "step.onnx"
    path.write_bytes(path.read_bytes().ljust(size, b"x")[:size])

    assert problems_of(directory) == (f"step.onnx has {found} bytes, the manifest says 4000",)


def test_a_missing_file_is_named(directory):
    """Every listed file has to be there."""
    (directory / "encoder.onnx").unlink()

    assert problems_of(directory) == ("encoder.onnx is listed in the manifest but missing",)


@pytest.mark.parametrize("name", ["notes.txt", "text/extra", ".hidden", "step.onnx.data"])
def test_an_extra_file_is_refused(directory, name):
    """Nothing lies in a bundle that the manifest does not answer for."""
    (directory / name).write_bytes(b"x")

    assert problems_of(directory) == (f"{name!r} is not listed in the manifest; remove it, or export again",)


def test_an_extra_directory_is_refused(directory):
    """Even an empty one."""
    (directory / "more").mkdir()

    assert problems_of(directory) == ("'more' is not listed in the manifest; remove it, or export again",)


def test_a_link_out_is_refused_though_its_content_is_right(directory, tmp_path):
    """What a link leads to can change after it was verified."""
    outside = tmp_path / "outside"
    (directory / "step.onnx").rename(outside)
    (directory / "step.onnx").symlink_to(outside)

    assert problems_of(directory) == ("'step.onnx' is a symbolic link; a bundle holds regular files only",)


def test_a_linked_directory_is_refused(directory, tmp_path):
    """A link on the way to a file is as bad as the file being one."""
    (directory / "text").rename(tmp_path / "elsewhere")
    (directory / "text").symlink_to(tmp_path / "elsewhere")

    assert problems_of(directory) == (
        "'text' is a symbolic link; a bundle holds regular files only",
        "text/vocabulary.spm is listed in the manifest but missing",
    )


def test_a_dangling_link_is_refused(directory):
    """An extra entry that leads nowhere is still an extra entry."""
    (directory / "nothing").symlink_to("/does/not/exist")

    assert problems_of(directory) == ("'nothing' is a symbolic link; a bundle holds regular files only",)


def test_the_folder_itself_may_be_reached_through_a_link(directory, tmp_path):
    """`current -> v3` is how releases are switched; the bundle then knows its real place."""
    (tmp_path / "current").symlink_to(directory)

    assert open_bundle(tmp_path / "current").directory == directory.resolve()


def test_a_hard_link_is_allowed(directory, tmp_path):
    """Package installers make them, and they are the bytes that were hashed."""
    os.link(directory / "step.onnx", tmp_path / "other-name")

    assert open_bundle(directory).path("step.onnx").stat().st_nlink == 2


def test_a_pipe_in_place_of_a_file_is_refused_and_not_read(directory):
    """Reading it would wait for ever."""
    (directory / "step.onnx").unlink()
    os.mkfifo(directory / "step.onnx")

    assert problems_of(directory) == ("'step.onnx' is not a regular file",)


def test_a_directory_in_place_of_a_file_is_refused(directory):
    """A name is not enough."""
    (directory / "step.onnx").unlink()
    (directory / "step.onnx").mkdir()

    assert problems_of(directory) == ("'step.onnx' is not a regular file",)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "text/../../outside",
        "text//vocabulary.spm",
        "./step.onnx",
        "..",
        "",
        "text/",
        "..\\outside",
        "C:\\outside",
        "C:/outside",
        ".hidden",
        "step.onnx ",
        "stép.onnx",
        "x" * 300,
    ],
)
def test_a_name_that_could_lead_out_is_refused(directory, edit, tmp_path, name):
    """Refused as a name, before any such path is touched."""
    (tmp_path / "outside").write_bytes(b"x")
    entry = {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}
    edit(lambda document: document["files"].update({name: entry}))

    (problem,) = problems_of(directory)

    assert "is not a safe file name" in problem


def test_the_manifest_does_not_list_itself(directory, edit):
    """No file can hold its own checksum."""
    edit(lambda document: document["files"].update({"manifest.json": {"sha256": "0" * 64, "size": 1}}))

    assert "is the manifest itself" in problems_of(directory)[0]


def test_a_newer_version_is_called_newer_whatever_else_it_holds(directory, edit):
    """Unknown keys of a newer format are no reason to call it malformed."""
    edit(lambda document: document.update(format_version=FORMAT_VERSION + 1, new_key={}))

    with pytest.raises(
        BundleTooNew, match=rf"format version {FORMAT_VERSION + 1}, this dragoman reads up to {FORMAT_VERSION}; upg"
    ):
        open_bundle(directory)


def test_an_older_version_is_to_be_exported_again(directory, edit):
    """Its missing keys are no corruption."""
    edit(lambda document: (document.update(format_version=FORMAT_VERSION - 1), document.pop("tokenizer")))

    with pytest.raises(BundleTooOld, match=rf"format version {FORMAT_VERSION - 1}, this .* {FORMAT_VERSION}; export"):
        open_bundle(directory)


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_the_first_is_refused(directory, edit, version):
    """There was none."""
    edit(lambda document: document.update(format_version=version))

    assert problems_of(directory) == (f"format_version: {version} is less than 1",)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "manifest.json: not JSON that can be read: "),
        (b"{", "manifest.json: not JSON that can be read: "),
        (b"\xff\xfe", "manifest.json: not UTF-8 at byte 0"),
        (b"null", "manifest.json: the document: expected an object, found null"),
        (b" " * (MAX_MANIFEST_BYTES + 1), f"manifest.json has {MAX_MANIFEST_BYTES + 1} bytes, the limit is"),
    ],
)
def test_a_manifest_that_is_none_is_refused(directory, data, expected):
    """Empty, cut off, binary, another document, or one made to fill the memory."""
    (directory / "manifest.json").write_bytes(data)

    (problem,) = problems_of(directory)

    assert problem.startswith(expected)


def test_wrong_types_are_told_with_their_paths(directory, edit):
    """The codec's problems come through, each with the file they are in."""

    def break_it(document) -> None:
        document["limits"]["max_source_tokens"] = "100"
        document["precision"] = "fp4"

    edit(break_it)

    assert problems_of(directory) == (
        "manifest.json: limits.max_source_tokens: expected an integer, found '100'",
        "manifest.json: precision: expected one of 'fp32', 'fp16', 'int8', found 'fp4'",
    )


def test_several_problems_are_told_at_once(directory):
    """A changed, a missing and an extra file: one error, three reasons."""
    (directory / "step.onnx").write_bytes(b"STEP" * 1000)
    (directory / "encoder.onnx").unlink()
    (directory / "zzz").write_bytes(b"")

    with pytest.raises(BundleCorrupt, match="refused for 3 reasons") as error:
        open_bundle(directory)

    assert len(error.value.problems) == 3
    assert all(name in str(error.value) for name in ("step.onnx", "encoder.onnx", "zzz"))


def test_no_folder_and_no_manifest_are_missing_bundles(tmp_path):
    """Told apart from a broken one, with the way out."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")

    for name, reason in (("none", "no such directory"), ("file", "no such directory"), ("empty", "not a bundle")):
        with pytest.raises(BundleMissing, match=reason):
            open_bundle(tmp_path / name)

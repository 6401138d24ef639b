"""Write a bundle: it is there in full, or not at all.

Files go to a hidden sibling of the target (`.NAME.xxxx.partial`, so that the last rename stays on one file system).
`commit` adds the manifest last, verifies the folder with the reader's own rules, flushes it to the disk and renames
it. Leaving the `with` block any other way removes everything. Only a kill that cannot be caught leaves the sibling.
"""

import contextlib
import os
import secrets
import shutil
from dataclasses import replace as replaced
from pathlib import Path
from types import TracebackType

from dragoman.bundle import codec
from dragoman.bundle.errors import BundleError, BundleExists
from dragoman.bundle.manifest import MANIFEST_NAME, Manifest
from dragoman.bundle.reader import Bundle, hash_file, open_bundle
from dragoman.bundle.rules import name_problem


class BundleWriter:
    """Collects the files of one bundle.

    with BundleWriter(directory) as writer:
        writer.path("encoder.onnx").write_bytes(...)
        bundle = writer.commit(manifest)
    """

    def __init__(self, directory: Path, *, replace: bool = False) -> None:
        self._target = directory.resolve()
        self._replace = replace
        mark = f".{self._target.name}.{secrets.token_hex(4)}"
        self._partial = self._target.with_name(f"{mark}.partial")
        self._aside = self._target.with_name(f"{mark}.old")
        self._made_parents: list[Path] = []
        self._committed = False

    def __enter__(self) -> "BundleWriter":
        self._check_target()
        self._made_parents = [parent for parent in self._target.parents if not parent.exists()]
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._partial.mkdir()
        except OSError as error:
            self._discard()
            raise BundleError(f"{self._target}: cannot write there: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._committed:
            return
        self._discard()
        if error is None:
            raise BundleError(f"{self._target}: the writer was closed without a commit, so nothing was written")

    def path(self, name: str) -> Path:
        """The path for a file that will be called `name` in the bundle."""
        problem = name_problem(name)
        if problem is not None:
            raise BundleError(problem)
        path = self._partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, manifest: Manifest) -> Bundle:
        """Fill in the manifest's `files`, verify, and put the bundle in its place."""
        paths = sorted(path for path in self._partial.rglob("*") if not path.is_dir())
        files = {path.relative_to(self._partial).as_posix(): hash_file(path) for path in paths}
        text = codec.to_json(replaced(manifest, files=files))
        (self._partial / MANIFEST_NAME).write_text(text, encoding="utf-8", newline="\n")
        bundle = open_bundle(self._partial)
        for path in (self._partial, *self._partial.rglob("*")):
            _flush(path)
        self._move_into_place()
        self._committed = True
        return replaced(bundle, directory=self._target)

    def _check_target(self) -> None:
        if not os.path.lexists(self._target):
            return
        if not self._replace:
            raise BundleExists(f"{self._target} exists; choose another directory or ask to replace it")
        # Whoever mistypes the target must not lose a folder that no export ever wrote.
        if not (self._target / MANIFEST_NAME).is_file() and not _is_empty_directory(self._target):
            raise BundleExists(f"{self._target} exists and is not a bundle, so it is not replaced; remove it yourself")

    def _move_into_place(self) -> None:
        if self._replace and self._target.exists():
            self._target.rename(self._aside)
            try:
                self._partial.rename(self._target)
            except OSError:
                self._aside.rename(self._target)
                raise
            shutil.rmtree(self._aside, ignore_errors=True)
        else:
            try:
                self._partial.rename(self._target)
            except OSError as error:
                raise BundleExists(f"{self._target} has been made by someone else meanwhile") from error
        _flush(self._target.parent)

    def _discard(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        for parent in self._made_parents:  # innermost first
            with contextlib.suppress(OSError):  # not empty: someone else uses it now
                parent.rmdir()


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Open a bundle: nothing of it is used before everything about it has been verified.

In this order: the format version (so that a newer bundle is called newer, not malformed), the manifest's form, the
names it lists, then what lies in the folder. Every entry of the folder is a file that the manifest lists or a
directory on the way to one, and is reached without a symbolic link; sizes are compared before anything is hashed.
Symbolic links are refused because they lead out; hard links are not, because package installers make them and they
lead to the same bytes, which are hashed. The folder itself may be reached through a link (`current -> v3`).

The check holds for the moment it was made. So whoever uses a file takes what it holds by `read` or `copy`, which hash
the very bytes that they hand out; what happens to the files afterwards is then no matter.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from dragoman.bundle import codec
from dragoman.bundle.directions import Directions
from dragoman.bundle.errors import BundleCorrupt, BundleError, BundleMissing, BundleTooNew, BundleTooOld
from dragoman.bundle.manifest import FORMAT_VERSION, MANIFEST_NAME, File, Manifest
from dragoman.bundle.rules import manifest_problems

CHUNK_BYTES = 1 << 20
"""What is read of a file at a time."""
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""A manifest of a model with a thousand graphs is smaller than this."""


@dataclass(frozen=True, repr=False)
class Bundle:
    """A verified bundle. Immutable, and safe to share between threads."""

    manifest: Manifest
    directory: Path
    digest: str
    """SHA-256 of the manifest; as that holds every file's, it names the whole bundle."""

    @property
    def version(self) -> str:
        """What a server calls this version of its model: the beginning of the digest."""
        return self.digest[:12]

    def of(self, sibling: str | None) -> "Bundle":
        """The bundle as if it had this autoregressive decoder alone: see `Manifest.of`."""
        return replace(self, manifest=self.manifest.of(sibling))

    def path(self, name: str) -> Path:
        """The path of a listed file."""
        if name not in self.manifest.files:
            raise BundleMissing(f"{self!r} has no file {name!r}; it has {', '.join(sorted(self.manifest.files))}")
        return self.directory / name

    def read(self, name: str) -> bytes:
        """What a listed file holds. Raises `BundleError` where that is not what was verified."""
        content = io.BytesIO()
        self._transfer(name, content)
        return content.getvalue()

    def copy(self, name: str, path: Path) -> None:
        """Write what a listed file holds to a new file. Raises as `read` does, and OSError where it cannot write."""
        with path.open("xb") as file:
            self._transfer(name, file)

    def _transfer(self, name: str, target: BinaryIO) -> None:
        digest, size = hashlib.sha256(), 0
        for chunk in _chunks(self.path(name)):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
        if File(sha256=digest.hexdigest(), size=size) != self.manifest.files[name]:
            raise BundleCorrupt(self.directory, [f"{name} has changed since the bundle was opened"])

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(file.size for file in self.manifest.files.values())

    def __repr__(self) -> str:
        manifest = self.manifest
        pairs = ",".join(Directions.of(manifest).names)
        facts = f"{manifest.name} {pairs} {manifest.precision} {len(manifest.files)} files"
        return f"<Bundle {facts} {self.size} bytes sha256:{self.digest[:12]}>"


def open_bundle(directory: Path) -> Bundle:
    """Verify the bundle in `directory` and open it. Raises `BundleError` with every reason against it."""
    if not directory.is_dir():
        raise BundleMissing(f"{directory}: no such directory; a bundle is a directory written by `dragoman export`")
    directory = directory.resolve()
    manifest, digest = _read_manifest(directory)
    problems = manifest_problems(manifest)
    # Names are trusted from here on, so the folder is only looked at when all of them are safe.
    try:
        problems = problems or [*_folder_problems(directory, manifest)]
    except OSError as error:
        raise BundleError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if problems:
        raise BundleCorrupt(directory, problems)
    return Bundle(manifest=manifest, directory=directory, digest=digest)


def hash_file(path: Path) -> File:
    """Checksum and size of a regular file that is not a symbolic link."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return File(sha256=sha256, size=file.tell())


def _chunks(path: Path) -> Iterator[bytes]:
    """What a file holds, in parts. Raises `BundleError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _read_manifest(directory: Path) -> tuple[Manifest, str]:
    path = directory / MANIFEST_NAME
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise BundleMissing(
            f"{directory}: there is no {MANIFEST_NAME}, so this is not a bundle; `dragoman export` writes one"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise BundleCorrupt(directory, [f"{MANIFEST_NAME} is not a regular file"])
    if status.st_size > MAX_MANIFEST_BYTES:
        limit = f"{MANIFEST_NAME} has {status.st_size} bytes, the limit is {MAX_MANIFEST_BYTES}"
        raise BundleCorrupt(directory, [limit])
    try:
        content = path.read_bytes()
        raw = codec.parse(content.decode("utf-8"))
        _check_version(directory, raw)
        manifest = codec.decode(Manifest, raw)
    except codec.DecodeError as error:
        raise BundleCorrupt(directory, [f"{MANIFEST_NAME}: {problem}" for problem in error.problems]) from None
    except UnicodeDecodeError as error:
        raise BundleCorrupt(directory, [f"{MANIFEST_NAME}: not UTF-8 at byte {error.start}"]) from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    return manifest, hashlib.sha256(content).hexdigest()


def _check_version(directory: Path, raw: object) -> None:
    """Refuse other versions before anything else is read: their manifests have other keys."""
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise BundleTooNew(directory, version=version, supported=FORMAT_VERSION)
    if type(version) is int and 0 < version < FORMAT_VERSION:
        raise BundleTooOld(directory, version=version, supported=FORMAT_VERSION)


def _folder_problems(directory: Path, manifest: Manifest) -> Iterator[str]:
    listed = manifest.files
    folders = {parent.as_posix() for name in listed for parent in Path(name).parents} - {"."}
    seen: set[str] = set()
    for name, entry in _entries(directory, folders):
        if entry.is_symlink():
            yield f"{name!a} is a symbolic link; a bundle holds regular files only"
        elif name in listed and not entry.is_file(follow_symlinks=False):
            yield f"{name!a} is not a regular file"
        elif name not in listed and name not in folders and name != MANIFEST_NAME:
            yield f"{name!a} is not listed in the manifest; remove it, or export again"
        seen.add(name)
        if name in listed and entry.is_file(follow_symlinks=False):
            yield from _file_problems(directory / name, name, listed[name])
    yield from (f"{name} is listed in the manifest but missing" for name in sorted(listed.keys() - seen))


def _entries(directory: Path, folders: set[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below `directory`, sorted; goes only into directories that are on the way to a listed file."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(directory / folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            yield name, entry
            if name in folders and entry.is_dir(follow_symlinks=False):
                waiting.append(name)


def _file_problems(path: Path, name: str, expected: File) -> Iterator[str]:
    try:
        size = path.lstat().st_size
        if size != expected.size:
            yield f"{name} has {size} bytes, the manifest says {expected.size}"
        elif hash_file(path) != expected:
            yield f"{name} has changed: its SHA-256 is not the one in the manifest"
    except OSError as error:
        yield f"{name} cannot be read: {error.strerror}"

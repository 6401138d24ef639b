"""Files of text: their bytes as characters and back, and files that are there whole or not at all."""

import codecs
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dragoman.client.documents.errors import DocumentError, Unwritable

MAX_BYTES = 64 * 2**20
"""The largest file that is read: it is held in memory several times over."""

_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class TextFile:
    """A file's characters, line ends as they are, and how it writes them."""

    text: str
    encoding: str
    mark: bytes = b""
    """The byte order mark that it begins with."""

    def data(self, text: str) -> bytes:
        """The file's bytes with another text."""
        return self.mark + text.encode(self.encoding, "surrogatepass")

    def check(self, text: str) -> str:
        """A text that the file can hold. Raises Unwritable for any other."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise Unwritable(
                f"the translation holds {error.object[error.start]!r}, which the file's encoding {self.encoding} "
                "cannot write; convert the file to UTF-8 first"
            ) from error
        return text


def text_file(data: bytes, encoding: str | None = None) -> TextFile:
    """The characters of a file: by its byte order mark, or else in `encoding`, or else UTF-8. Nothing is guessed."""
    mark, marked = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", None))
    name = marked or known_encoding(encoding or "utf-8")
    try:
        text = data[len(mark) :].decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(
            f"not {name.upper()}: {error.reason} at byte {len(mark) + error.start}, line {line} "
            "(--encoding NAME reads another encoding)"
        ) from error
    if "\0" in text:
        raise DocumentError(
            "holds null characters, so it is no text in UTF-8 (--encoding utf-16-le, if that is what it is)"
            if name == "utf-8"
            else f"holds null characters, so it is no text in {name.upper()}"
        )
    return TextFile(text, name, mark)


def known_encoding(name: str) -> str:
    """Python's name of an encoding."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)  # codecs that make no text of bytes are refused here
    except (LookupError, ValueError) as error:
        raise DocumentError(f"the encoding {name!r} is not known") from error
    return codec.name


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """All of a file. Raises DocumentError for what is no file, or too large."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise DocumentError("is no regular file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    return checked_size(data, max_bytes)


def checked_size(data: bytes, max_bytes: int = MAX_BYTES) -> bytes:
    """Data that is not too large."""
    if len(data) > max_bytes:
        raise DocumentError(f"is larger than {max_bytes // 2**20} MiB; split it first")
    return data


def write_file(path: Path, data: bytes) -> None:
    """Put a file in its place, whole. What was there keeps its permissions, and stays where writing fails."""
    path = path.resolve()  # a link stays one
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        mask = os.umask(0)  # there is no other way to read it
        os.umask(mask)
        return 0o666 & ~mask

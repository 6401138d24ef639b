"""What can be wrong with a bundle."""

from collections.abc import Iterable
from pathlib import Path


class BundleError(Exception):
    """A bundle cannot be opened or written. The message says what, and the way out."""


class BundleMissing(BundleError):  # noqa: N818
    """There is no bundle, or no such file in it."""


class BundleExists(BundleError):  # noqa: N818
    """Something lies where a bundle should be written."""


class BundleTooNew(BundleError):  # noqa: N818
    """The bundle was written by a newer dragoman than this one."""

    def __init__(self, directory: Path, version: int, supported: int) -> None:
        super().__init__(
            f"{directory}: the bundle has format version {version}, this dragoman reads up to {supported}; "
            f"upgrade dragoman, or export the model again with this version"
        )
        self.version = version
        self.supported = supported


class BundleTooOld(BundleError):  # noqa: N818
    """The bundle was written in a format that this dragoman no longer reads."""

    def __init__(self, directory: Path, version: int, supported: int) -> None:
        super().__init__(
            f"{directory}: the bundle has format version {version}, this dragoman reads {supported}; "
            f"export the model again with this version"
        )
        self.version = version
        self.supported = supported


class BundleCorrupt(BundleError):  # noqa: N818
    """The bundle is not what its manifest says. All the reasons at once, in `problems`."""

    def __init__(self, directory: Path, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{directory}: refused for {count} reason{'s' if count != 1 else ''}:{lines}")

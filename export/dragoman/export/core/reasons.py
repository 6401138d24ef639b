"""Collect every unmet condition, then refuse once: whoever exports a model fixes it in one round, not in five."""

import reprlib
from pathlib import Path

from dragoman.export.core.errors import UnsupportedModel


class Reasons:
    """The reasons why a model cannot be exported, as far as they are known yet."""

    def __init__(self) -> None:
        self._unmet: list[str] = []

    def add(self, reason: str) -> None:
        """Note a reason against the model. One given twice counts once."""
        if reason not in self._unmet:
            self._unmet.append(reason)

    def require(self, condition: object, reason: str) -> None:
        """Note `reason` unless `condition` is true."""
        if not condition:
            self.add(reason)

    def raise_if_any(self, origin: Path) -> None:
        """Raise `UnsupportedModel` with all of them, or return when there are none."""
        if self._unmet:
            raise UnsupportedModel(origin, self._unmet)

    def __len__(self) -> int:
        return len(self._unmet)

    def __repr__(self) -> str:
        return f"<Reasons {len(self._unmet)} unmet>"


def short(value: object) -> str:
    """A value from outside, fit for a message: YAML can be small as text and endless when it is shown."""
    text = reprlib.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def some(noun: str, names: list[str]) -> str:
    """The beginning of a reason: how many there are, a few of their names, and the verb."""
    if len(names) == 1:
        return f"{names[0]} is"
    more = f", such as {', '.join(names[:3])}," if len(names) > 3 else f", {', '.join(names)},"
    return f"{len(names)} {noun}s{more} are"

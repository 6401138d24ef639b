"""The search for the highest load that a server holds: which to try next, from what was held before. No clock."""

import math
from collections.abc import Generator

PRECISION = 1.05
"""The search ends when the lowest load that was not held is at most so many times the highest that was."""
HALVINGS = 6
"""A server that holds no 64th of the first load is not measured, it is broken."""
DOUBLINGS = 20


def search(first: float) -> Generator[float, bool, float | None]:
    """Gives loads to try and takes whether each was held; returns the highest that was, or None."""
    held: float | None = None
    broken: float | None = None
    rate = first
    for _ in range(DOUBLINGS):
        if (yield rate):
            held, rate = rate, 2 * rate
        else:
            broken = rate
            break
    for _ in range(HALVINGS):
        if held is not None:
            break
        rate /= 2
        if (yield rate):
            held = rate
        else:
            broken = rate
    if held is None:
        return None
    while broken is not None and broken / held > PRECISION:
        rate = math.sqrt(held * broken)
        if (yield rate):
            held = rate
        else:
            broken = rate
    return held

"""What pictures are drawn from, as SVG, without any library: lines, words, and where round numbers go on an axis."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

INK, FAINT = "#333333", "#dddddd"
COLOURS = ("#4c78a8", "#f58518", "#b22222", "#54a24b", "#9467bd")


def document(width: int, height: int, parts: list[str]) -> str:
    """The whole picture on white."""
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}">'
    )
    return "\n".join([begin, f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>", ""])


def ticks(top: float) -> list[float]:
    """Round numbers up to `top`, five to twelve of them."""
    step = 10.0 ** math.floor(math.log10(top))
    while top / step < 5:
        step /= 2 if top / step >= 2.5 else 5
    return [index * step for index in range(math.floor(top / step) + 1)]


def spread(heights: Sequence[float], least: float = 14) -> list[float]:
    """The heights of labels, from the lowest up, pushed apart so that none covers another."""
    apart: list[float] = []
    for height in heights:
        apart.append(min(height, apart[-1] - least) if apart else height)
    return apart


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    """A straight line."""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, colour: str = INK) -> str:
    """One line of words."""
    position = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {position} font-size="{size}" fill="{colour}">{escape(words)}</text>'

"""Latency against load as an SVG picture, written without any library. Latency is on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 90, 60, 55
COLOURS = ("#4c78a8", "#f58518", "#b22222")
INK, FAINT = "#333333", "#dddddd"


@dataclass(frozen=True)
class Point:
    """What was measured at one load."""

    rate: float
    """Calls a second."""
    latency_ms: Mapping[str, float]
    """By the name of the curve; infinite where it cannot be said."""
    held: bool
    """Whether the target was met."""


@dataclass(frozen=True)
class _Axes:
    """Where values go on the picture."""

    max_rate: float
    min_ms: float
    max_ms: float

    def x(self, rate: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * rate / self.max_rate

    def y(self, ms: float) -> float:
        share = math.log(min(ms, self.max_ms) / self.min_ms) / math.log(self.max_ms / self.min_ms)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def latency_plot(points: Sequence[Point], target_ms: float, limit: float | None, title: str) -> str:
    """The picture: a curve for each percentile, the target, and the highest load that was held.

    A percentile that is infinite, because too many calls failed, lies on the upper edge.
    """
    points = sorted(points, key=lambda point: point.rate)
    finite = [ms for point in points for ms in point.latency_ms.values() if math.isfinite(ms) and ms > 0]
    axes = _Axes(
        max_rate=1.05 * points[-1].rate,
        min_ms=10 ** math.floor(math.log10(min([*finite, target_ms]))),
        max_ms=10 ** math.ceil(math.log10(max([*finite, 1.5 * target_ms]))),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 24, title, size=15),
        *_grid(axes),
        *_target(axes, target_ms, limit),
    ]
    names = list(points[0].latency_ms)
    ends = _spread([axes.y(points[-1].latency_ms[name]) for name in names])
    for name, colour, end in zip(names, COLOURS, ends, strict=True):
        parts += _curve(axes, points, name, colour)
        parts.append(_text(axes.x(points[-1].rate) + 10, end + 4, name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _grid(axes: _Axes) -> Iterable[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for power in range(round(math.log10(axes.min_ms)), round(math.log10(axes.max_ms)) + 1):
        for step in (1, 2, 5):
            ms = step * 10.0**power
            if ms <= axes.max_ms:
                yield _line(LEFT, axes.y(ms), right, axes.y(ms), FAINT)
                yield _text(LEFT - 8, axes.y(ms) + 4, f"{ms:g}", anchor="end")
    for rate in _ticks(axes.max_rate):
        yield _line(axes.x(rate), TOP, axes.x(rate), bottom, FAINT)
        yield _text(axes.x(rate), bottom + 18, f"{rate:g}", anchor="middle")
    yield _text((LEFT + right) / 2, HEIGHT - 14, "calls a second", anchor="middle")
    yield _text(LEFT, TOP - 12, "milliseconds")


def _target(axes: _Axes, target_ms: float, limit: float | None) -> Iterable[str]:
    y, right = axes.y(target_ms), WIDTH - RIGHT
    yield _line(LEFT, y, right, y, INK, dashed=True)
    yield _text(LEFT + 6, y - 6, f"p99 target {target_ms:g} ms")
    if limit is not None:
        x = axes.x(limit)
        yield _line(x, TOP, x, HEIGHT - BOTTOM, INK, dashed=True)
        yield _text(x, TOP - 12, f"holds {limit:.3g} a second", anchor="middle")


def _curve(axes: _Axes, points: Sequence[Point], name: str, colour: str) -> Iterable[str]:
    places = [(axes.x(point.rate), axes.y(point.latency_ms[name]), point.held) for point in points]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y, held in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour if held else "white"}" stroke="{colour}"/>'


def _ticks(top: float) -> list[float]:
    """Round numbers up to `top`, five to twelve of them."""
    step = 10.0 ** math.floor(math.log10(top))
    while top / step < 5:
        step /= 2 if top / step >= 2.5 else 5
    return [index * step for index in range(math.floor(top / step) + 1)]


def _spread(places: Sequence[float], least: float = 14) -> list[float]:
    """The places of labels, from the lowest up, pushed apart so that none covers another."""
    spread: list[float] = []
    for place in places:
        spread.append(min(place, spread[-1] - least) if spread else place)
    return spread


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}">{escape(text)}</text>'

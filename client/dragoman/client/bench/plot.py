"""Latency against load as an SVG picture, written without any library. Latency is on a logarithmic scale."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.cli.svg import COLOURS, FAINT, INK, document, line, spread, text, ticks

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 90, 60, 55


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
    parts = [text(LEFT, 24, title, size=15), *_grid(axes), *_target(axes, target_ms, limit)]
    names = list(points[0].latency_ms)
    ends = spread([axes.y(points[-1].latency_ms[name]) for name in names])
    for name, colour, end in zip(names, COLOURS, ends, strict=False):
        parts += _curve(axes, points, name, colour)
        parts.append(text(axes.x(points[-1].rate) + 10, end + 4, name, colour=colour))
    return document(WIDTH, HEIGHT, parts)


def _grid(axes: _Axes) -> Iterable[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for power in range(round(math.log10(axes.min_ms)), round(math.log10(axes.max_ms)) + 1):
        for step in (1, 2, 5):
            ms = step * 10.0**power
            if ms <= axes.max_ms:
                yield line(LEFT, axes.y(ms), right, axes.y(ms), FAINT)
                yield text(LEFT - 8, axes.y(ms) + 4, f"{ms:g}", anchor="end")
    for rate in ticks(axes.max_rate):
        yield line(axes.x(rate), TOP, axes.x(rate), bottom, FAINT)
        yield text(axes.x(rate), bottom + 18, f"{rate:g}", anchor="middle")
    yield text((LEFT + right) / 2, HEIGHT - 14, "calls a second", anchor="middle")
    yield text(LEFT, TOP - 12, "milliseconds")


def _target(axes: _Axes, target_ms: float, limit: float | None) -> Iterable[str]:
    y, right = axes.y(target_ms), WIDTH - RIGHT
    yield line(LEFT, y, right, y, INK, dashed=True)
    yield text(LEFT + 6, y - 6, f"p99 target {target_ms:g} ms")
    if limit is not None:
        x = axes.x(limit)
        yield line(x, TOP, x, HEIGHT - BOTTOM, INK, dashed=True)
        yield text(x, TOP - 12, f"holds {limit:.3g} a second", anchor="middle")


def _curve(axes: _Axes, points: Sequence[Point], name: str, colour: str) -> Iterable[str]:
    places = [(axes.x(point.rate), axes.y(point.latency_ms[name]), point.held) for point in points]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y, held in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour if held else "white"}" stroke="{colour}"/>'

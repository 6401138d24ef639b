"""The dashboard as an SVG picture, from numbers that a Prometheus gave: what Grafana would show, drawn without it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape

COLUMN, UNIT, GAP = 58, 21, 6
"""Width and height of a cell of Grafana's grid in pixels, and what lies between panels."""
TITLE, FOOT, SIDE = 26, 22, 52
"""Room within a panel: above, below and left of the curves."""
COLOURS = ("#5794f2", "#73bf69", "#ff9830", "#f2495c", "#b877d9", "#fade2a", "#8ab8ff", "#96d98d", "#ffcb7d", "#c4162a")
PAPER, PANEL, INK, PALE, FAINT = "#f4f5f7", "#ffffff", "#24292e", "#6a737d", "#e3e6ea"
STEP_S = 1.0
"""Between two points of a curve."""
MOST_LEGENDS = 6


@dataclass(frozen=True)
class Series:
    """A curve; a point is the time, in seconds from the beginning, and the value."""

    legend: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Box:
    """Where the curves of a panel go, and what values its edges have."""

    left: float
    top: float
    right: float
    bottom: float
    end_s: float
    least: float
    """Above 0 where the scale is logarithmic."""
    most: float

    def x(self, seconds: float) -> float:
        """Where a time lies."""
        return self.left + (self.right - self.left) * seconds / self.end_s

    def y(self, value: float) -> float:
        """Where a value lies; what is beyond the box's edges lies on them."""
        value = min(max(value, self.least), self.most)
        share = math.log(value / self.least, self.most / self.least) if self.least else value / self.most
        return self.bottom - (self.bottom - self.top) * share

    def levels(self) -> list[float]:
        """Values that are marked."""
        if not self.least:
            return [0.0, self.most / 2, self.most]
        return [self.least * 10**power for power in range(round(math.log10(self.most / self.least)) + 1)]


def draw(panels: Sequence[tuple[dict[str, Any], Sequence[Series]]], end_s: float) -> str:
    """Panels of dashboard.json with their curves; rows between them are panels without."""
    first = min(panel["gridPos"]["y"] for panel, _ in panels)
    height = (max(p["gridPos"]["y"] + p["gridPos"]["h"] for p, _ in panels) - first) * UNIT + 2 * GAP
    width = 24 * COLUMN + 2 * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    for panel, series in panels:
        place = panel["gridPos"]
        x, y = GAP + place["x"] * COLUMN, GAP + (place["y"] - first) * UNIT
        if panel["type"] == "row":
            parts.append(text(x + 6, y + 15, panel["title"], size=13, weight="bold"))
            continue
        w, h = place["w"] * COLUMN - GAP, place["h"] * UNIT - GAP
        parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="3" fill="{PANEL}" stroke="{FAINT}"/>')
        parts.append(text(x + 9, y + 17, panel["title"], size=12, weight="bold"))
        parts += content(panel, series, (x, y, w, h), end_s)
    return "\n".join([*parts, "</svg>", ""])


def content(
    panel: dict[str, Any], series: Sequence[Series], place: tuple[float, float, float, float], end_s: float
) -> Iterator[str]:
    """What a panel shows."""
    x, y, w, h = place
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "stat":
        value = series[0].points[-1][1] if series and series[0].points else math.nan
        objective = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        colour = COLOURS[1] if value >= objective else COLOURS[3]
        yield text(x + w / 2, y + h / 2 + 18, shown(value, unit), size=34, anchor="middle", colour=colour)
        return
    is_stacked = "stacking" in panel["fieldConfig"]["defaults"]["custom"]
    series = sorted(series, key=lambda curve: -sum(value for _, value in curve.points if math.isfinite(value)))
    values = [value for curve in series for _, value in curve.points if math.isfinite(value)]
    least, most = 0.0, top_of([height for _, height in summed(series)] if is_stacked else values)
    if panel["fieldConfig"]["defaults"]["custom"].get("scaleDistribution"):
        least = 10 ** math.floor(math.log10(min((value for value in values if value > 0), default=most / 10)))
        most = 10 ** math.ceil(math.log10(most))
    box = Box(x + SIDE, y + TITLE, x + w - 10, y + h - FOOT, end_s, least, most)
    if panel["type"] == "heatmap":
        yield from heatmap(box, series, unit)
        return
    for value in box.levels():
        yield f'<path d="M{box.left:.1f} {box.y(value):.1f}H{box.right:.1f}" stroke="{FAINT}"/>'
        yield text(box.left - 6, box.y(value) + 4, shown(value, unit), anchor="end", colour=PALE)
    yield from areas(box, series) if is_stacked else curves(box, series)
    yield from legends(box, series, y + h - 7)


def curves(box: Box, series: Sequence[Series]) -> Iterator[str]:
    """Lines, broken where there was no number."""
    for curve, colour in zip(series, colours(), strict=False):
        parts = [" ".join(f"{box.x(at):.1f},{box.y(value):.1f}" for at, value in p) for p in unbroken(curve.points)]
        way = " ".join(f"M{part.replace(' ', ' L')}" for part in parts)
        yield f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="1.4"/>'


def areas(box: Box, series: Sequence[Series]) -> Iterator[str]:
    """Each on top of the ones before it; nothing where there was no number."""
    below: dict[float, float] = {}
    for curve, colour in zip(series, colours(), strict=False):
        for part in unbroken(curve.points):
            lower = [(seconds, below.get(seconds, 0.0)) for seconds, _ in part]
            below |= {seconds: below.get(seconds, 0.0) + value for seconds, value in part}
            upper = [(seconds, below[seconds]) for seconds, _ in part]
            way = " ".join(f"{box.x(seconds):.1f},{box.y(value):.1f}" for seconds, value in [*upper, *lower[::-1]])
            yield f'<polygon points="{way}" fill="{colour}" fill-opacity="0.75"/>'


def unbroken(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Parts of a curve without a hole: a point that is missing, or no number."""
    part: list[tuple[float, float]] = []
    for seconds, value in points:
        if part and (not math.isfinite(value) or seconds - part[-1][0] > 1.5 * STEP_S):
            yield part
            part = []
        if math.isfinite(value):
            part.append((seconds, value))
    if part:
        yield part


def heatmap(box: Box, series: Sequence[Series], unit: str) -> Iterator[str]:
    """How many observations a bucket had at a time; buckets from below, as dark as they are full."""
    ordered = sorted(series, key=lambda curve: float(curve.legend))
    counts = [dict(curve.points) for curve in ordered]
    own = [counts[0], *({t: n - below.get(t, 0.0) for t, n in upper.items()} for below, upper in pairwise(counts))]
    fullest = max((n for bucket in own for n in bucket.values() if math.isfinite(n)), default=0) or 1
    height, times = (box.bottom - box.top) / len(own), sorted(counts[-1])
    width = (box.right - box.left) / max(1, len(times))
    for place, bucket in enumerate(own):
        for seconds, number in bucket.items():
            if math.isfinite(number) and number > 0.01 * fullest:
                x, y = max(box.left, box.x(seconds) - width), box.bottom - (place + 1) * height
                yield (
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}" fill="#d9480f" '
                    f'fill-opacity="{0.1 + 0.9 * number / fullest:.2f}"/>'
                )
    for place in range(0, len(own), max(1, len(own) // 5)):
        label = shown(float(ordered[place].legend), unit)
        yield text(box.left - 6, box.bottom - place * height, label, anchor="end", colour=PALE)


def legends(box: Box, series: Sequence[Series], y: float) -> Iterator[str]:
    """Names under the curves, as many as there is room for."""
    x = box.left
    for curve, colour in list(zip(series, colours(), strict=False))[:MOST_LEGENDS]:
        width = 24 + sum(7.6 if letter.isupper() else 6.2 for letter in curve.legend)
        if x + width > box.right:
            return
        yield f'<rect x="{x:.1f}" y="{y - 8}" width="8" height="8" fill="{colour}"/>'
        yield text(x + 11, y, curve.legend)
        x += width


def colours() -> Iterator[str]:
    """Without end."""
    while True:
        yield from COLOURS


def summed(series: Sequence[Series]) -> Iterator[tuple[float, float]]:
    """The upper edge of stacked curves."""
    heights: dict[float, float] = {}
    for curve in series:
        for seconds, value in curve.points:
            heights[seconds] = heights.get(seconds, 0.0) + (value if math.isfinite(value) else 0.0)
    return iter(heights.items())


def top_of(values: Sequence[float]) -> float:
    """A round number that all values are below."""
    most = max((value for value in values if math.isfinite(value)), default=0.0)
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= most)


def shown(value: float, unit: str) -> str:
    """A value with its unit, short."""
    if not math.isfinite(value):
        return "-"
    match unit:
        case "s":
            return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1000:.3g} ms"
        case "percentunit":
            return f"{value:.0%}" if abs(value) >= 1 or value == 0 else f"{value:.1%}"
        case "bytes":
            return f"{value / 1e6:.3g} MB"
        case "reqps" | "cps":
            return f"{value:.3g}/s"
        case _:
            return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def text(
    x: float, y: float, words: str, *, size: int = 11, anchor: str = "start", weight: str = "normal", colour: str = INK
) -> str:
    """Words at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{colour}">{escape(words)}</text>'
    )

"""Latency against load as a picture."""

import math
import re
from xml.etree import ElementTree as ET

import pytest

from dragoman.client.bench.plot import Point, latency_plot

SVG = "{http://www.w3.org/2000/svg}"
POINTS = [
    Point(40, {"p50": 20, "p90": 40, "p99": 80}, held=True),
    Point(10, {"p50": 10, "p90": 20, "p99": 40}, held=True),
    Point(80, {"p50": 100, "p90": 900, "p99": math.inf}, held=False),
]


def drawn(points: list[Point] = POINTS, limit: float | None = 40.0, title: str = "title") -> ET.Element:
    return ET.fromstring(latency_plot(points, 200, limit, title))


def curves(picture: ET.Element) -> list[list[tuple[float, float]]]:
    lines = [line.attrib["points"] for line in picture.iter(f"{SVG}polyline")]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", line)] for line in lines]


def test_curves_go_right_with_the_load_and_up_with_the_latency() -> None:
    """Whatever the order in which loads were tried."""
    for curve in curves(drawn()):
        assert curve == sorted(curve)
        assert [y for _, y in curve] == sorted((y for _, y in curve), reverse=True)


def test_twice_the_latency_is_the_same_step_everywhere() -> None:
    """The scale is logarithmic: 10, 20 and 40 ms lie on one line at one load."""
    low, middle, high = (curve[0][1] for curve in curves(drawn()))

    assert low - middle == pytest.approx(middle - high, abs=0.2)


def test_what_is_infinite_lies_on_the_upper_edge() -> None:
    """A p99 of calls that failed is above all others, and inside the picture."""
    top = curves(drawn())[-1][-1][1]

    assert top == min(y for curve in curves(drawn()) for _, y in curve) == 60


def test_loads_that_were_not_held_are_hollow() -> None:
    """Three curves, of which the last point is not filled."""
    fills = [circle.attrib["fill"] for circle in drawn().iter(f"{SVG}circle")]

    assert [fill == "white" for fill in fills] == [False, False, True] * 3


@pytest.mark.parametrize("limit", [40.0, None])
def test_the_picture_says_what_was_found(limit: float | None) -> None:
    """Target and limit in words; no limit where none was found."""
    texts = [text.text or "" for text in drawn(limit=limit).iter(f"{SVG}text")]

    assert "p99 target 200 ms" in texts
    assert ("holds 40 a second" in texts) == (limit is not None)
    assert {"p50", "p90", "p99", "calls a second"} <= set(texts)


def test_labels_do_not_cover_each_other() -> None:
    """Curves that end at the same height have their names apart."""
    same = [Point(rate, {"p50": 5, "p90": 5, "p99": 5}, held=True) for rate in (1, 2)]
    picture = drawn(same)
    places = [float(text.attrib["y"]) for text in picture.iter(f"{SVG}text") if text.text in ("p50", "p90", "p99")]

    assert min(abs(a - b) for a in places for b in places if a is not b) >= 14


@pytest.mark.parametrize("scale", [1e-3, 0.7, 1, 30, 5e4])
def test_any_scale_fits(scale: float) -> None:
    """From microseconds to minutes, from one call in an hour to a million a second."""
    points = [
        Point(point.rate * scale, {name: ms * scale for name, ms in point.latency_ms.items()}, held=point.held)
        for point in POINTS
    ]

    for x, y in (place for curve in curves(drawn(points)) for place in curve):
        assert 70 <= x <= 670
        assert 60 <= y <= 365


def test_a_title_is_text() -> None:
    """A file's name may hold what XML does not like."""
    assert any(text.text == "a<b & c>" for text in drawn(title="a<b & c>").iter(f"{SVG}text"))


def test_one_load_is_a_picture() -> None:
    """A search that ends at once has one point."""
    assert [len(curve) for curve in curves(drawn(POINTS[:1]))] == [1, 1, 1]

"""The picture of the dashboard, from made-up numbers."""

import math
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def picture(script: Callable[[str], Any]) -> Any:
    return script("picture")


def numbers(legend: str) -> list[tuple[float, float]]:
    """Growing, with a hole."""
    return [(float(t), math.nan if t == 5 else t + len(legend)) for t in range(11)]


def test_every_panel_is_on_the_picture(picture: Any, dashboard: dict[str, Any]) -> None:
    """With its title and, within the picture's bounds, its curves."""
    panels = [(panel, [picture.Series(str(n), numbers(str(n))) for n in range(3)]) for panel in dashboard["panels"]]

    root = ElementTree.fromstring(picture.draw(panels, 10.0))

    words = {one.text for one in root.iter(f"{SVG}text")}
    assert {panel["title"] for panel in dashboard["panels"]} <= words
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for one in root.iter(f"{SVG}rect"):
        assert float(one.attrib.get("x", 0)) + float(one.attrib["width"]) <= width + 1
        assert float(one.attrib.get("y", 0)) + float(one.attrib["height"]) <= height + 1


def test_a_curve_is_broken_where_there_is_no_number(picture: Any, dashboard: dict[str, Any]) -> None:
    """A line through a hole would be an invention."""
    [panel] = [panel for panel in dashboard["panels"] if panel["title"] == "Wait"]

    root = ElementTree.fromstring(picture.draw([(panel, [picture.Series("a", numbers("a"))])], 10.0))

    [curve] = [one.attrib["d"] for one in root.iter(f"{SVG}path") if one.attrib.get("fill") == "none"]
    assert (curve.count("M"), curve.count("L")) == (2, 8)  # five points, then five


@pytest.mark.parametrize(("value", "colour"), [(0.9989, 3), (0.999, 1), (1.0, 1)])
def test_a_number_below_its_objective_is_red(
    picture: Any, dashboard: dict[str, Any], value: float, colour: int
) -> None:
    """By the thresholds that Grafana gets."""
    [panel] = [panel for panel in dashboard["panels"] if panel["title"] == "Availability"]

    root = ElementTree.fromstring(picture.draw([(panel, [picture.Series("a", [(10.0, value)])])], 10.0))

    [number] = [one for one in root.iter(f"{SVG}text") if one.text and one.text.endswith("%")]
    assert number.attrib["fill"] == picture.COLOURS[colour]


def test_stacked_curves_reach_their_sum(picture: Any, dashboard: dict[str, Any]) -> None:
    """The scale follows the sum, and nothing leaves the panel."""
    [panel] = [panel for panel in dashboard["panels"] if panel["title"] == "Requests by outcome"]
    series = [picture.Series(name, [(9.0, 3.0), (10.0, 4.0)]) for name in "ab"]

    root = ElementTree.fromstring(picture.draw([(panel, series)], 10.0))

    upper = [one.attrib["points"].split() for one in root.iter(f"{SVG}polygon")]
    assert upper[0][1] == upper[1][2]  # the second stands on the first
    assert "8/s" in {one.text for one in root.iter(f"{SVG}text")}


@pytest.mark.parametrize(("value", "top"), [(0.0, 1.0), (0.9, 1.0), (1.01, 1.5), (7.0, 8.0), (430.0, 500.0)])
def test_the_scale_ends_at_a_round_number(picture: Any, value: float, top: float) -> None:
    """Above the highest value, and not far."""
    assert picture.top_of([value, math.nan]) == pytest.approx(top)

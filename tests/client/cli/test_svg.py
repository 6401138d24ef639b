"""Parts of pictures."""

from xml.etree import ElementTree as ET

import pytest

from dragoman.cli.svg import document, line, spread, text, ticks


@pytest.mark.parametrize("top", [0.003, 0.7, 1.0, 9.9, 10.0, 12.5, 99, 480, 12_345])
def test_an_axis_has_five_to_twelve_round_numbers_up_to_its_end(top: float) -> None:
    """From 0, in equal steps, none beyond the end and the next one behind it."""
    marks = ticks(top)
    step = marks[1]

    assert marks[0] == 0
    assert 5 <= len(marks) - 1 <= 12
    assert marks[-1] <= top < marks[-1] + step * 1.000001
    assert f"{step:e}"[0] in "125"


def test_labels_do_not_cover_each_other() -> None:
    """From the lowest up; where there is enough between them, they stay."""
    assert spread([100, 95, 90, 40]) == [100, 86, 72, 40]


def test_a_picture_is_xml_whatever_its_words() -> None:
    """Signs that mean something in XML are escaped."""
    picture = ET.fromstring(document(10, 20, [line(0, 0, 1, 1, "red", dashed=True), text(1, 2, 'a < b & "c"')]))

    assert picture.attrib["viewBox"] == "0 0 10 20"
    assert [part.text for part in picture][2] == 'a < b & "c"'

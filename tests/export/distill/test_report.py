"""What people are told of a distillation."""

from xml.etree import ElementTree

from dragoman.export.distill.evaluation import Row
from dragoman.export.distill.report import Training, as_data, picture, table
from dragoman.export.distill.trainer import Point

HISTORY = (
    Point(10, 9.5, 5.0, None),
    Point(20, 2.5, 10.0, {"bleu 1": 3.0, "chrf 1": 9.0, "bleu 4": 5.0, "chrf 4": 11.0}),
    Point(30, 1.25, 15.0, {"bleu 1": 30.5, "chrf 1": 40.0, "bleu 4": 36.0, "chrf 4": 45.0}),
)
FILL = Training("mask-predict", 3, 1_000_000, 2.5, HISTORY)
ROWS = [Row("teacher: greedy", 52.55, 75.0, 9800.0), Row("student: ctc", 30.1, 60.0, 20000.4)]


def test_the_table_says_what_was_trained_and_how_good_it_is():
    """Columns stand under their heads."""
    lines = table([FILL], ROWS, "dev.en").splitlines()

    assert lines[0] == (
        "mask-predict: 3 layers, 1,000,000 weights, 30 steps, 2.50 epochs, 15 s of processor time, loss 1.250"
    )
    assert lines[2:] == [
        "quality on dev.en:",
        "                  BLEU   chrF  words/s",
        "teacher: greedy  52.55  75.00    9,800",
        "student: ctc     30.10  60.00   20,000",
    ]


def test_the_picture_has_a_curve_for_each_loss_and_bleu():
    """Named, and inside of the picture, the first loss too, which is far above the others."""
    root = ElementTree.fromstring(picture([FILL]))

    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"loss", "BLEU, in training", "mask-predict", "mask-predict bleu 1", "mask-predict bleu 4"} <= set(words)
    lines = list(root.iter("{http://www.w3.org/2000/svg}line"))
    assert len([one for one in lines if one.get("stroke") != "#dddddd"]) == 2 + 1 + 1
    assert all(0 <= float(one.get(axis)) <= 640 for one in lines for axis in ("y1", "y2"))


def test_data_has_every_point_and_row():
    """As JSON would hold it."""
    data = as_data([FILL], ROWS, {"bundle": "there"})

    assert data["bundle"] == "there"
    assert data["trainings"][0]["history"][2]["quality"]["bleu 4"] == 36.0
    assert data["quality"][1] == {"name": "student: ctc", "bleu": 30.1, "chrf": 60.0, "words_per_second": 20000.4}

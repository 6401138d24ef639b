"""What came of a distillation: a table for people, the same as plain data, and a picture of how it went."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from dragoman.cli.svg import COLOURS, FAINT, document, line, text, ticks
from dragoman.export.distill.evaluation import Row
from dragoman.export.distill.trainer import Point

WIDTH, HEIGHT = 760, 640
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 70, 130, 60, 45, 60


@dataclass(frozen=True)
class Training:
    """How one decoder was trained."""

    kind: str
    layers: int
    weights: int
    """Numbers that were trained."""
    epochs: float
    history: Sequence[Point]

    @property
    def processor_s(self) -> float:
        """Processor time of all steps."""
        return self.history[-1].processor_s

    def described(self) -> str:
        """One line for the provenance."""
        last = self.history[-1]
        return (
            f"{self.layers} layers, {self.weights:,} weights, {last.step:,} steps, {self.epochs:.2f} epochs, "
            f"{last.processor_s:,.0f} s of processor time, loss {last.loss:.3f}"
        )


def as_data(trainings: Sequence[Training], rows: Sequence[Row], facts: Mapping[str, object]) -> dict[str, object]:
    """The result as plain data."""
    described = [{**asdict(each), "history": [asdict(point) for point in each.history]} for each in trainings]
    return {**facts, "trainings": described, "quality": [asdict(row) for row in rows]}


def table(trainings: Sequence[Training], rows: Sequence[Row], measured_on: str) -> str:
    """The result as lines for a terminal."""
    width = max(len(row.name) for row in rows)
    head = f"{'':{width}}   BLEU   chrF  words/s"
    lines = [f"{row.name:{width}}  {row.bleu:5.2f}  {row.chrf:5.2f}  {row.words_per_second:7,.0f}" for row in rows]
    described = [f"{training.kind}: {training.described()}" for training in trainings]
    return "\n".join([*described, "", f"quality on {measured_on}:", head, *lines])


def picture(trainings: Sequence[Training]) -> str:
    """Loss above, quality below, against processor time: steps of different decoders cost differently."""
    longest = max(1.0, *(training.processor_s for training in trainings))
    upper = (TOP, (HEIGHT - BETWEEN) / 2)
    lower = ((HEIGHT + BETWEEN) / 2, HEIGHT - BOTTOM)
    losses = {training.kind: [(point.processor_s, point.loss) for point in training.history] for training in trainings}
    parts = [text(LEFT, 24, "Distillation", size=15)]
    parts += _panel("loss", losses, longest, upper)
    quality = {
        f"{training.kind} {name}".removesuffix(" bleu"): [
            (point.processor_s, point.quality[name]) for point in training.history if point.quality is not None
        ]
        for training in trainings
        for name in next(point.quality for point in reversed(training.history) if point.quality is not None)
        if name.startswith("bleu")
    }
    parts += _panel("BLEU, in training", quality, longest, lower)
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "seconds of processor time", anchor="middle"))
    return document(WIDTH, HEIGHT, parts)


Curve = Sequence[tuple[float, float]]


def _panel(title: str, curves: Mapping[str, Curve], longest: float, rows: tuple[float, float]) -> Iterable[str]:
    values = sorted(value for curve in curves.values() for _, value in curve)
    # The first losses are many times the others.
    top = 1.05 * max(values[int(0.95 * (len(values) - 1))], 1e-6)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / longest

    def y(value: float) -> float:
        return rows[1] - (rows[1] - rows[0]) * min(max(value / top, 0), 1)

    for tick in ticks(top):
        yield line(LEFT, y(tick), WIDTH - RIGHT, y(tick), FAINT)
        yield text(LEFT - 8, y(tick) + 4, f"{tick:g}", anchor="end")
    for tick in ticks(longest):
        yield line(x(tick), rows[0], x(tick), rows[1], FAINT)
        yield text(x(tick), rows[1] + 16, f"{tick:g}", anchor="middle")
    yield text(LEFT, rows[0] - 10, title)
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        for (x1, y1), (x2, y2) in pairwise(curve):
            yield line(x(x1), y(y1), x(x2), y(y2), colour)
        yield text(WIDTH - RIGHT + 8, rows[0] + 14 + 16 * index, name, colour=colour)

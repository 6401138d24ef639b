"""What the teacher says of each line of a text: sequence-level distillation learns from it, not from people.

The file of labels has one JSON object for each line of the text, in its order, so that its length says how far it is.
A last line that was not written to its end is dropped, and the work goes on there.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dragoman.export.core.errors import ExportError
from dragoman.export.distill.corpus import Ragged
from dragoman.export.distill.pieces import Pieces
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import ServingError
from dragoman.server.core.protection import NO_PROTECTION
from dragoman.server.core.requests import DecodingOverrides, OnTooLong, Request, Splitting
from dragoman.server.core.translations import Outcome

CHUNK = 2000
"""Lines that are offered to the engine at once."""
MAX_RATIO, RATIO_SLACK = 2.0, 4
"""A pair is dropped where one side is more than this many times as long as the other, both with so many words more."""
Note = Callable[[int, int], None]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, which may be packed with gzip."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExportError(f"{path}: not UTF-8 text: {error}") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise ExportError(f"{path}: not a whole gzip file: {error}") from error
    # Of all that Unicode calls the end of a line, only this one ends a line of a file.
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def write_labels(bundle: Path, lines: Sequence[str], path: Path, beam_size: int | None, note: Note) -> None:
    """Translate all lines that the file of labels does not have yet; without a beam size, with the model's own."""
    done = _mend(path)
    if done > len(lines):
        raise ExportError(f"{path} has {done:,} lines, and the text {len(lines):,}: name another --work")
    if done == len(lines):
        return
    with LocalTranslator(bundle) as translator, path.open("a", encoding="utf-8") as file:
        while done < len(lines):
            chunk = lines[done : done + CHUNK]
            for source, outcome in zip(chunk, translator.outcomes(label_request(chunk, beam_size)), strict=True):
                file.write(json.dumps(_label(source, outcome), ensure_ascii=False) + "\n")
            file.flush()
            done += len(chunk)
            note(done, len(lines))


def label_request(lines: Sequence[str], beam_size: int | None) -> Request:
    """Each line is a sentence; one that the model cannot read whole has no label. Nothing is protected: what the model
    says is to be learnt, of placeholders, too.
    """
    return Request(
        tuple(lines),
        DecodingOverrides(beam_size=beam_size),
        splitting=Splitting.NONE,
        on_too_long=OnTooLong.REJECT,
        protection=NO_PROTECTION,
    )


def _label(source: str, outcome: Outcome) -> dict[str, str]:
    if isinstance(outcome, ServingError):
        return {"source": source, "end": "error"}
    return {"source": source, "target": outcome.text, "end": outcome.finish_reason.value}


def _mend(path: Path) -> int:
    """How many whole lines a file has; what follows them is cut off."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        lines, length = 0, 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(length)
                break
            lines, length = lines + 1, length + len(line)
    return lines


def pairs(path: Path, pieces: Pieces, eos_id: int, most: int) -> tuple[Ragged, Ragged, Counter[str]]:
    """Source and target ids of every label that is worth learning, and why the others are not.

    Sequences have at most `most` ids, their end token included.
    """
    dropped: Counter[str] = Counter()
    sources, targets = [], []
    for label in _labels(path):
        source = pieces.source(label["source"])
        target = pieces.target(label.get("target", ""))
        reason = _fault(label["end"], len(source), len(target), most - 1)
        if reason:
            dropped[reason] += 1
        else:
            sources.append([*source, eos_id])
            targets.append([*target, eos_id])
    return Ragged.of(sources), Ragged.of(targets), dropped


def _labels(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _fault(end: str, source: int, target: int, most: int) -> str:
    """Why a pair is dropped; empty where it is kept."""
    if end == "error":
        return "not translated"
    if not source or not target:
        return "empty"
    if end != "stop":
        return "cut"
    if max(source, target) > most:
        return "long"
    shorter, longer = sorted((source + RATIO_SLACK, target + RATIO_SLACK))
    return "unlike lengths" if longer > MAX_RATIO * shorter else ""

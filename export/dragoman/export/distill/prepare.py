"""What must be there before a student can be trained: labels, pairs of ids, the teacher's rows, an evaluation set."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.distill.corpus import IDS_FILE, Corpus, Ragged, read_ids, write_ids
from dragoman.export.distill.evaluation import EvaluationSet
from dragoman.export.distill.labels import pairs, read_lines, write_labels
from dragoman.export.distill.pieces import Pieces
from dragoman.export.distill.settings import Decoder, Recipe
from dragoman.export.distill.teacher_rows import compute_rows, graph_encoder, pairs_done
from dragoman.export.distill.work_folder import write_whole
from dragoman.export.export import export
from dragoman.export.network.network import Network

TEACHER, ENCODER, LABELS_FILE, DROPPED_FILE = "teacher", "encoder", "labels.jsonl", "dropped.json"
HELD_OUT = 200
Say = Callable[[str, float | None], None]
"""What is being done, and the share of it that has been done."""


def teacher_of(model: Checkpoint) -> Checkpoint:
    """A model as students learn from it, and as it may stand beside them: the decoder that says what the model says
    unasked. It reads nothing of what comes before a text, as they learn nothing of that.
    """
    history = {name: said for name, said in model.history.items() if name != "context"}
    return replace(model.of(model.searcher), texts=replace(model.texts, context=None), history=history)


def check(checkpoint: Checkpoint, decoders: Sequence[Decoder]) -> None:
    """Refuse, before any work, what distilling cannot do."""
    words = checkpoint.tokenizer
    if words.prefix or words.suffix or words.forced_first is not None:
        raise ExportError(
            f"{checkpoint.name} reads its languages from the ids, and a student learns one pair: distil a model "
            "of one pair"
        )
    arch = checkpoint.architecture
    if not arch.decoder_layers:
        raise ExportError(f"{checkpoint.name} has no autoregressive decoder, and that is what students learn from")
    if arch.recurrent is not None:
        raise ExportError(f"{checkpoint.name} is recurrent, and students learn from a Transformer")
    beside = [decoder.kind for decoder in decoders if decoder.kind != "autoregressive"]
    if beside and arch.of_encoder.d_model != arch.d_model:
        raise ExportError(
            f"{' and '.join(beside)} need an encoder as wide as the decoder, and {checkpoint.name} has "
            f"{arch.of_encoder.d_model} and {arch.d_model}: --decoder autoregressive alone can be trained"
        )


def prepare(recipe: Recipe, checkpoint: Checkpoint, teacher: Network, pieces: Pieces, say: Say) -> dict[str, int]:
    """Make labels, pairs and the teacher's rows; how many pairs were dropped, by reason."""
    work = recipe.work
    if not (work / TEACHER).exists():
        export(checkpoint, work / TEACHER, precision="int8", progress=lambda stage: say(f"teacher: {stage}", None))
    lines = [line for path in recipe.texts for line in read_lines(path)]
    say("translating the text", None)
    write_labels(
        work / TEACHER,
        lines,
        work / LABELS_FILE,
        recipe.beam_size,
        lambda done, of: say("translating the text", done / of),
    )
    if not (work / IDS_FILE).exists():
        say("reading the labels", None)
        most = min(recipe.max_tokens, teacher.arch.max_positions)
        sources, targets, dropped = pairs(work / LABELS_FILE, pieces, checkpoint.tokenizer.eos_id, most)
        if not len(sources):
            raise ExportError(f"no pair is left to learn from: {dict(dropped) or 'the text is empty'}")
        write_whole(work / DROPPED_FILE, json.dumps(dropped).encode())
        write_ids(work, sources, targets)
    if pairs_done(work) < len(read_ids(work)[0]):
        say("computing the teacher's rows", None)
        encode = graph_encoder(checkpoint, teacher, work / ENCODER, recipe.threads)
        start_id = checkpoint.tokenizer.start_id
        compute_rows(teacher, encode, start_id, work, lambda done, of: say("computing the teacher's rows", done / of))
    dropped_pairs: dict[str, int] = json.loads((work / DROPPED_FILE).read_text(encoding="utf-8"))
    return dropped_pairs


def evaluation_set(recipe: Recipe, corpus: Corpus, pieces: Pieces) -> tuple[EvaluationSet, int]:
    """What quality is measured on, and how many of the last pairs are held out for it."""
    if recipe.development is not None:
        sources, references = (read_lines(path) for path in recipe.development)
        if len(sources) != len(references) or not sources:
            raise ExportError(
                f"{recipe.development[0]} has {len(sources):,} lines and {recipe.development[1]} {len(references):,}: "
                "one sentence and its translation a line"
            )
        return EvaluationSet(sources, references, str(recipe.development[0])), 0
    count = min(HELD_OUT, len(corpus) // 10)
    if not count:
        raise ExportError(f"{len(corpus)} pairs are too few to hold some out: give more text")
    last = range(len(corpus) - count, len(corpus))

    def texts(side: Ragged) -> list[str]:
        return [pieces.text(side.ids[side.of_row(index)][:-1].tolist()) for index in last]

    origin = f"{count} lines of the text, with the teacher's translations"
    return EvaluationSet(texts(corpus.sources), texts(corpus.targets), origin), count

"""One distillation, from texts to bundle: translate, compute the teacher's rows, train, write, evaluate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.digests import sha256
from dragoman.export.distill import report
from dragoman.export.distill.autoregressive import Autoregressive
from dragoman.export.distill.corpus import Corpus, batches_of, calibration_sources, open_corpus
from dragoman.export.distill.ctc import Ctc
from dragoman.export.distill.evaluation import Row, evaluate
from dragoman.export.distill.mask_predict import MaskPredict
from dragoman.export.distill.pieces import Pieces
from dragoman.export.distill.prepare import TEACHER, Say, check, evaluation_set, prepare, teacher_of
from dragoman.export.distill.quality import Sample
from dragoman.export.distill.report import Training
from dragoman.export.distill.settings import Decoder, Recipe
from dragoman.export.distill.students import student_checkpoint, with_autoregressive, with_nat
from dragoman.export.distill.trainer import Point, Student, Trainer, multiplies_halves
from dragoman.export.distill.work_folder import alone, open_work, write_whole
from dragoman.export.export import export
from dragoman.export.importers.formats import read
from dragoman.export.joining.join import join
from dragoman.export.network.load import load_network
from dragoman.export.network.nat import decoder_of
from dragoman.export.network.network import Network
from dragoman.export.probe.probe import with_forms

PICTURE_FILE = "report.svg"


@dataclass(frozen=True)
class Result:
    """What a distillation leaves."""

    bundle: Bundle
    trainings: tuple[Training, ...]
    rows: tuple[Row, ...]
    dropped: dict[str, int]
    pairs: int
    measured_on: str
    picture: Path


def distill(recipe: Recipe, say: Say) -> Result:
    """Distil; what an earlier run with the same work folder has done is not done again."""
    say("reading the checkpoint", None)
    torch.set_num_threads(recipe.threads)
    checkpoint = teacher_of(read(recipe.source, recipe.format, *recipe.languages))
    check(checkpoint, recipe.decoders)
    options = {"beam_size": recipe.beam_size, "max_tokens": recipe.max_tokens}
    open_work(recipe.work, checkpoint.source_files, recipe.texts, options)
    with alone(recipe.work):
        return _distill(recipe, checkpoint, say)


def _distill(recipe: Recipe, checkpoint: Checkpoint, say: Say) -> Result:
    pieces, teacher = Pieces(checkpoint, "dragoman distill"), load_network(checkpoint)
    dropped = prepare(recipe, checkpoint, teacher, pieces, say)
    corpus = open_corpus(recipe.work, teacher.arch.of_encoder.d_model, teacher.arch.d_model)
    test, held_out = evaluation_set(recipe, corpus, pieces)
    corpus = replace(corpus, used=len(corpus) - held_out)
    network, trainings = teacher, []
    sample = Sample(checkpoint.tokenizer, pieces, test)
    for decoder in recipe.decoders:
        network, training = _train(recipe, decoder, network, corpus, sample, say)
        trainings.append(training)
    bundle = _write(recipe, checkpoint, network, trainings, corpus, say)
    say("evaluating", None)
    kinds = [decoder.kind for decoder in recipe.decoders]
    rows = evaluate(recipe.work / TEACHER, "teacher", [], test)
    rows += evaluate(bundle.directory, "student", kinds, test)
    write_whole(recipe.work / PICTURE_FILE, report.picture(trainings).encode())
    picture = recipe.work / PICTURE_FILE
    return Result(bundle, tuple(trainings), tuple(rows), dropped, len(corpus), test.origin, picture)


def _train(
    recipe: Recipe, decoder: Decoder, network: Network, corpus: Corpus, sample: Sample, say: Say
) -> tuple[Network, Training]:
    """Train a decoder to the end of its steps; the network that then has it, with mean weights."""
    eos_id, start_id = sample.tokenizer.eos_id, sample.tokenizer.start_id
    student: Student
    if decoder.kind == "autoregressive":
        guided, teacher = recipe.guided_attention, network
        network = with_autoregressive(teacher, decoder.layers, recipe.seed, is_guided=bool(guided))
        student = Autoregressive(network, start_id, teacher if guided else None, guided)
        trained: nn.Module = network.decoder
    else:
        with_nat(network, decoder.nat(network, eos_id), recipe.seed)
        kind = Ctc if decoder.kind == "ctc" else MaskPredict
        student, trained = kind(network, decoder.kind, eos_id), decoder_of(network, decoder.kind)
    trained.requires_grad_(True)  # noqa: FBT003 - torch's own signature
    settings = recipe.settings(decoder, len(batches_of(corpus.lengths, recipe.batch_words, (recipe.seed, 0))))
    device = torch.device(recipe.device)
    half = multiplies_halves(device)
    trainer = Trainer(student, corpus, settings, recipe.work / f"{decoder.kind}.pt", device=device, half=half)
    trainer.resume()
    say(f"training {decoder.kind}", min(1.0, trainer.progress))
    trainer.run(
        lambda: sample.scores(network, decoder.kind),
        lambda point: say(f"training {decoder.kind}, {_told(point)}", min(1.0, trainer.progress)),
    )
    trainer.use_mean()
    trained.requires_grad_(False)  # noqa: FBT003
    weights = sum(parameter.numel() for parameter in trainer.trained.values())
    network.to("cpu")
    return network, Training(decoder.kind, decoder.layers, weights, trainer.epochs, tuple(trainer.history))


def _told(point: Point) -> str:
    quality = ", ".join(f"{name} {value:.1f}" for name, value in (point.quality or {}).items() if "bleu" in name)
    return f"loss {point.loss:.3f}" + (f", {quality}" if quality else "")


def _write(
    recipe: Recipe, checkpoint: Checkpoint, network: Network, trainings: Sequence[Training], corpus: Corpus, say: Say
) -> Bundle:
    """The bundle of all decoders on one encoder, with the forms that they copy."""
    texts = ", ".join(f"{path.name} sha256 {sha256(path)}" for path in recipe.texts)
    history = {"distill.text": f"{len(corpus):,} pairs of {texts}, with the teacher's translations"}
    history |= {f"distill.{training.kind}": training.described() for training in trainings}
    if recipe.guided_attention:
        history["distill.guided_attention"] = f"{recipe.guided_attention:g}"
    student = student_checkpoint(checkpoint, network, history)
    say("writing the bundle", None)
    bundle = export(
        student,
        recipe.output,
        precision=recipe.precision,
        calibration=calibration_sources(corpus) if recipe.precision == "int8" else None,
        replace=recipe.replace,
        progress=lambda stage: say(f"bundle: {stage}", None),
    )
    if recipe.keeps_teacher:
        teacher = open_bundle(recipe.work / TEACHER)
        bundle = join(bundle, teacher, recipe.output, searches=True, replace_it=True)
    return with_forms(bundle, progress=lambda stage: say(f"bundle: {stage}", None))

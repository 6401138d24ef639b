"""One export, from checkpoint to bundle: build the network, trace, quantise, write, prove."""

import copy
import hashlib
import itertools
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir
from tokenizers import Tokenizer as FastTokenizer

from dragoman.bundle.graphs import (
    CANDIDATES,
    DEVICE_ENCODER,
    DEVICE_STEP,
    DEVICE_STRIDE,
    DEVICE_STRIDE_STEPS,
    ENCODER,
    STEP,
    STEP_SHORTLIST,
    STRIDE,
    file_of,
    has_device_graphs,
    is_nat,
    nat_graphs,
    signature,
)
from dragoman.bundle.manifest import Manifest, Precision, Provenance
from dragoman.bundle.reader import Bundle
from dragoman.bundle.writer import BundleWriter
from dragoman.export.calibration.calibrate import OUTPUT, measure_scales
from dragoman.export.calibration.ranges import check_range
from dragoman.export.calibration.texts import draw_texts
from dragoman.export.core.checkpoint import Checkpoint, Shortlist
from dragoman.export.core.digests import sha256
from dragoman.export.core.errors import ExportError
from dragoman.export.graphs.device_modules import device_graph_names
from dragoman.export.graphs.store_graphs import store_graphs
from dragoman.export.graphs.trace import signature_of, trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.joining.join import join
from dragoman.export.network.load import load_network
from dragoman.export.network.nat import decoders
from dragoman.export.network.network import Network
from dragoman.export.passes.half import to_half
from dragoman.export.passes.int8_weights import int8_weights
from dragoman.export.passes.quantize import to_int8
from dragoman.export.passes.stride import has_stride, looped, widened
from dragoman.export.passes.unrolled import unrolled
from dragoman.export.proof.device_parity import prove_device
from dragoman.export.proof.parity import prove
from dragoman.export.proof.source_parity import prove_source
from dragoman.export.proof.stride_parity import prove_stride

SHORTLIST_FILE = "shortlist.npz"
Progress = Callable[[str], None]


def export(
    checkpoint: Checkpoint,
    directory: Path,
    *,
    precision: Precision,
    calibration: Sequence[Sequence[int]] | None = None,
    replace: bool = False,
    progress: Progress = print,
) -> Bundle:
    """Write the checkpoint as a bundle in `directory`, with all its decoders. Whatever fails, nothing is left behind.

    int8 has the checkpoint's own fixed scales, row scales where it has none, or fixed ones that are measured on
    `calibration`: source ids, each with its end token.
    """
    if checkpoint.siblings:
        return _joined(checkpoint, directory, precision, calibration, replace, progress)
    graphs = graph_names(checkpoint)
    check_tokenizers(checkpoint)
    network = load_network(checkpoint)
    with BundleWriter(directory, replace=replace) as writer:
        root = writer.path(file_of(ENCODER)).parent
        check_room(checkpoint, precision, root)
        if precision == "fp16":
            progress("looking for numbers that float16 cannot hold")
            words = checkpoint.tokenizer
            check_range(network, calibration or draw_texts(checkpoint), start_id=words.start_id, eos_id=words.eos_id)
        models = {}
        for graph in graphs:
            progress(f"tracing {graph}")
            models[graph] = trace(network, graph)
        lower(models, checkpoint, network, precision, calibration, progress)
        if precision != "int8" and has_device_graphs(checkpoint.architecture):
            models |= device_graphs(network, precision, progress)
        progress("writing")
        signatures = {name: signature_of(model, name) for name, model in models.items()}
        save(models, root)
        del models
        for name, source in checkpoint.tokenizer_files.items():
            content = source.read_bytes() if isinstance(source, Path) else source
            writer.path(name).write_bytes(content)
        if checkpoint.shortlist is not None:
            write_shortlist(checkpoint.shortlist, writer.path(SHORTLIST_FILE))
        progress("comparing with the network")
        parity = prove(network, root, graphs, precision, checkpoint.tokenizer.start_id)
        parity += prove_stride(network, root, precision) if STRIDE in signatures else ()
        parity += prove_device(network, root, precision) if DEVICE_STEP in signatures else ()
        del network
        if checkpoint.oracle is not None:
            progress(f"comparing with {checkpoint.oracle.name}")
            parity += prove_source(checkpoint, checkpoint.oracle, root, precision)
        return writer.commit(
            Manifest(
                name=checkpoint.name,
                pairs=checkpoint.pairs,
                architecture=checkpoint.architecture,
                decoding=checkpoint.decoding,
                tokenizer=checkpoint.tokenizer,
                graphs=signatures,
                limits=checkpoint.limits,
                precision=precision,
                provenance=provenance(checkpoint, precision, calibration),
                licence=checkpoint.licence,
                nat=checkpoint.nat,
                shortlist=SHORTLIST_FILE if checkpoint.shortlist is not None else None,
                parity=parity,
                texts=checkpoint.texts,
            )
        )


def _joined(
    checkpoint: Checkpoint,
    directory: Path,
    precision: Precision,
    calibration: Sequence[Sequence[int]] | None,
    replace: bool,  # noqa: FBT001 - as `export` is told
    progress: Progress,
) -> Bundle:
    """One bundle of several: each decoder is exported with the encoder, and they are joined."""

    def exported(decoder: str | None, to: Path) -> Bundle:
        def told(stage: str) -> None:
            progress(stage if decoder is None else f"{decoder}: {stage}")

        return export(checkpoint.of(decoder), to, precision=precision, calibration=calibration, progress=told)

    with TemporaryDirectory(prefix="dragoman-") as folder:
        bundle = exported(None, Path(folder) / "own")
        for decoder in checkpoint.siblings:
            sibling, is_last = exported(decoder, Path(folder) / decoder), decoder == [*checkpoint.siblings][-1]
            to = directory if is_last else Path(folder) / f"with-{decoder}"
            bundle = join(bundle, sibling, to, searches=decoder == checkpoint.searcher, replace_it=replace)
    return bundle


def graph_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The graphs of its bundle that are traced, in this order."""
    has_shortlist = checkpoint.shortlist is not None
    nat = [nat_graphs(name, decoder, shortlist=has_shortlist) for name, decoder in checkpoint.nat.items()]
    step = (STEP,) if checkpoint.architecture.decoder_layers else ()
    return (ENCODER, *step, *((CANDIDATES, STEP_SHORTLIST) if has_shortlist else ()), *itertools.chain(*nat))


def device_graphs(network: Network, precision: Precision, progress: Progress) -> dict[str, ir.Model]:
    """Those for devices, traced in the bundle's precision: no pass changes them."""
    traced = copy.deepcopy(network).half() if precision == "fp16" else network
    models = {}
    for graph in device_graph_names(network):
        progress(f"tracing {graph}")
        models[graph] = trace(traced, graph)
    sent = signature(traced.arch, DEVICE_STRIDE).inputs
    models[DEVICE_STRIDE] = unrolled(models[DEVICE_STEP], sent, DEVICE_STRIDE_STEPS)
    hidden, *_ = signature_of(models[DEVICE_ENCODER], DEVICE_ENCODER).outputs
    return models | store_graphs(signature_of(models[DEVICE_STEP], DEVICE_STEP), hidden if decoders(network) else None)


def lower(
    models: dict[str, ir.Model],
    checkpoint: Checkpoint,
    network: Network,
    precision: Precision,
    calibration: Sequence[Sequence[int]] | None,
    progress: Progress,
) -> None:
    """From traced graphs to those that are written, in place; a stride is made from the step."""
    arch, shortlist = checkpoint.architecture, checkpoint.shortlist is not None
    if has_stride(arch, precision, shortlist=shortlist):
        models[STRIDE] = widened(models[STEP_SHORTLIST if shortlist else STEP])
    if precision == "int8":
        quantise(models, checkpoint, network, calibration, progress)
    elif precision == "fp16":
        progress("halving")
        for model in models.values():
            to_half(model)
    if STRIDE in models:
        looped(models[STRIDE], arch.max_positions - 1)


def quantise(
    models: dict[str, ir.Model],
    checkpoint: Checkpoint,
    network: Network,
    calibration: Sequence[Sequence[int]] | None,
    progress: Progress,
) -> None:
    """Turn all graphs into int8 ones, in place."""
    scales: dict[str, float | None] = {}
    if calibration:
        progress(f"measuring scales on {len(calibration)} texts")
        words = checkpoint.tokenizer
        scales = measure_scales(network, calibration, start_id=words.start_id, eos_id=words.eos_id)
        fixed = sum(scale is not None for scale in scales.values())
        progress(f"{fixed} of {len(scales)} matrices have a fixed scale, the others one for each row")
    progress("quantising")
    matrices, embeddings = int8_weights(checkpoint, network, scales)
    output_scale = scales.get(OUTPUT, checkpoint.output_activation_scale)
    for name, model in models.items():
        # The output layer's scale was measured on what the autoregressive decoder gives it.
        to_int8(model, matrices, embeddings, None if is_nat(name) else output_scale)


def check_tokenizers(checkpoint: Checkpoint) -> None:
    """Refuse before the work where a tokenizer that an importer made cannot be opened: no server could."""
    if checkpoint.tokenizer.kind != "tokenizers":
        return
    for name, content in checkpoint.tokenizer_files.items():
        if isinstance(content, bytes):
            try:
                FastTokenizer.from_buffer(content)
            except Exception as error:
                raise ExportError(
                    f"{name}, the tokenizer that was made of the source, cannot be opened: {error}"
                ) from error


def check_room(checkpoint: Checkpoint, precision: Precision, directory: Path) -> None:
    """Refuse before the work where the weights will not fit on the disk."""
    weights = {id(weight): weight.nbytes for weight in checkpoint.weights.values()}
    needed = sum(weights.values()) // {"fp32": 1, "fp16": 2, "int8": 4}[precision]
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise ExportError(
            f"the bundle will have {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there: make room, or "
            "write it elsewhere with --output"
        )


def provenance(checkpoint: Checkpoint, precision: Precision, calibration: Sequence[Sequence[int]] | None) -> Provenance:
    """What the bundle was made from, by which version and with which options."""
    options: dict[str, str] = {"precision": precision, **checkpoint.history}
    if calibration:
        digest = hashlib.sha256(repr([list(ids) for ids in calibration]).encode()).hexdigest()
        options["calibrate"] = f"{len(calibration)} texts, sha256 {digest}"
    return Provenance(
        source_format=checkpoint.source_format,
        source_sha256={p.name: sha256(p) for p in checkpoint.source_files},
        tool_version=metadata.version("dragoman"),
        options=options,
    )


def write_shortlist(shortlist: Shortlist, path: Path) -> None:
    """Write a shortlist in the form that the server reads."""
    with path.open("wb") as file:
        np.savez(
            file,
            first=np.array(shortlist.first),
            offsets=shortlist.offsets.astype(np.int32),
            ids=shortlist.ids.astype(np.int32),
        )

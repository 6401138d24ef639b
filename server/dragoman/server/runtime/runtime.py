"""What lanes need of a bundle's graphs: runs of them, and memory for what belongs to sources.

A runtime keeps that memory where its graphs run, in this process or on a device; nobody else asks where that is.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Protocol

from dragoman.bundle.graphs import (
    ATTENTION,
    DEVICE_HIDDEN_JOIN,
    ENCODER,
    HIDDEN,
    NEW,
    STEP,
    device_nat_graph,
    nat_graph,
)
from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.core.errors import EngineFailure
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.stores import Store

NO_MEMORY = ("bad_alloc", "Failed to allocate memory")
"""How ONNX Runtime says that memory was short; it has no error of its own for that."""


class Runtime(Protocol):
    """The graphs of one bundle, loaded, as one of its autoregressive decoders sees them. All lanes share it."""

    manifest: Manifest
    provider: str
    """What the graphs run on: `cpu` or `cuda`."""
    is_placed: bool
    """Whether its step writes new nodes itself, into slots that are named before."""

    @property
    def work(self) -> DeviceWork | None:
        """What a device did; None where that is not counted."""

    @property
    def graphs(self) -> Collection[str]:
        """The names of those that can be run here."""

    @property
    def siblings(self) -> Collection[str]:
        """The bundle's further autoregressive decoders."""

    def of(self, decoder: str | None) -> "Runtime":
        """The same as one of the bundle's autoregressive decoders sees it; None: the architecture's own, and those
        without autoregression.
        """

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Packed source words -> what attention reads and first states by source [g], and hidden rows [n, d], by name.

        `cross` and `hidden` say which of them are wanted.
        """

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """Any graph's outputs by name, as arrays."""

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """What a step says of the new nodes, by name, and what to keep of them, as stores take it."""

    def prepare(self) -> bool:
        """Make something that lets later runs of the lane that asks take less; False where nothing is left to be made.
        For when nobody waits.
        """

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None) -> Store:
        """A store of such tensors; `sizes` has a number for each letter of their shapes. Those of one `kind` come one
        after another, in much the same sizes.
        """


def run_error(graph: str, error: Exception) -> Exception:
    """What a run that failed raises: MemoryError where there was not enough memory for it."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return MemoryError(f"for a run of the {graph} graph")
    return EngineFailure(f"a run of the {graph} graph failed: {error}")


def reads_placed(manifest: Manifest, decoder: str) -> bool:
    """Whether a non-autoregressive decoder reads the encoder's rows where they lie on a device."""
    is_ctc = manifest.nat[decoder].kind == "ctc"
    return DEVICE_HIDDEN_JOIN in manifest.graphs and (is_ctc or device_nat_graph(decoder) in manifest.graphs)


def pass_graph(manifest: Manifest, decoder: str) -> str:
    """The graph of a pass that reads rows on a device: the portable one, where it reads nothing else of sources."""
    name = device_nat_graph(decoder)
    return name if name in manifest.graphs else nat_graph(decoder)


def step_outputs(manifest: Manifest) -> tuple[dict[bool, list[str]], list[str]]:
    """What a step says, without and with attention, and what is kept of its nodes; where nothing decodes word by word,
    nothing.
    """
    names = [tensor.name for tensor in manifest.graphs[STEP].outputs] if STEP in manifest.graphs else []
    said = [name for name in names if not name.startswith(NEW)]
    plain = [name for name in said if name != ATTENTION]
    return {False: plain, True: said}, [name for name in names if name.startswith(NEW)]


def encoder_outputs(manifest: Manifest, *, cross: bool, hidden: bool) -> list[str]:
    """The encoder's outputs for the autoregressive decoder (`cross`), for others (`hidden`), or both."""
    names = [tensor.name for tensor in manifest.graphs[ENCODER].outputs]
    return [name for name in names if (hidden if name == HIDDEN else cross)]

"""What graphs run on: which provider of ONNX Runtime, how it is set up, and what it does not run."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dragoman.bundle.graphs import (
    CANDIDATES,
    DEVICE_ASKED,
    DEVICE_ENCODER,
    DEVICE_HIDDEN_JOIN,
    DEVICE_JOIN,
    DEVICE_STEP,
    DEVICE_STRIDE,
    ENCODER,
    STEP,
    STEP_SHORTLIST,
    STRIDE,
    has_device_graphs,
    is_for_devices,
    is_over_shortlist,
    nat_graph,
    nat_memory_graph,
    sibling_graph,
)
from dragoman.bundle.manifest import Manifest
from dragoman.server.core.errors import StartError
from dragoman.server.runtime.runtime import pass_graph, reads_placed

Provider = Literal["cpu", "cuda"]
PROVIDERS: dict[Provider, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

OLDEST_FOR_CUDA = (1, 31)
SHAPE_OPS = frozenset(
    {"Shape", "Size", "Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Cast", "Identity"}
)
SHAPE_OPS |= {
    "Constant",
    "ConstantOfShape",
    "Range",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Mod",
    "Min",
    "Max",
    "Equal",
    "Greater",
    "Where",
}
"""What may run on the processor beside a GPU: computing with sizes, which ONNX Runtime does there by design."""


FOR_PROCESSORS = frozenset({STRIDE, STEP_SHORTLIST, CANDIDATES})
"""Graphs that a device does not run: a stride's loop would wait for the host in each round, and candidates' rows of the
output layer would be sent with each step, which takes longer than to search all words."""
CAPTURED = frozenset({DEVICE_ENCODER, DEVICE_JOIN, DEVICE_HIDDEN_JOIN, DEVICE_STEP, DEVICE_ASKED, DEVICE_STRIDE})
"""Graphs whose launches are captured: they run all the time, in few shapes, and read no number on the processor."""


@dataclass(frozen=True)
class Hardware:
    """Where a bundle's graphs run."""

    provider: Provider = "cpu"
    device: int = 0
    keeps: bool = False
    """Whether what the decoder keeps stays there, of bundles that have a step for devices."""
    gives_back: bool = False
    """Whether the memory of a run on a processor goes back to the C library. Else ONNX Runtime keeps what it took at
    most for good: up to a tenth faster in a process that has not set up that library's allocator as a server does."""


PROCESSOR = Hardware()


def runs_placed(manifest: Manifest, hardware: Hardware) -> bool:
    """Whether a bundle's step for devices is run there."""
    return hardware.keeps and DEVICE_STEP in manifest.graphs


def captured(manifest: Manifest) -> frozenset[str]:
    """The graphs of a bundle whose launches are captured."""
    passes = {pass_graph(manifest, name) for name in manifest.nat if reads_placed(manifest, name)}
    decoders = (None, *manifest.siblings)
    return frozenset({sibling_graph(decoder, graph) for decoder in decoders for graph in CAPTURED} | passes)


def runs_there(manifest: Manifest, hardware: Hardware) -> list[str]:
    """The graphs of a bundle that are loaded."""
    decoders = (None, *manifest.siblings)
    return [
        sibling_graph(decoder, graph) for decoder in decoders for graph in _runs_there(manifest.of(decoder), hardware)
    ]


def _runs_there(manifest: Manifest, hardware: Hardware) -> list[str]:
    """Those of one decoder, and of what stands beside it without autoregression."""
    is_placed = runs_placed(manifest, hardware)
    left_out = {STEP} if is_placed else {name for name in manifest.graphs if is_for_devices(name)}
    if hardware.keeps:
        left_out |= FOR_PROCESSORS | {name for name in manifest.graphs if is_over_shortlist(name)}
    if is_placed:
        placed = [name for name in manifest.nat if reads_placed(manifest, name)]
        left_out |= {name for one in placed for name in (nat_graph(one), nat_memory_graph(one))}
        left_out -= {pass_graph(manifest, one) for one in placed}
        if all(reads_placed(manifest, name) for name in manifest.nat):
            left_out |= {ENCODER}
    return [name for name in manifest.graphs if name not in left_out]


def hardware_of(provider: str, device: int) -> Hardware:
    """What the options of a command mean."""
    if provider == "cuda":
        return Hardware("cuda", device, keeps=True)
    if device:
        raise StartError(f"--device {device}: names a GPU, and --provider is {provider}: add --provider cuda")
    return PROCESSOR


def refuse(manifest: Manifest, directory: Path, hardware: Hardware, available: Sequence[str], version: str) -> None:
    """Say what cannot run there, and what to do instead. `version` and `available` are ONNX Runtime's."""
    if hardware.provider == "cuda" and PROVIDERS["cuda"] not in available:
        raise StartError(
            "--provider cuda: the installed ONNX Runtime is the one for processors: uninstall onnxruntime and install "
            "dragoman[gpu], or serve with --provider cpu"
        )
    if hardware.provider == "cuda" and tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_FOR_CUDA:
        raise StartError(
            f"--provider cuda: ONNX Runtime {version} may repeat captured launches on memory that it has given away: "
            f"install {'.'.join(map(str, OLDEST_FOR_CUDA))} or later, as dragoman[gpu] does"
        )
    if hardware.provider == "cuda" and manifest.precision == "int8":
        raise StartError(
            f"{directory}: int8 is for processors, and --provider cuda runs fp16 and fp32: export it again with "
            "--precision fp16, or serve it with --provider cpu"
        )
    for decoder in (None, *manifest.siblings) if hardware.keeps else ():
        _refuse_decoder(manifest.of(decoder), decoder, directory)


def _refuse_decoder(manifest: Manifest, decoder: str | None, directory: Path) -> None:
    """The same of one autoregressive decoder, where there is one."""
    if STEP not in manifest.graphs:
        return
    arch = manifest.architecture
    kind = (
        f"decoders of {arch.decoder}" if arch.recurrent else "models that copy from the source" if arch.copies else ""
    )
    if kind:
        raise StartError(f"{directory}: {kind} do not run with --provider cuda: serve it with --provider cpu")
    if has_device_graphs(arch) and DEVICE_STEP not in manifest.graphs:
        raise StartError(
            f"{directory}: the bundle has no graph {sibling_graph(decoder, DEVICE_STEP)}, which --provider cuda needs: "
            "export it again"
        )


def cuda_options(device: int, *, is_captured: bool) -> dict[str, str]:
    """What the provider is told."""
    return {
        "device_id": str(device),
        "enable_cuda_graph": "1" if is_captured else "0",
        # Flash, memory-efficient and plain: cuDNN's attention is chosen as it runs, and cuDNN may be absent.
        "sdpa_kernel": "19",
        # 10 bits of a float32's 23: fp32 is for fidelity.
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
    }


def placement_problem(providers: Sequence[str], assigned: Sequence[tuple[str, str]]) -> str | None:
    """Why a session does not run on the GPU; None where it does. `assigned` are each node's provider and operator.

    ONNX Runtime makes a session for the processor, and says so only in its log, where it cannot load CUDA's libraries;
    and it has a key against nodes on the processor, which counts those that compute sizes. So both are looked at here.
    """
    if providers[0] != PROVIDERS["cuda"]:
        return (
            f"ONNX Runtime could not set up CUDA and would run on {providers[0]}: check with nvidia-smi that the "
            "device is there and its driver is 580 or later, that --device names it, and that CUDA 13 and cuDNN 9 are "
            "installed, as dragoman[gpu] does"
        )
    astray = sorted({op for provider, op in assigned if provider != PROVIDERS["cuda"] and op not in SHAPE_OPS})
    return f"{', '.join(astray)} would run on the processor, and not on the GPU" if astray else None


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may keep busy: the control group's quota rounded up, else those of its affinity."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _cgroup_quota(cgroup: Path) -> float | None:
    """CPUs that the control group grants, version 2 or 1; None where it sets no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text("ascii").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text("ascii").strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None

"""What may run where, and how CUDA is set up: decisions from plain values."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.bundle.graphs import (
    DEVICE_ENCODER,
    DEVICE_GRAPHS,
    DEVICE_HIDDEN_FIT,
    DEVICE_HIDDEN_JOIN,
    DEVICE_STEP,
    ENCODER,
    STEP,
    STEP_SHORTLIST,
    STRIDE,
)
from dragoman.bundle.manifest import Architecture, Graph, Manifest, Nat, Recurrent
from dragoman.server.app.serve_options import GPU_LANES, ServeOptions
from dragoman.server.core.errors import StartError
from dragoman.server.lanes.opening import best_batch, most_together
from dragoman.server.runtime.hardware import (
    CAPTURED,
    PROCESSOR,
    Hardware,
    captured,
    cuda_options,
    hardware_of,
    placement_problem,
    refuse,
    runs_placed,
    runs_there,
    usable_cpus,
)
from dragoman.server.runtime.runtime import reads_placed

GPU = Hardware("cuda", 1, keeps=True)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
BUNDLE, NEW = Path("bundle"), "1.31.1"


@pytest.fixture
def exported(bundle) -> Manifest:
    """A float16 bundle with all that a device needs."""
    plain: Manifest = bundle.manifest
    placed = {name: Graph(f"{name}.onnx", (), ()) for name in DEVICE_GRAPHS}
    return replace(plain, precision="fp16", graphs={**plain.graphs, **placed})


def refusal(*given) -> str | None:
    """What `refuse` says; None where it lets it pass."""
    try:
        refuse(*given)
    except StartError as error:
        return str(error)
    return None


def test_what_a_gpu_runs_is_not_refused(exported):
    """Either float precision, of any kind of attention or recurrence; and nothing is asked of a processor."""
    assert refusal(exported, BUNDLE, GPU, [CUDA, CPU], NEW) is None
    assert refusal(replace(exported, precision="fp32"), BUNDLE, GPU, [CUDA, CPU], NEW) is None
    for change in ({"decoder": "ssru"}, {"positions": "shaw"}):
        graphs = {name: graph for name, graph in exported.graphs.items() if name not in DEVICE_GRAPHS}
        other = replace(exported, architecture=replace(exported.architecture, **change), graphs=graphs)
        assert refusal(other, BUNDLE, GPU, [CUDA, CPU], NEW) is None
    assert refusal(replace(exported, precision="int8", graphs={}), BUNDLE, PROCESSOR, [CPU], "1.20.1") is None


@pytest.mark.parametrize(
    ("change", "available", "reason"),
    [
        ({}, [CPU], r"--provider cuda: .* uninstall onnxruntime and install dragoman\[gpu\], or .* --provider cpu"),
        ({"version": "1.30.0"}, [CUDA], r"--provider cuda: ONNX Runtime 1.30.0 .*: install 1.31 or later"),
        ({"precision": "int8"}, [CUDA], r"bundle: int8 is for processors, .*: export it again with --precision fp16"),
        (
            {"architecture": {"decoder": "gru", "recurrent": Recurrent(1, 1, 1, 1)}},
            [CUDA],
            r"bundle: decoders of gru do not run with --provider cuda",
        ),
        (
            {"architecture": {"copies": True}},
            [CUDA],
            r"bundle: models that copy from the source do not run with --provider cuda",
        ),
        (
            {"siblings": {"gru": Architecture(4, 2, 8, 1, 1, 8, 8, decoder="gru", recurrent=Recurrent(1, 1, 1, 1))}},
            [CUDA],
            r"bundle: decoders of gru do not run with --provider cuda: serve .* --provider cpu",
        ),
        (
            {"architecture": {"decoder": "ssru"}, "siblings": {"self-attention": Architecture(4, 2, 8, 1, 1, 8, 8)}},
            [CUDA],
            r"no graph self-attention.device.step, which --provider cuda needs: export it again",
        ),
        (
            {"graphs": ("encoder", "step")},
            [CUDA],
            r"no graph device.step, which --provider cuda needs: export it again",
        ),
    ],
)
def test_what_it_does_not_run_is_refused_with_the_way_out(exported, change, available, reason):
    """Never run elsewhere instead: a server that is asked for a GPU starts on one, or says why not."""
    arch = replace(exported.architecture, **change.get("architecture", {}))
    graphs = {name: exported.graphs[name] for name in change.get("graphs", exported.graphs)}
    graphs |= {f"{sibling}.{STEP}": exported.graphs[STEP] for sibling in change.get("siblings", ())}
    precision = change.get("precision", "fp16")

    with pytest.raises(StartError, match=reason):
        refuse(
            replace(
                exported, architecture=arch, graphs=graphs, precision=precision, siblings=change.get("siblings", {})
            ),
            BUNDLE,
            GPU,
            available,
            change.get("version", NEW),
        )


def test_a_model_without_a_step_needs_none_of_a_device(exported):
    """A bundle of non-autoregressive decoders alone keeps nothing on a device."""
    alone = replace(exported, graphs={"encoder": exported.graphs["encoder"]})

    assert refusal(alone, BUNDLE, GPU, [CUDA], NEW) is None


def test_a_gpu_is_named_where_one_is_asked_for():
    """--device goes with --provider cuda and with nothing else."""
    assert hardware_of("cuda", 1) == GPU
    assert hardware_of("cpu", 0) == PROCESSOR
    with pytest.raises(StartError, match=r"--device 1: names a GPU, and --provider is cpu: add --provider cuda"):
        hardware_of("cpu", 1)


def test_a_step_of_its_own_replaces_what_it_does_better(exported):
    """A GPU loads the graphs for devices, or else the portable ones; a processor never the former."""
    graphs = {name: graph for name, graph in exported.graphs.items() if name not in DEVICE_GRAPHS}
    graphs[STRIDE] = graphs[STEP_SHORTLIST] = graphs[STEP]
    portable = replace(exported, graphs=graphs)
    both = replace(exported, graphs={**exported.graphs, **graphs})

    assert {*runs_there(both, PROCESSOR)} == {*runs_there(portable, PROCESSOR)} == {*graphs}
    assert {*runs_there(portable, GPU)} == {*graphs} - {STRIDE, STEP_SHORTLIST}
    assert {*runs_there(both, GPU)} & {STEP, STEP_SHORTLIST, STRIDE} == set()
    assert {*runs_there(both, GPU)} >= {*DEVICE_GRAPHS}
    assert [runs_placed(both, one) for one in (PROCESSOR, GPU)] == [False, True]
    assert not runs_placed(portable, GPU)


def test_only_what_runs_all_the_time_is_captured():
    """Launches are captured for the graphs whose inputs are all on the device, and for no others."""
    names = DEVICE_STEP, DEVICE_ENCODER, STEP, "device.pool.fit"
    options = {name: cuda_options(3, is_captured=name in CAPTURED) for name in names}

    assert [one["enable_cuda_graph"] for one in options.values()] == ["1", "1", "0", "0"]
    assert {one["device_id"] for one in options.values()} == {"3"}


@pytest.mark.parametrize(
    ("providers", "assigned", "problem"),
    [
        ([CUDA, CPU], [(CUDA, "MatMul"), (CPU, "Shape"), (CPU, "Concat")], None),
        ([CUDA, CPU], [(CUDA, "MatMul"), (CPU, "TopK"), (CPU, "LSTM"), (CPU, "TopK")], r"^LSTM, TopK would run on the"),
        ([CPU], [(CPU, "Shape")], r"could not set up CUDA and would run on CPUExecutionProvider: check .* --device"),
    ],
)
def test_nothing_runs_on_the_processor_instead(providers, assigned, problem):
    """ONNX Runtime is content with a processor where CUDA fails, as a whole or for a node; a server is not."""
    found = placement_problem(providers, assigned)

    assert (found is None) == (problem is None)
    assert re.search(problem or "None", str(found))


def test_defaults_fit_the_hardware(exported):
    """A GPU gets two lanes, each with as many sources as it computes in the time of a few."""
    assert ServeOptions(provider="cuda").num_lanes == GPU_LANES == 2
    assert ServeOptions().num_lanes == usable_cpus()
    assert ServeOptions(provider="cuda", lanes=5).num_lanes == 5
    assert best_batch(exported, GPU) > best_batch(exported, PROCESSOR)
    assert most_together(exported, GPU) == best_batch(exported, GPU)
    assert most_together(exported, PROCESSOR) == 3 * best_batch(exported, PROCESSOR)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "10000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "99999999 100"}, None),
        ({}, None),
    ],
)
def test_lanes_follow_the_quota(tmp_path: Path, files: dict[str, str], cpus: int | None) -> None:
    """The control group's quota rounded up, in either version; without one, or above them, the CPUs of the affinity."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    assert usable_cpus(tmp_path) == (cpus or usable_cpus(tmp_path / "none"))


def test_decoders_without_autoregression_read_what_lies_on_the_device(exported):
    """Where the bundle can write hidden rows there: then no encoder gives arrays, unless mask-predict reads them, for
    which older bundles have no graph.
    """
    ctc = Nat("ctc", 1, 64, upsample=2, blank_id=2)
    names = ENCODER, "nat.ctc", "nat.ctc.shortlist", DEVICE_HIDDEN_JOIN, DEVICE_HIDDEN_FIT
    graphs = {**exported.graphs, **dict.fromkeys(names, exported.graphs[STEP])}
    alone = replace(exported, graphs=graphs, nat={"ctc": ctc})
    older = replace(alone, graphs={name: graph for name, graph in graphs.items() if name not in names[3:]})
    mixed = replace(alone, nat={"ctc": ctc, "masks": replace(ctc, kind="mask-predict")})

    assert [reads_placed(one, "ctc") for one in (alone, older, mixed)] == [True, False, True]
    assert not reads_placed(mixed, "masks")
    assert [ENCODER in runs_there(one, GPU) for one in (alone, older, mixed)] == [False, True, True]
    assert ENCODER in runs_there(alone, PROCESSOR)
    assert "nat.ctc.shortlist" not in runs_there(alone, GPU)
    masks = "nat.masks", "nat.masks.memory", "device.nat.masks"
    placed = replace(mixed, graphs={**graphs, **dict.fromkeys(masks, exported.graphs[STEP])})
    assert reads_placed(placed, "masks")
    assert {ENCODER, *masks[:2]} & {*runs_there(placed, GPU)} == set()
    assert {*runs_there(placed, PROCESSOR)} & {ENCODER, *masks} == {ENCODER, *masks[:2]}
    assert captured(placed) - CAPTURED == {"nat.ctc", "device.nat.masks"}
    assert captured(alone) - CAPTURED == {"nat.ctc"}
    assert captured(older) == CAPTURED

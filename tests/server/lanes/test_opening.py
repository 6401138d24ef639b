"""Which runtime a bundle's decoders get, without loading anything."""

from dataclasses import replace

import pytest

from dragoman.bundle.graphs import DEVICE_GRAPHS, STEP_SHORTLIST
from dragoman.bundle.manifest import Graph
from dragoman.server.lanes import opening
from dragoman.server.lanes.opening import open_runtime
from dragoman.server.runtime.hardware import PROCESSOR, Hardware, runs_there


@pytest.fixture
def joined(bundle, monkeypatch):
    """A bundle with a recurrent decoder beside its own, whose sessions are their names."""
    manifest = bundle.manifest
    ssru = {f"ssru.{name}": graph for name, graph in manifest.graphs.items()}
    placed = {name: Graph(f"{name}.onnx", (), ()) for name in DEVICE_GRAPHS}
    both = replace(
        manifest,
        precision="fp16",
        graphs={**manifest.graphs, **ssru, **placed, f"ssru.{STEP_SHORTLIST}": ssru["ssru.step"]},
        siblings={"ssru": replace(manifest.architecture, decoder="ssru")},
    )
    monkeypatch.setattr(
        opening, "load_sessions", lambda bundle, _, hardware: {n: n for n in runs_there(bundle.manifest, hardware)}
    )
    return replace(bundle, manifest=both)


def test_each_decoder_runs_as_if_it_were_the_only_one(joined):
    """By its own graphs under their own names; on a device one has a step there, and the other no shortlist."""
    here, there = (open_runtime(joined, hardware=hardware) for hardware in (PROCESSOR, Hardware("cuda", keeps=True)))

    assert {*here.siblings} == {*there.siblings} == {"ssru"}
    assert here.of(None) is here
    assert [there.of(name).is_placed for name in (None, "ssru")] == [True, False]
    assert not here.is_placed
    assert {*there.graphs} >= {*DEVICE_GRAPHS}
    for runtime, graphs in ((here, {"encoder", "step", STEP_SHORTLIST}), (there, {"encoder", "step"})):
        assert {*runtime.of("ssru").graphs} == graphs
        assert runtime.of("ssru").manifest.architecture.decoder == "ssru"


def test_what_the_device_does_is_told_of_the_bundle(joined):
    """Whichever of its decoders the device has a step for."""
    manifest = joined.manifest
    moved = {name: graph for name, graph in manifest.graphs.items() if name not in DEVICE_GRAPHS}
    moved |= {f"self-attention.{name}": graph for name, graph in moved.items() if not name.startswith("ssru.")}
    moved |= {f"self-attention.{name}": manifest.graphs[name] for name in DEVICE_GRAPHS}
    own = replace(manifest.architecture, decoder="ssru")
    other = replace(manifest, architecture=own, siblings={"self-attention": manifest.architecture}, graphs=moved)

    there = open_runtime(replace(joined, manifest=other), hardware=Hardware("cuda", keeps=True))

    assert [there.of(name).is_placed for name in (None, "self-attention")] == [False, True]
    assert there.work is there.of("self-attention").work is not None
    assert open_runtime(joined).work is None

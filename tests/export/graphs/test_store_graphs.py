"""Graphs that write to what stays on a device, run on a processor beside plain NumPy."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from dragoman.bundle.graphs import MEMORY_FIT, MEMORY_MOVE, POOL_FIT, POOL_KEEP, POOL_MOVE, STEP, signature
from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.export.graphs.running import session
from dragoman.export.graphs.store_graphs import store_graphs

ARCH = Architecture(8, 2, 12, 1, 1, 96, 96)
SSRU = replace(ARCH, decoder="ssru")
LSTM = Architecture(20, 0, 0, 1, 1, 96, 96, decoder="lstm", recurrent=Recurrent(12, 10, 9, 18))


def run(directory, arch: Architecture, graph: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of one of the graphs, by name."""
    ir.save(store_graphs(arch, signature(arch, STEP))[graph], directory / f"{graph}.onnx")
    runtime = session(directory, graph)
    return dict(zip([output.name for output in runtime.get_outputs()], runtime.run(None, feed), strict=True))


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_which_decoders_have_them():
    """Keys and values can become more or fewer, states cannot; recurrent models and copies stay on processors."""
    names = {POOL_KEEP, POOL_MOVE, MEMORY_MOVE, MEMORY_FIT}

    assert store_graphs(ARCH, signature(ARCH, STEP)).keys() == names | {POOL_FIT}
    assert store_graphs(SSRU, signature(SSRU, STEP)).keys() == names
    for arch in (LSTM, replace(ARCH, copies=True)):
        assert store_graphs(arch, signature(arch, STEP)) == {}


def test_new_nodes_are_kept_in_their_slots(tmp_path):
    """Rows that are named are replaced, all others stay."""
    pool, new, to = numbers(12, 4), numbers(3, 4), np.array([[7], [0], [5]])

    outputs = run(
        tmp_path,
        ARCH,
        POOL_KEEP,
        {n: x for k in "kv" for n, x in ((f"self_{k}.0", pool), (f"from.self_{k}.0", new))} | {"to": to},
    )

    expected = pool.copy()
    expected[to[:, 0]] = new
    assert outputs.keys() == {"self_k.0.written", "self_v.0.written"}
    for written in outputs.values():
        np.testing.assert_array_equal(written, expected)


def test_each_hypothesis_inherits_its_parent_s_new_state(tmp_path):
    """States are taken by the parents' numbers."""
    new, at = numbers(4, 8), np.array([2, 2, 0, 3])

    (written,) = run(tmp_path, SSRU, POOL_KEEP, {"from.state.0": new, "at": at}).values()

    np.testing.assert_array_equal(written, new[at])


@pytest.mark.parametrize("graph", [POOL_MOVE, MEMORY_MOVE])
def test_rows_move_to_other_rows(tmp_path, graph):
    """All at once: a row that is both read and written gives what it held before."""
    kind = "self" if graph == POOL_MOVE else "cross"
    rows, at, to = numbers(5, 6), np.array([4, 1, 0]), np.array([[1], [0], [2]])
    feed = {f"{p}{kind}_{k}.0": rows for k in "kv" for p in ("", "from.")}

    outputs = run(tmp_path, ARCH, graph, {**feed, "at": at, "to": to})

    expected = rows.copy()
    expected[to[:, 0]] = rows[at]
    for written in outputs.values():
        np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize(("before", "after"), [(3, 5), (5, 3)])
def test_slots_become_more_or_fewer(tmp_path, before, after):
    """What stays stands where it stood, what is new is zero."""
    old, at, to = numbers(4, 2, before, 4), np.array([3, 0]), np.array([[1], [2]])
    kept, pads = min(before, after), np.zeros(8, np.int64)
    pads[4 + 2] = after - kept
    into = numbers(4, 2, after, 4)
    feed = {n: x for k in "kv" for n, x in ((f"self_{k}.0", into), (f"from.self_{k}.0", old))}

    outputs = run(tmp_path, ARCH, POOL_FIT, {**feed, "at": at, "to": to, "kept": np.array([kept]), "pads.2": pads})

    expected = into.copy()
    expected[to[:, 0]] = 0
    expected[to[:, 0], :, :kept] = old[at, :, :kept]
    for written in outputs.values():
        np.testing.assert_array_equal(written, expected)

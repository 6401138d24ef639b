"""Graphs that rearrange what stays on a device, run on a processor beside plain NumPy."""

import numpy as np
import onnx_ir as ir
import pytest

from dragoman.bundle.graphs import (
    DEVICE_ENCODER,
    DEVICE_HIDDEN_FIT,
    DEVICE_HIDDEN_JOIN,
    DEVICE_MEMORY_FIT,
    DEVICE_POOL_FIT,
    DEVICE_STEP,
    PADS,
    signature,
)
from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.running import session
from dragoman.export.graphs.store_graphs import store_graphs

ARCH = Architecture(8, 2, 12, 1, 1, 96, 96)
KINDS = {DEVICE_POOL_FIT: "self", DEVICE_MEMORY_FIT: "cross"}


def run(directory, graph: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of one of the graphs, by name."""
    (hidden,) = signature(ARCH, DEVICE_ENCODER).outputs
    ir.save(store_graphs(signature(ARCH, DEVICE_STEP), hidden)[graph], directory / f"{graph}.onnx")
    runtime = session(directory, graph)
    return dict(zip([output.name for output in runtime.get_outputs()], runtime.run(None, feed), strict=True))


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_both_kinds_of_what_is_kept_have_one():
    """Nodes with slots, and sources with positions."""
    assert store_graphs(signature(ARCH, DEVICE_STEP)).keys() == KINDS.keys()


@pytest.mark.parametrize("graph", KINDS)
@pytest.mark.parametrize(("before", "after"), [(3, 5), (5, 3), (4, 4)])
def test_rows_move_and_become_longer_or_shorter(tmp_path, graph, before, after):
    """What stays stands where it stood, what is new is zero, and rows that are not named are as they were."""
    old, at, to = numbers(4, before, 8), np.array([3, 0]), np.array([[1], [2]])
    kept, pads = min(before, after), np.zeros(6, np.int64)
    pads[4] = after - kept
    into = numbers(4, after, 8)
    names = [f"{KINDS[graph]}_{k}.0" for k in "kv"]
    feed = dict.fromkeys(names, into) | {f"from.{name}": old for name in names}

    outputs = run(tmp_path, graph, {**feed, "at": at, "to": to, "kept": np.array([kept]), PADS: pads})

    expected = into.copy()
    expected[to[:, 0]] = 0
    expected[to[:, 0], :kept] = old[at, :kept]
    assert outputs.keys() == {f"{name}.written" for name in names}
    for written in outputs.values():
        np.testing.assert_array_equal(written, expected)


def test_rows_are_picked_before_any_is_written(tmp_path):
    """A row that is both read and written gives what it held before."""
    rows, at, to = numbers(5, 3, 8), np.array([4, 1, 0]), np.array([[1], [0], [2]])
    feed = {f"{p}self_{k}.0": rows for k in "kv" for p in ("", "from.")}

    outputs = run(
        tmp_path, DEVICE_POOL_FIT, {**feed, "at": at, "to": to, "kept": np.array([3]), PADS: np.zeros(6, np.int64)}
    )

    expected = rows.copy()
    expected[to[:, 0]] = rows[at]
    for written in outputs.values():
        np.testing.assert_array_equal(written, expected)


def test_hidden_rows_have_both_of_their_own(tmp_path):
    """They are written where they are to lie, and moved as all others are; without CTC there are none."""
    rows, to, into = numbers(3, 8), np.array([[1, 2], [0, 0], [1, 0]]), numbers(2, 4, 8)
    written = run(tmp_path, DEVICE_HIDDEN_JOIN, {"from.hidden": rows, "to": to, "hidden": into})["hidden.written"]
    feed = {"hidden": into, "from.hidden": written, "at": np.array([1]), "to": np.array([[0]])}
    moved = run(tmp_path, DEVICE_HIDDEN_FIT, {**feed, "kept": np.array([4]), PADS: np.zeros(6, np.int64)})

    expected = into.copy()
    expected[to[:, 0], to[:, 1]] = rows
    np.testing.assert_array_equal(written, expected)
    np.testing.assert_array_equal(moved["hidden.written"], [written[1], into[1]])

"""The states of recurrent decoders: whose they are, step by step."""

import numpy as np

from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.node_states import NodeStates
from dragoman.server.runtime.host_store import HostStore

ITSELF = np.eye(2, dtype=np.bool_)


def an_advance(parents, kept=None) -> Advance:
    parents = np.asarray(parents)
    kept = np.ones(len(parents), np.int64) if kept is None else np.array(kept)
    return Advance(parents, np.ones(parents.shape, np.bool_), kept, [])


def a_store(*widths: int, capacity: int, hypotheses: int) -> HostStore:
    """Of states so wide."""
    declared = [Tensor(f"state.{n}", "float32", ("G", "q", width)) for n, width in enumerate(widths)]
    return HostStore(declared, {"G": capacity, "q": hypotheses})


def test_recurrent_states_follow_their_parents():
    """Each hypothesis continues from the state of the node that it descends from."""
    states = NodeStates(a_store(4, capacity=2, hypotheses=2))
    states.admit({})
    states.admit({})
    new = np.repeat(np.arange(4, dtype=np.float32)[:, None], 4, axis=1)  # a row for each place of each source

    states.keep([new], an_advance(np.array([[1, 1], [1, 0]])))

    assert states.feed(ITSELF)["state.0"][..., 0].tolist() == [[1, 1], [3, 2]]
    states.remove(0)
    states.admit({})
    assert states.feed(ITSELF)["state.0"][..., 0].tolist() == [[3, 2], [0, 0]]


def test_a_root_starts_with_what_the_encoder_made_for_it():
    """Every hypothesis of a new tree has its source's initial states, zero where the encoder gives none."""
    states = NodeStates(a_store(2, 3, capacity=2, hypotheses=2))
    ones = [np.ones((4, d), np.float32) for d in (2, 3)]
    states.admit({})
    states.admit({})
    states.keep(ones, an_advance(np.zeros((2, 2), np.int64)))

    states.remove(1)
    states.admit({"initial.0": np.array([5, 6], np.float32), "cross_k.0": np.zeros(1, np.float32)})

    fed = states.feed(ITSELF)
    assert fed["state.0"].tolist() == [[[1, 1], [1, 1]], [[5, 6], [5, 6]]]
    assert fed["state.1"].tolist() == [[[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]]]


def test_a_chains_state_is_that_of_its_last_word_that_stands():
    """Of a stride's states, [U, G, d], each source takes the one behind the words it keeps; moving takes it along."""
    states = NodeStates(a_store(1, 2, capacity=3, hypotheses=1))
    for _ in range(3):
        states.admit({})
    said = np.arange(4 * 3, dtype=np.float32).reshape(4, 3, 1)

    states.keep([said, np.repeat(said, 2, 2)], an_advance([[0]] * 3, kept=[4, 1, 2]))
    states.remove(0)

    fed = states.feed(np.ones((1, 4), np.bool_))
    assert fed["state.0"].tolist() == [[[5]], [[1]]]
    assert fed["state.1"].tolist() == [[[5, 5]], [[1, 1]]]


def test_what_is_kept_of_attention_has_the_positions_of_a_run():
    """It grows and shrinks with the sources that are there; nothing is known of attention at positions that are new."""
    positions = [16]
    declared = [Tensor("state.0", "float32", ("G", "q", 2)), Tensor("state.1", "float32", ("G", "q", "S"))]
    store = HostStore(declared, {"G": 2, "q": 2, "S": 16})
    states = NodeStates(store, lambda: positions[0])
    states.admit({"initial.0": np.array([5, 6], np.float32)})
    sums = np.arange(2 * 16, dtype=np.float32).reshape(2, 16)
    states.keep([np.ones((2, 2), np.float32), sums], an_advance([[1, 1]]))

    positions[0] = 32
    states.admit({})
    fed = states.feed(ITSELF)

    assert fed["state.1"].shape == (2, 2, 32)
    assert fed["state.1"][0].tolist() == [[*range(16, 32), *[0] * 16]] * 2
    assert not fed["state.1"][1].any()
    states.keep([np.zeros((4, 2), np.float32), np.ones((4, 32), np.float32)], an_advance([[0, 1], [1, 0]]))
    positions[0] = 16
    states.remove(0)
    assert states.feed(ITSELF)["state.1"].tolist() == [[[1] * 16] * 2]
    assert states.feed(ITSELF)["state.0"].tolist() == [[[0, 0]] * 2]

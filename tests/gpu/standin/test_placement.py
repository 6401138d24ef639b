"""What a GPU would be asked to do, counted on a processor: limits of a step, of traffic and of memory, as numbers."""

import pytest

NODES, LAUNCHES, COPIES = 339, 2, 7
"""Of a step of the large model in which nobody joins: captured nodes, launches of the graphs that have them, and copies
between host and device."""
HOST_S = {"1x1": 0.6e-3, "256x1": 0.9e-3, "256x4": 2.0e-3}
"""Processor time of a step, three times what it takes beside nothing else: the machine is shared."""


def check_loads(lines) -> None:
    """Every way of decoding captures its step, and nothing is done that a capture forbids."""
    assert lines
    for line in lines:
        assert line["violations"] == 0, line


def check_budget(lines) -> None:
    """A step is so many nodes, launches and copies at most, all of them captured."""
    assert lines
    for line in lines:
        step = line["step"]
        assert step["launches"] == 0, line
        assert step["replayed"] <= NODES, line
        assert step["replays"] <= LAUNCHES, line
        assert step["copies_in"] + step["copies_out"] <= COPIES, line
        assert step["host_s"] <= HOST_S[line["case"]], line


def test_every_graph_of_every_kind_and_precision_runs_on_cuda_and_is_captured(lab, kinds):
    """One lane and two, each way of decoding that a bundle has."""
    lines = lab("loads", *(bundle.directory for bundle in kinds))

    check_loads(lines)
    assert {line["lanes"] for line in lines} == {1, 2}
    assert {line["bundle"] for line in lines} == {bundle.directory.name for bundle in kinds}


def test_a_step_keeps_to_its_budget(lab, big):
    """Nodes, launches, copies and the host's time, for one source and for many."""
    check_budget(lab("budget", big.directory, *HOST_S))


@pytest.mark.parametrize("twin", ["a_node_without_a_kernel", "a_pointer_of_the_host", "one_node_more"])
def test_what_must_not_be_is_noticed(lab, big, twin):
    """Each broken twin fails the check that the project's own code passes."""
    with pytest.raises(AssertionError):
        check_budget(lab("budget", big.directory, "1x1", twin=twin))

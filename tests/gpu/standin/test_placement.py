"""What a GPU would be asked to do, counted on a processor: limits of a step, of traffic and of memory, as numbers."""

import pytest

NODES, LAUNCHES, COPIES, WAITS = 133, 1, 2, 1
"""Of a step of the large model in which nobody joins: captured nodes, launches of graphs that have them, copies between
host and device, and waits of the host. Those of a stride are the same, but for the nodes of its steps."""
WORDS = {"1x1": 4, "64x1": 4, "256x1": 1, "256x4": 1}
"""Words of a source behind which the host waits once, by sources x beam: few strides of a greedy search, or steps."""
BETWEEN = 2
"""Nodes that a stride has beside those of each step: what was sent is parted, best words are fed and gathered."""
TOOK_MS = {"1x1": "0.25", "64x1": "0.25", "256x1": "0.34", "256x4": "0.75-1.27"}
"""What the host took of a step before there was one of the device's own, and strides there."""
BARS_MS = {"1x1": 0.12, "64x1": 0.2, "256x1": 0.2, "256x4": 0.35}
"""What it may take of a step beside nothing else."""
HOST_S = {"1x1": 0.6e-3, "64x1": 0.7e-3, "256x1": 0.6e-3, "256x4": 1.2e-3}
"""Processor time of a step or stride, about four times what it takes beside nothing else: machines differ, and are
shared."""
FLOW_LAUNCHES, FLOW_COPIES = 4, 4
"""The same of a step in the mean where sources join and leave."""
SHARE = 0.97
"""Steps of mixed traffic that repeat captured launches, after the first round."""
CAPTURES, STALLS = 60, 0
"""Of a rehearsal and of all rounds of mixed traffic, and those for which somebody waited."""
DEVICE_BYTES, DRIFT = 3.0e9, 1.01
"""Held after mixed traffic, weights included, and how much more after the last round than after the one before."""


def check_budget(lines) -> None:
    """A step or stride is so many nodes, launches, copies and waits at most, all captured, none cuDNN's, and says so
    many words of each source.
    """
    assert lines
    for line in lines:
        step = line["step"]
        assert step["launches"] == step["cudnn"] == 0, line
        assert line["whole"]["captures"] == 0, line
        words = WORDS[line["case"]]
        assert line["words"] == words, line
        assert step["replayed"] <= (NODES if words == 1 else words * (NODES + BETWEEN)), line
        assert step["replays"] <= LAUNCHES, line
        assert step["copies_in"] + step["copies_out"] <= COPIES, line
        assert step["waits"] <= WAITS, line
        assert step["host_s"] <= HOST_S[line["case"]], line


def tell(lines) -> None:
    """A table, for `make bench-gpu-host`."""
    print(f"\n{'sources x beam':16}{'words':>7}{'host ms':>9}{'a word':>9}{'bar':>7}{'it took':>11}")
    for line in lines:
        case, words, host_ms = line["case"], line["words"], 1e3 * line["step"]["host_s"]
        print(f"{case:16}{words:7}{host_ms:9.3f}{host_ms / words:9.3f}{BARS_MS[case]:7.2f}{TOOK_MS[case]:>11}")


def check_traffic(lines) -> None:
    """Captured launches are repeated, few are captured in all, and memory is what it was."""
    for line in lines[1:]:
        assert line["share"] >= SHARE, line
    assert lines[0]["rehearsed"] + sum(line["captures"] for line in lines) <= CAPTURES
    assert sum(line["stalls"] for line in lines) <= STALLS
    assert lines[-1]["alive"] <= min(DEVICE_BYTES, DRIFT * lines[-2]["alive"])
    assert all(line["violations"] == 0 for line in lines)


@pytest.fixture(scope="session")
def budget(lab, big):
    """What steps of the large model take."""
    return lab("budget", big.directory, *HOST_S)


def test_a_step_keeps_to_its_budget(budget):
    """Nodes, launches, copies and the host's time, for one source and for many."""
    tell(budget)
    check_budget(budget)


def test_many_sources_are_encoded_together(budget):
    """256 at once in at most three runs of the encoder, each captured: nothing else is launched."""
    whole = {line["case"]: line["whole"] for line in budget}["256x1"]
    steps = {line["case"]: line["steps"] for line in budget}["256x1"]

    assert whole["launches"] == 0
    assert whole["replays"] - steps - 3 <= 3 * 3 * 2  # three rounds; a run of the encoder and a join; a first step each


def test_joining_and_leaving_take_little(lab, big):
    """Launches and copies of a step in the mean, while sources of many lengths come and go."""
    for line in lab("flow", big.directory, "64x1"):
        assert line["step"]["launches"] + line["step"]["replays"] <= FLOW_LAUNCHES, line
        assert line["step"]["copies_in"] + line["step"]["copies_out"] <= FLOW_COPIES, line


def test_mixed_traffic_repeats_what_was_captured(lab, big):
    """Bursts of 1 to 120 sources of 3 to 110 tokens, beams of 1 and 4, draws and drafts."""
    check_traffic(lab("traffic", big.directory, "3"))


def check_busy(lines) -> None:
    """A lane that never rests repeats what it captured before anybody came, and captures nothing meanwhile."""
    for line in lines:
        assert line["share"] >= SHARE, line
        assert line["captures"] == line["violations"] == 0, line
        assert line["rehearsed"] <= CAPTURES, line
        assert line["alive"] <= DEVICE_BYTES, line
    assert lines[1]["alive"] <= DRIFT * lines[0]["alive"]


@pytest.mark.parametrize(("sources", "answers", "kind"), [("1-120", 1500, "mixed"), ("110-120", 600, "4")])
def test_a_lane_that_never_rests_has_captured_what_it_runs(lab, big, sources, answers, kind):
    """So many sources of 3 to 110 tokens at a time, each followed by another at once: beams of 1 and 4, draws and
    drafts; and a group that has more than 64 all the time.
    """
    check_busy(lab("busy", big.directory, sources, answers, kind))


def test_a_step_needs_no_cudnn(lab, big):
    """The same budget where cuDNN is not installed."""
    check_budget(lab("budget", big.directory, "1x1", cudnn=False))


def test_a_lane_that_has_not_rehearsed_is_noticed(lab, big):
    """Others wait for its captures, or for its launches."""
    with pytest.raises(AssertionError, match=r"'replays': 0"):
        check_busy(lab("busy", big.directory, "1-120", "600", twin="no_rehearsal"))


@pytest.mark.parametrize(
    ("twin", "reason"),
    [
        ("a_node_without_a_kernel", "not been partitioned to the CUDAExecutionProvider"),
        ("a_pointer_of_the_host", "not been partitioned to the CUDAExecutionProvider"),
        ("one_node_more", "541.0 <= 540"),
        ("addresses_that_move", "'launches': 540"),
        ("steps_instead_of_strides", "'words': 1"),
    ],
)
def test_what_must_not_be_is_noticed(lab, big, twin, reason):
    """Each broken twin fails the check that the project's own code passes, for what is wrong with it."""
    with pytest.raises(AssertionError, match=reason):
        check_budget(lab("budget", big.directory, "1x1", twin=twin))

"""Encoders of stacks and towers: what a layer reads, and that padding changes nothing."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.bundle.rules import shape_problems
from dragoman.export.network.stacks import StackedEncoder

SIZES = Recurrent(
    8,
    8,
    6,
    7,
    attention="additive",
    input_feeding=False,
    bridge=True,
    first="mean",
    before=1,
    is_transition=True,
    cell_reads=("context",),
    encoder_form="stacks",
)
ARCH = Architecture(7, 0, 0, 3, 2, 20, 20, decoder="gru", tying="none", recurrent=SIZES)
FORMS = ("stacks", "alternating", "tower")


def an_encoder(form, kind="gru", **more):
    arch = replace(ARCH, decoder=kind, recurrent=replace(SIZES, encoder_form=form, **more))
    assert not list(shape_problems(arch))
    torch.manual_seed(2)
    encoder = StackedEncoder(arch)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder.eval().requires_grad_(False)


def run(cells, words, states):
    """Slow and obvious: a layer over a list of words of one source."""
    state, rows = [torch.zeros(1, 6) for _ in range(states)], []
    for word in words:
        for n, cell in enumerate(cells):
            state = cell(word[None] if n == 0 else torch.zeros(1, 0), state)
        rows.append(state[0][0])
    return rows


def plain(encoder, form, words, states, *, skips):
    def stack(layers, words, *, backwards):
        for n, cells in enumerate(layers):
            turned = backwards != (form == "alternating" and n % 2 == 1)
            made = run(cells, words[::-1] if turned else words, states)
            made = made[::-1] if turned else made
            words = [a + b for a, b in zip(made, words, strict=True)] if skips and n else made
        return words

    tops = [stack(layers, words, backwards=way == 1) for way, layers in enumerate(encoder.stacks)]
    both = [torch.cat(each) for each in zip(*tops, strict=True)]
    return torch.stack(stack(encoder.tower, both, backwards=False) if form == "tower" else both)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_those_of_each_source_alone(form, skips, kind):
    """In a padded batch with a source of one word: layers of two normed cells, forwards, backwards or by turns."""
    encoder = an_encoder(form, kind, skips=skips, encoder_cells=2, cell_norm="whole")
    sources = [torch.randn(length, 8) for length in (5, 1, 3)]
    x, is_word = torch.randn(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool)
    for g, source in enumerate(sources):
        x[g, : len(source)], is_word[g, : len(source)] = source, True

    rows, last = encoder(x, is_word)

    assert last == []
    assert not rows[1, 1:].any()
    for g, source in enumerate(sources):
        expected = plain(encoder, form, list(source), 2 if kind == "lstm" else 1, skips=skips)
        torch.testing.assert_close(rows[g, : len(source)], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"encoder_form": "layers"}, "cell_norm: whole: of lstm and gru in stacks or a tower, with additive attention"),
        ({"encoder_form": "layers", "cell_norm": "none"}, "encoder_cells: 2, of layers, which have one"),
        ({"bidirectional": False}, "encoder_form: stacks, which reads both ways, and gives no last states"),
        ({"first": "top"}, "encoder_form: stacks, which reads both ways, and gives no last states"),
        ({"upper_layers": -1}, "upper_layers: -1, which need is_transition, and a cell that they stand on"),
        ({"upper_layers": 2}, "upper_layers: 2, which need is_transition, and a cell that they stand on"),
        ({"upper_cells": 3}, "upper_cells: 3, of layers that there are not"),
        ({"output_matrix": False, "output_size": 5}, "output_size: 5, of a matrix that there is not"),
        ({"encoder_cells": 0}, "encoder_cells: 0 is less than 1"),
    ],
)  # fmt: skip
def test_choices_that_contradict_one_another_are_named(change, problem):
    """As every other of the architecture."""
    sizes = replace(replace(SIZES, encoder_cells=2, cell_norm="whole"), **change)
    assert f"architecture.recurrent.{problem}" in [*shape_problems(replace(ARCH, recurrent=sizes))]


def test_a_tower_and_skips_need_layers_to_stand_on():
    """One layer has none above it."""
    tower = replace(ARCH, encoder_layers=1, recurrent=replace(SIZES, encoder_form="tower"))
    assert any("tower" in problem for problem in shape_problems(tower))
    skips = replace(ARCH, encoder_layers=1, recurrent=replace(SIZES, skips=True))
    assert any("skips: true, and no layer stands on another" in problem for problem in shape_problems(skips))

"""Losses over many words, found a few rows at a time, against torch's own over all of them."""

import pytest
import torch
from torch.nn import functional as F

from dragoman.export.distill.output_layer import ROWS_AT_ONCE, divergence, log_normaliser, most_probable

COUNT, WIDTH, WORDS = 2 * ROWS_AT_ONCE + 3, 8, 50


@pytest.fixture
def given() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(2)
    x, teacher = 3 * torch.randn(COUNT, WIDTH), 3 * torch.randn(COUNT, WIDTH)
    return x.requires_grad_(), teacher, torch.randn(WORDS, WIDTH), torch.randn(WORDS)


def test_divergence_and_its_gradient_are_those_of_cross_entropy(given):
    """Over three parts, the last of them short."""
    x, teacher, rows, bias = given
    wanted = F.linear(teacher, rows, bias).softmax(-1)
    expected = F.cross_entropy(F.linear(x, rows, bias), wanted, reduction="sum")
    (gradient,) = torch.autograd.grad(expected, x)

    found = divergence(x, teacher, rows, bias)

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(2 * found, x)[0], 2 * gradient)


def test_the_normaliser_and_its_gradient_are_those_of_logsumexp(given):
    """With another weight for each row."""
    x, _, rows, bias = given
    weights = torch.randn(COUNT)
    expected = F.linear(x, rows, bias).logsumexp(-1)
    (gradient,) = torch.autograd.grad(expected @ weights, x)

    found = log_normaliser(x, rows, bias)

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found @ weights, x)[0], gradient)


def test_the_most_probable_word_is_that_of_all_logits(given):
    """Row by row."""
    x, _, rows, bias = given

    assert torch.equal(most_probable(x, rows, bias), F.linear(x, rows, bias).argmax(-1))


def test_no_rows_have_no_loss(given):
    """A batch in which nothing is left to learn."""
    _, _, rows, bias = given

    assert divergence(torch.empty(0, WIDTH), torch.empty(0, WIDTH), rows, bias) == 0
    assert log_normaliser(torch.empty(0, WIDTH), rows, bias).shape == (0,)

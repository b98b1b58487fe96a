import pytest
import torch
from torch import nn
from torch.nn import functional

from trainer.families import token_loss
from trainer.families.token_loss import IGNORED, linear_cross_entropy, target_positions


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 7 * 40, 1 << 20])
def test_the_sum_and_its_gradient_are_those_of_cross_entropy(monkeypatch: pytest.MonkeyPatch, chunk: int, bias: bool) -> None:
    monkeypatch.setattr(token_loss, "_CHUNK_ELEMENTS", chunk)
    torch.manual_seed(0)
    head = nn.Linear(16, 40, bias=bias).requires_grad_(False)
    hidden = torch.randn(23, 16, requires_grad=True)
    targets = torch.randint(40, (23,))
    expected = functional.cross_entropy(head(hidden), targets, reduction="sum")
    (gradient,) = torch.autograd.grad(expected / 5, hidden)
    ours = linear_cross_entropy(hidden, head, targets)
    (our_gradient,) = torch.autograd.grad(ours / 5, hidden)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(our_gradient, gradient)


def test_a_bf16_head_computes_what_autocast_computes() -> None:
    torch.manual_seed(0)
    head = nn.Linear(16, 40, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    hidden = torch.randn(23, 16, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(40, (23,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = linear_cross_entropy(hidden, head, targets)
        expected = functional.cross_entropy(head(hidden).float(), targets, reduction="sum")
    torch.testing.assert_close(ours, expected)
    (gradient,) = torch.autograd.grad(expected, hidden)
    (our_gradient,) = torch.autograd.grad(ours, hidden)
    torch.testing.assert_close(our_gradient, gradient, rtol=2e-2, atol=2e-2)


def test_no_gradient_is_computed_where_none_is_wanted() -> None:
    head = nn.Linear(4, 8, bias=False).requires_grad_(False)
    with torch.no_grad():
        loss = linear_cross_entropy(torch.randn(3, 4, requires_grad=True), head, torch.tensor([1, 2, 3]))
    assert not loss.requires_grad


def test_a_target_is_predicted_one_position_before_it_and_never_across_rows() -> None:
    labels = torch.tensor([[9, IGNORED, 5, 6], [7, 8, IGNORED, IGNORED]])
    positions, targets = target_positions(labels, 3)
    assert positions.tolist() == [1, 2, 4]
    assert targets.tolist() == [5, 6, 8]

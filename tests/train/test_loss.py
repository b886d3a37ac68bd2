import pytest
import torch

from train.loss import token_losses


def plain(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, bias: torch.Tensor | None,
          softcap: float | None) -> torch.Tensor:
    logits = hidden @ weight.t() + (0 if bias is None else bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_losses_and_gradients_are_those_of_plain_cross_entropy(softcap, has_bias: bool, rows: int):
    torch.manual_seed(0)
    weight, targets = torch.randn(50, 12), torch.randint(0, 50, (23,))
    bias = torch.randn(50) if has_bias else None
    hidden = torch.randn(23, 12, requires_grad=True)
    upstream = torch.rand(23)
    found = []
    ours = token_losses(hidden, weight, targets, bias, softcap, chunk_bytes=rows * 4 * 50)
    for losses in (ours, plain(hidden, weight, targets, bias, softcap)):
        hidden.grad = None
        (losses * upstream).sum().backward()
        found.append((losses.detach(), hidden.grad.clone()))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)


def test_large_logits_do_not_overflow():
    hidden, weight = torch.full((2, 4), 100.0, requires_grad=True), torch.eye(4) * 10
    losses = token_losses(hidden, weight * torch.tensor([1.0, -1, 1, 1]), torch.tensor([0, 1]))
    losses.sum().backward()
    assert losses.tolist() == pytest.approx([1.0986, 2001.0986], abs=1e-3)
    assert torch.isfinite(hidden.grad).all()


def test_under_autocast_the_products_are_in_bfloat16_and_the_losses_in_float32():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(40, 32, requires_grad=True), torch.randn(300, 32) / 6, torch.arange(40)
    with torch.autocast("cpu", torch.bfloat16):
        losses = token_losses(hidden, weight, targets)
    losses.sum().backward()
    exact = plain(hidden.bfloat16().float(), weight.bfloat16().float(), targets, None, None)
    assert losses.dtype == torch.float32 and hidden.grad.dtype == torch.float32
    assert torch.allclose(losses, exact, atol=0.02)
    assert not torch.equal(losses, token_losses(hidden, weight, targets))


def test_nothing_learned_gives_a_zero_that_still_has_a_gradient():
    hidden = torch.randn(0, 4, requires_grad=True)
    token_losses(hidden, torch.randn(9, 4), torch.zeros(0, dtype=torch.long)).sum().backward()
    assert hidden.grad.shape == (0, 4)


def test_a_loss_that_is_not_finite_is_not_hidden():
    hidden = torch.tensor([[float("nan"), 1.0]], requires_grad=True)
    assert token_losses(hidden, torch.randn(5, 2), torch.tensor([1])).isnan().all()


def test_logits_are_never_whole_in_memory():
    largest = 0

    class Widest(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                largest = max(largest, made.numel())
            return made

    hidden, weight = torch.randn(64, 8, requires_grad=True), torch.randn(1000, 8)
    with Widest():
        token_losses(hidden, weight, torch.arange(64), chunk_bytes=4 * 4 * 1000).sum().backward()
    assert largest == weight.numel() < 64 * 1000


def test_matrices_have_few_numbers_of_rows_whatever_is_learned():
    """On a CPU every other number costs a kernel that stays in memory."""
    rows = set()

    class Products(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.mm.default:
                rows.add(len(args[0]))
            return func(*args, **(kwargs or {}))

    with Products():
        for learned in range(1, 200, 7):
            hidden = torch.randn(learned, 8, requires_grad=True)
            losses = token_losses(hidden, torch.randn(50, 8), torch.zeros(learned, dtype=torch.long))
            losses.sum().backward()
            assert len(losses) == len(hidden.grad) == learned
    assert rows == {64, 128, 192, 256}


def test_a_head_that_learns_is_a_bug():
    with pytest.raises(AssertionError, match="the head learns"):
        token_losses(torch.randn(2, 3), torch.randn(5, 3, requires_grad=True), torch.tensor([0, 1]))

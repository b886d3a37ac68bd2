import pytest
import torch

from train.dropout import Dropout


@pytest.mark.parametrize("p", [0.05, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_is_dropped_and_the_rest_is_scaled(p: float, dtype: torch.dtype):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(333, 1001, dtype=dtype))
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.003)
    assert dropped.float().mean().item() == pytest.approx(1, abs=0.005)
    assert dropped.dtype == dtype and len(dropped.unique()) == 2


def test_rows_and_columns_are_dropped_apart():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(4000, 8)) != 0).float()
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.06
    assert torch.corrcoef(torch.stack([kept[:-1].flatten(), kept[1:].flatten()]))[0, 1].abs() < 0.03


def test_it_follows_torchs_generator_and_ends_with_training():
    dropout, x = Dropout(0.3), torch.ones(5, 7)
    torch.manual_seed(1)
    once, other = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), once) and not torch.equal(once, other)
    assert torch.equal(dropout.eval()(x), x)


def test_the_gradient_flows_where_something_is_kept():
    torch.manual_seed(0)
    x = torch.ones(100, requires_grad=True)
    dropped = Dropout(0.25)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())

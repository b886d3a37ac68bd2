import random

import pytest
import torch

from train.config import TrainConfig
from train.samples import IGNORED, Sample
from train.steps import Loader, Plan


def samples(n: int) -> list[Sample]:
    draw = random.Random(1)
    return [Sample(ids=[k + 1] * size, labels=[IGNORED] * (size - 3) + [k + 1] * 3)
            for k, size in ((k, draw.randint(5, 40)) for k in range(n))]


def collate(found: list[Sample]) -> dict[str, torch.Tensor]:
    return {"first": torch.tensor([sample.ids[0] for sample in found]),
            "learned": torch.tensor([sum(label != IGNORED for label in sample.labels) for sample in found])}


@pytest.mark.parametrize("batch, accumulate, processes", [(8, 1, 1), (2, 4, 1), (4, 1, 2), (2, 2, 2), (1, 2, 4)])
@pytest.mark.parametrize("n", [1, 7, 24, 25, 31])
def test_a_step_learns_from_the_same_samples_however_they_are_divided(n, batch, accumulate, processes):
    whole = Plan(samples(n), TrainConfig(batch=8, seed=3))
    config = TrainConfig(batch=batch, accumulate=accumulate, seed=3)
    plans = [Plan(samples(n), config, processes, rank) for rank in range(processes)]
    assert plans[0].an_epoch == whole.an_epoch == config.steps_an_epoch(n, processes)
    for step in range(2 * whole.an_epoch):
        expected = whole.samples_of(step)
        shares = [plan.batches_of(expected) for plan in plans]
        assert len({len(share) for share in shares}) == 1               # as many backward passes in every process
        assert len(shares[0]) <= accumulate and all(1 <= len(one) <= batch for share in shares for one in share)
        assert sorted(k for share in shares for one in share for k in one if k < n) == sorted(expected)


def test_the_order_is_another_one_every_epoch_and_the_same_every_time():
    plan, again = (Plan(samples(25), TrainConfig(batch=4, seed=3)) for _ in range(2))
    epochs = [[k for step in plan.of_epoch(epoch) for k in step] for epoch in range(3)]
    assert all(sorted(order) == list(range(25)) for order in epochs) and epochs[0] != epochs[1] != epochs[2]
    assert [k for step in again.of_epoch(2) for k in step] == epochs[2]
    assert [k for step in Plan(samples(25), TrainConfig(batch=4, seed=4)).of_epoch(2) for k in step] != epochs[2]


def test_the_loader_gives_what_the_plan_says_and_draws_nothing():
    made = samples(7)
    plan = Plan(made, TrainConfig(batch=4, seed=3))
    loader = Loader(made, plan, collate)
    before = torch.get_rng_state()
    for epoch in (1, 0):
        loader.set_epoch(epoch)
        assert [batch["first"].tolist() for batch in loader] == [[k + 1 for k in step] for step in plan.of_epoch(epoch)]
    assert len(loader) == 2 and torch.equal(torch.get_rng_state(), before)


def test_a_process_without_a_sample_gets_one_that_teaches_nothing():
    made = samples(9)
    config = TrainConfig(batch=4, seed=3)
    plan = Plan(made, config, 2, 1)
    last = list(Loader(made, plan, collate))[-1]
    assert plan.samples_of(1) and plan.batches_of(plan.samples_of(1)) == [[9]]
    assert last["learned"].tolist() == [0]


def test_learned_tokens_are_those_with_a_token_before_them():
    assert Plan([Sample(ids=[5, 6, 7], labels=[5, IGNORED, 7])], TrainConfig()).learned == [1]

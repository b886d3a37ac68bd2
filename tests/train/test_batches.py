import torch
from hypothesis import given
from hypothesis import strategies as st

from train.batches import PACKED_STEP, WIDTH_STEP, Packed, Padded, batch_tokens, steps_of_epoch
from train.samples import IGNORED, Sample

SAMPLES = [Sample(ids=[2, 5, 6, 7], labels=[IGNORED, IGNORED, 6, 7]), Sample(ids=[2, 9], labels=[2, 9])]


def test_a_padded_batch_goes_a_little_beyond_its_longest():
    batch = Padded(pad_id=0)(SAMPLES)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "input_ids": (2, WIDTH_STEP), "labels": (2, WIDTH_STEP)}
    assert batch["input_ids"][:, :5].tolist() == [[2, 5, 6, 7, 0], [2, 9, 0, 0, 0]]
    assert batch["labels"][:, :5].tolist() == [[IGNORED, IGNORED, 6, 7, IGNORED], [2, 9] + [IGNORED] * 3]
    assert (batch["input_ids"][:, 4:] == 0).all() and (batch["labels"][:, 4:] == IGNORED).all()
    exact = Padded(0)([Sample(ids=[2] * WIDTH_STEP, labels=[2] * WIDTH_STEP)])
    assert exact["input_ids"].shape == (1, WIDTH_STEP)


def test_a_packed_batch_is_one_row_whose_positions_begin_anew():
    batch = Packed(pad_id=0)(SAMPLES)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "input_ids": (1, PACKED_STEP), "labels": (1, PACKED_STEP), "position_ids": (1, PACKED_STEP), "lengths": (2,)}
    assert batch["input_ids"][0, :8].tolist() == [2, 5, 6, 7, 2, 9, 0, 0]
    assert batch["position_ids"][0, :8].tolist() == [0, 1, 2, 3, 0, 1, 0, 1]
    assert batch["labels"][0, :8].tolist() == [IGNORED, IGNORED, 6, 7, IGNORED, 9, IGNORED, IGNORED]
    assert batch["lengths"].tolist() == [4, 2]


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=9))
def test_the_tokens_of_a_batch_are_known_beforehand(lengths: list[int]):
    samples = [Sample(ids=[2] * n, labels=[2] * n) for n in lengths]
    for collate, is_packed in ((Padded(0), False), (Packed(0), True)):
        assert collate(samples)["input_ids"].numel() == batch_tokens(lengths, is_packed)


@given(lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=500), step=st.integers(1, 40),
       seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_the_order_is_a_permutation_and_a_pure_function(lengths: list[int], step: int, seed: int, epoch: int):
    steps = steps_of_epoch(lengths, step, seed, epoch)
    torch.manual_seed(epoch)
    assert steps_of_epoch(lengths, step, seed, epoch) == steps
    assert sorted(k for one in steps for k in one) == list(range(len(lengths)))
    assert {len(one) for one in steps[:-1]} <= {step} and 0 < len(steps[-1]) <= step
    assert all(lengths[a] >= lengths[b] for one in steps for a, b in zip(one, one[1:], strict=False))


def test_epochs_and_seeds_differ_and_padding_is_small():
    lengths = [20 + 37 * k % 997 for k in range(1000)]
    orders = [steps_of_epoch(lengths, 8, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    computed = sum(batch_tokens([lengths[k] for k in step], False) for step in orders[0])
    assert sum(lengths) / computed > 0.9


def test_long_samples_do_not_all_come_first():
    lengths = list(range(1, 1601))
    means = [sum(lengths[k] for k in step) / 8 for step in steps_of_epoch(lengths, 8, 0, 0)]
    first, second = means[:100], means[100:]
    assert abs(sum(first) / 100 - sum(second) / 100) < 200

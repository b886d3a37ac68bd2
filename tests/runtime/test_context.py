"""Many sequences in one cache, with sliding windows: nothing that one of them needs is ever overwritten."""

import ctypes
import random
import threading

import numpy as np
import pytest

from runtime.config import LoadConfig
from runtime.context import Aborted, Context, NoRoom, Row, log_softmax_at
from runtime.pool import pool_cells

WINDOW = 32


def ids_of(seed: int, count: int) -> list[int]:
    return [2, *random.Random(seed).choices(range(10, 8000), k=count - 1)]


def feed(context: Context, sequence: int, ids: list[int], chunk: int = 50) -> np.ndarray:
    """Compute ids behind what sequence holds; the logits after the last one."""
    start = context.lengths[sequence]
    for at in range(start, len(ids), chunk):
        part = ids[at:at + chunk]
        context.decode([Row(token, at + k, (sequence,), at + k == len(ids) - 1) for k, token in enumerate(part)])
    return context.logits(len(part) - 1).copy()


@pytest.fixture
def fresh(open_context):
    """The logits after ids from an empty cache."""
    def logits(ids):
        return feed(open_context(), 0, ids)
    return logits


def test_a_window_is_really_in_the_model(open_context, fresh):
    assert open_context()._window == WINDOW
    first = ids_of(1, 100)
    assert np.abs(fresh(first) - fresh([2, *ids_of(2, 20)[1:], *first[20:]])).max() > 1e-4      # global layers see it


@pytest.mark.parametrize("cut", [20, WINDOW, 60, 150, 199])
def test_cutting_back_past_the_window_changes_nothing(open_context, fresh, cut):
    context, long = open_context(), ids_of(1, 200)
    feed(context, 0, long)
    context.truncate(0, cut)
    other = long[:cut] + ids_of(3, 40)
    assert np.abs(feed(context, 0, other) - fresh(other)).max() < 1e-3


@pytest.mark.parametrize("cut", [20, 60, 150])
def test_other_sequences_never_take_the_cells_that_a_window_has_left(open_context, fresh, cut):
    context, long = open_context(512), ids_of(1, 200)
    feed(context, 9, ids_of(9, 60))
    feed(context, 0, long)
    context.truncate(9, 0)                              # the search for cells begins anew, before those of 0
    for turn in range(12):
        feed(context, 1 + turn % 3, ids_of(10 + turn, 90))
        if turn % 3 == 2:
            for one in (1, 2, 3):
                context.truncate(one, 0)
    context.copy(0, 5, cut)
    context.truncate(0, cut)
    other = long[:cut] + ids_of(3, 40)
    wanted = fresh(other)
    assert np.abs(feed(context, 0, other) - wanted).max() < 1e-3
    assert np.abs(feed(context, 5, other) - wanted).max() < 1e-3


def test_copies_share_their_cells(open_context, fresh):
    context, long = open_context(512), ids_of(1, 300)
    feed(context, 0, long)
    for one in range(1, 9):                             # 8 x 300 would not fit
        context.copy(0, one, 300)
        wanted = long + ids_of(one, 10)
        assert np.abs(feed(context, one, wanted) - fresh(wanted)).max() < 1e-3


def test_a_row_may_belong_to_many_sequences(open_context, fresh):
    context, start = open_context(), ids_of(1, 50)
    context.decode([Row(token, k, (0, 1, 2)) for k, token in enumerate(start)])
    for one in range(3):
        wanted = start + ids_of(one, 5)
        assert np.abs(feed(context, one, wanted) - fresh(wanted)).max() < 1e-3


def test_a_full_cache_says_so_and_goes_on(open_context, fresh):
    context, ids = open_context(256), ids_of(1, 250)
    feed(context, 0, ids)
    with pytest.raises(NoRoom):
        feed(context, 1, ids_of(2, 20))
    assert context.lengths[1] == 0
    longer = [*ids, 77]
    assert np.abs(feed(context, 0, longer) - fresh(longer)).max() < 1e-3


def test_an_abort_leaves_the_cache_as_it_was(open_context, fresh):
    context, ids = open_context(), ids_of(1, 60)
    feed(context, 0, ids)
    context.abort()
    with pytest.raises(Aborted):
        feed(context, 0, ids + ids_of(2, 50))
    longer = ids + ids_of(3, 20)
    assert np.abs(feed(context, 0, longer) - fresh(longer)).max() < 1e-3


def test_an_abort_from_another_thread_ends_a_batch_in_its_middle(open_context):
    context = open_context(1024, LoadConfig(exact=True, threads=1, batch_tokens=1024))
    stop = threading.Thread(target=lambda: [context.abort() for _ in iter(lambda: is_over, [True])])
    is_over: list[bool] = []
    stop.start()
    try:
        with pytest.raises(Aborted):
            feed(context, 0, ids_of(1, 1000), chunk=1000)
    finally:
        is_over.append(True)
        stop.join()


def test_log_softmax_is_exact(open_context):
    row = (np.random.default_rng(1).standard_normal(8000) * 20).astype(np.float32)
    wanted = row.astype(np.float64) - np.logaddexp.reduce(row.astype(np.float64))
    assert np.allclose(log_softmax_at(row, [0, 5, 7999]), wanted[[0, 5, 7999]], atol=1e-5)


def test_a_small_model_gets_room_for_every_slot_and_a_large_one_for_one(window_model):
    assert pool_cells(window_model.header, 8, 512) == 8 * 512
    assert pool_cells(window_model.header, 1, 500) == 512
    assert pool_cells(window_model.header, 8, 1 << 20) == 1 << 20


def test_the_batch_lies_as_llama_cpp_reads_it(open_context):
    context = open_context()
    context.decode([Row(5, 0, (3, 4))])
    batch = context._batch
    assert (batch.token[0], batch.pos[0], batch.n_seq_id[0]) == (5, 0, 2)
    assert ctypes.cast(batch.seq_id[0], ctypes.POINTER(ctypes.c_int32))[1] == 4

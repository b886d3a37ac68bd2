"""Scores of candidates: equal to transformers, to computing each one alone, and to themselves."""

import random

import numpy as np
import pytest

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.llama import Model
from runtime.pool import KEPT_SEQUENCES
from runtime.probe import Probe
from runtime.reference import Reference
from runtime.scheduler import Request, Scheduler
from runtime.score import Item, Scorer


def ids_of(seed, count):
    return [2, *random.Random(seed).choices(range(10, 8000), k=count - 1)]


class Bench:
    """A scheduler and a scorer on one context."""

    def __init__(self, model, context, slots=4):
        self.context = context
        self.scheduler = Scheduler(model, context, slots, 1000, lambda *_: None, lambda *_: None)
        self.scorer = Scorer(context, self.scheduler.cache, slots + KEPT_SEQUENCES)

    def score(self, items, beside=None):
        job = self.scorer.score(items, lambda: not self.scheduler.has_work, self.scheduler.prompt_budget)
        while True:
            if beside:
                beside()
            found = next(job)
            if found is not None:
                job.close()
                return found


@pytest.fixture
def bench(window_model, open_context):
    return Bench(window_model, open_context(1024))


@pytest.fixture(scope="module")
def by_transformers(window_base):
    reference = Reference(window_base, threads=1)

    def score(items):
        return [[reference.logprobs(item.prompt + one, len(item.prompt)) for one in item.candidates] for item in items]
    return score


def close(found, wanted):
    for item, wanted_item in zip(found, wanted, strict=True):
        for one, wanted_one in zip(item, wanted_item, strict=True):
            assert len(one) == len(wanted_one) and np.allclose(one, wanted_one, atol=1e-3), (one, wanted_one)


def shared(count, prefix=120, labels=5):
    start = ids_of(0, prefix)
    return [Item(start + ids_of(k, 20 + k)[1:], [ids_of(50 + n, 1 + n % 3)[1:] + [9 + n] for n in range(labels)])
            for k in range(1, count + 1)]


def test_scores_equal_transformers_past_the_window(bench, by_transformers):
    for items in (shared(12), [Item(ids_of(1, 300), [[5], [6, 7, 8]])], [Item([2], [[77, 78]])],
                  [Item(ids_of(k, 40), [[k], [k, k]]) for k in range(10, 20)]):
        close(bench.score(items), by_transformers(items))


def test_more_candidates_than_sequences_and_one_twice(bench, by_transformers):
    items = [Item(ids_of(1, 60), [[k] for k in range(10, 110)] + [[10, 11], [10, 11]])]
    close(bench.score(items), by_transformers(items))


def test_more_than_the_cells_hold_at_once(window_model, open_context, by_transformers):
    small, items = Bench(window_model, open_context(256)), shared(10, prefix=100, labels=3)
    close(small.score(items), by_transformers(items))


def test_candidates_that_together_exceed_the_cells(window_model, open_context, by_transformers):
    small = Bench(window_model, open_context(256))
    items = [Item(ids_of(1, 100), [ids_of(50 + k, 13)[1:] for k in range(50)]), Item(ids_of(2, 150), [[5], [6]])]
    close(small.score(items), by_transformers(items))
    close(small.score(shared(4, prefix=100, labels=30)), by_transformers(shared(4, prefix=100, labels=30)))


def test_nothing_to_score_gives_nothing(bench):
    assert bench.score([]) == []


def test_scoring_never_cuts_an_answer_short(window_model, open_context, by_transformers):
    """Streams that need the cells take them; the group is computed again afterwards."""
    small = Bench(window_model, open_context(256))
    items, ends = shared(6, prefix=60, labels=20), {}
    small.scheduler._end = lambda request, reason: ends.update({request.number: (reason, len(request.made))})
    for number in range(3):
        small.scheduler.submit(Request(number=number, ids=ids_of(number, 60),
                                       sample=SampleConfig(temperature=0.0, max_tokens=100)))
    close(small.score(items, beside=small.scheduler.step), by_transformers(items))
    while small.scheduler.has_work:
        small.scheduler.step()
    assert ends == dict.fromkeys(range(3), ("length", 100))


def test_what_is_shared_is_computed_once(bench):
    items = shared(10, prefix=400, labels=2)
    counted = []
    decode = bench.context.decode
    bench.context.decode = lambda rows: (counted.append(len(rows)), decode(rows))
    bench.score(items)
    alone = sum(len(item.prompt) - 400 + sum(len(one) - 1 for one in item.candidates) for item in items)
    assert sum(counted) == 400 + alone
    counted.clear()
    bench.score(items)                                  # the beginning lies there still
    assert sum(counted) == alone


def test_scoring_beside_streams_disturbs_neither(bench, window_model, by_transformers):
    request = Request(number=1, ids=ids_of(3, 80), sample=SampleConfig(temperature=0.0, max_tokens=60))
    bench.scheduler.submit(request)
    items = shared(12)
    close(bench.score(items, beside=bench.scheduler.step), by_transformers(items))
    while bench.scheduler.has_work:
        bench.scheduler.step()
    other = Request(number=2, ids=ids_of(3, 80), sample=SampleConfig(temperature=0.0, max_tokens=60))
    bench.scheduler.cache.clear()
    bench.scheduler.submit(other)
    while bench.scheduler.has_work:
        bench.scheduler.step()
    assert request.made == other.made and len(request.made) == 60


def test_alone_the_figures_of_a_quantized_file_repeat_exactly(demo_gguf, open_context):
    from runtime.context import Context
    model = Model(demo_gguf, LoadConfig(threads=1))
    context = Context(model, LoadConfig(threads=1), 2048)
    bench, items = Bench(model, context), shared(20, prefix=100)
    first = bench.score(items)
    request = Request(number=1, ids=ids_of(3, 80), sample=SampleConfig(temperature=0.0, max_tokens=30))
    bench.scheduler.submit(request)
    while bench.scheduler.has_work:
        bench.scheduler.step()
    assert bench.score(items) == first
    bench.score(shared(3, prefix=50))
    assert bench.score(items) == first
    context.close()
    model.close()


def test_under_defaults_the_difference_stays_small(window_gguf, by_transformers, record_property):
    """Float16 cache, flash attention as the library chooses: reported, not promised."""
    model = Probe(window_gguf, LoadConfig(threads=1))
    items = shared(5)
    wanted = by_transformers(items)
    worst = max(abs(a - b) for item, ones in zip(items, wanted, strict=True)
                for one, values in zip(item.candidates, ones, strict=True)
                for a, b in zip(model.logprobs(item.prompt + one, len(item.prompt)), values, strict=True))
    print(f"largest difference under defaults: {worst:.1e} nats")
    assert 0 < worst < 0.05
    model.close()


@pytest.mark.parametrize(("item", "words"), [
    (Item([], [[5]]), "at least one token"), (Item([2], []), "at least one token"),
    (Item([2], [[5], []]), "at least one token"),
    (Item([2] * 1024, [[5]]), "1,025 tokens long and the context holds 1,024")])
def test_what_can_not_be_scored_gets_a_sentence(bench, item, words):
    with pytest.raises(UserError, match=words):
        bench.score([item])
    assert bench.score([Item([2, 5], [[6]])])

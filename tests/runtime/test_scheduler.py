"""Many answers on one context: each as if it were alone, in order, ended at once; a cache that is never wrong."""

import random

import numpy as np
import pytest

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.scheduler import LEAST_CHUNK, MAX_WAITING, STALL, Pace, Request, Scheduler

GREEDY = SampleConfig(temperature=0.0, max_tokens=24, logprobs=0)
WINDOW = 32


def ids_of(seed, count):
    return [2, *random.Random(seed).choices(range(10, 8000), k=count - 1)]


class Desk:
    """A scheduler with what it told."""

    def __init__(self, model, context, slots=4, ctx_tokens=1000):
        self.texts, self.logprobs, self.ends, self.order = {}, {}, {}, []
        self.scheduler = Scheduler(model, context, slots, ctx_tokens, self.tell, self.end)
        self.count = 0

    def tell(self, request, text, logprobs):
        self.texts[request.number] = self.texts.get(request.number, "") + text
        self.logprobs.setdefault(request.number, []).extend(one.logprob for one in logprobs)

    def end(self, request, reason):
        self.ends[request.number] = reason
        self.order.append(request.number)

    def submit(self, ids, sample=GREEDY):
        self.count += 1
        request = Request(number=self.count, ids=list(ids), sample=sample)
        self.scheduler.submit(request)
        return request

    def run(self, *requests):
        for _ in range(100_000):
            if not self.scheduler.has_work:
                return requests[0] if len(requests) == 1 else requests
            self.scheduler.step()
        raise AssertionError("it never ends")

    def ask(self, ids, sample=GREEDY):
        return self.run(self.submit(ids, sample))


@pytest.fixture
def open_desk(window_model, open_context):
    return lambda slots=4, cells=1024, **options: Desk(window_model, open_context(cells, **options), slots)


@pytest.fixture
def alone(open_desk):
    """What a request gives on a context of its own: (ids made, log-probabilities)."""
    def one(ids, sample=GREEDY):
        desk = open_desk()
        request = desk.ask(ids, sample)
        return request.made, desk.logprobs[request.number]
    return one


def same(desk, request, wanted):
    made, logprobs = wanted
    assert request.made == made
    assert np.allclose(desk.logprobs[request.number], logprobs, atol=1e-3)


def test_the_next_turn_begins_where_the_last_one_ended(open_desk, alone):
    desk = open_desk()
    first = desk.ask(ids_of(1, 100))
    turn = first.ids + first.made + ids_of(2, 20)[1:]
    second = desk.ask(turn)
    assert second.cached >= len(first.ids) + len(first.made) - 1
    same(desk, second, alone(turn))


def test_asking_again_computes_no_prompt(open_desk):
    desk = open_desk()
    first = desk.ask(ids_of(1, 200))
    steps = desk.scheduler.context.steps
    again = desk.ask(ids_of(1, 200))
    assert again.made == first.made and again.cached == 200
    assert desk.scheduler.context.steps - steps == len(first.made) - 1


@pytest.mark.parametrize("common", [20, WINDOW, 90, 180])
def test_an_edit_and_a_shared_beginning_are_used_past_the_window(open_desk, alone, common):
    desk = open_desk()
    desk.ask(ids_of(1, 200))
    edited = ids_of(1, 200)[:common] + ids_of(common, 50)[1:]
    request = desk.ask(edited)
    assert request.cached == common
    same(desk, request, alone(edited))
    back = desk.ask(ids_of(1, 200))                     # the first one is still there, or is computed anew
    same(desk, back, alone(ids_of(1, 200)))


def test_a_running_request_lends_its_beginning(open_desk, alone):
    desk = open_desk()
    long, other = ids_of(1, 150), ids_of(1, 150)[:120] + ids_of(5, 10)[1:]
    first = desk.submit(long)
    while not first.made:
        desk.scheduler.step()
    second = desk.submit(other)
    desk.run()
    assert second.cached == 120
    same(desk, second, alone(other))
    same(desk, first, alone(long))


def test_requests_together_answer_as_if_each_were_alone(open_desk, alone):
    desk, prompts = open_desk(slots=4), [ids_of(k, 20 + 31 * k) for k in range(8)]
    requests = [desk.submit(prompt) for prompt in prompts]
    desk.run()
    for request in requests:
        same(desk, request, alone(request.ids))


def test_random_conversations_on_a_small_cache_are_never_wrong(open_desk, alone):
    draw, desk = random.Random(5), open_desk(slots=3, cells=512)
    threads = [ids_of(k, 30) for k in range(5)]
    running = []
    for turn in range(30):
        k = draw.randrange(5)
        base = threads[k][:draw.randrange(17, len(threads[k]) + 1)]
        prompt = base + ids_of(100 + turn, draw.randrange(2, 60))[1:]
        prompt = prompt[:300]
        request = desk.submit(prompt, SampleConfig(temperature=0.0, max_tokens=draw.randrange(1, 30), logprobs=0))
        running.append(request)
        for _ in range(draw.randrange(0, 25)):
            if desk.scheduler.has_work:
                desk.scheduler.step()
        threads[k] = prompt + request.made
    desk.run()
    assert sum(one.cached for one in running) > 300
    for request in running:
        same(desk, request, alone(request.ids, request.sample))


def test_one_that_must_step_back_for_want_of_cells_goes_on_later(open_desk, alone):
    desk, sample = open_desk(slots=3, cells=256), SampleConfig(temperature=0.0, max_tokens=120, logprobs=0)
    requests = [desk.submit(ids_of(k, 20), sample) for k in range(3)]
    desk.run()
    for request in requests:
        assert len(request.made) == 120
        same(desk, request, alone(request.ids, sample))


def test_requests_are_served_in_the_order_they_came(open_desk):
    desk, draw = open_desk(slots=4), random.Random(1)
    numbers = [desk.submit(ids_of(k, draw.randrange(5, 40)), SampleConfig(temperature=0.0, max_tokens=10)).number
               for k in range(100)]
    began = []
    while desk.scheduler.has_work:
        desk.scheduler.step()
        began += [one.number for one in desk.scheduler._running if one.number not in began]
    assert began == numbers and set(desk.ends.values()) <= {"length", "stop"} and len(desk.ends) == 100
    assert desk.scheduler.cache.used_cells() <= desk.scheduler.context.cells


def test_a_cancel_ends_before_the_next_token(open_desk, alone):
    desk = open_desk()
    request, other = desk.submit(ids_of(1, 30)), desk.submit(ids_of(2, 30))
    while len(request.made) < 5:
        desk.scheduler.step()
    made = len(request.made)
    desk.scheduler.cancel(request)
    desk.run()
    assert len(request.made) == made and desk.ends[request.number] == "cancelled"
    same(desk, other, alone(other.ids))


def test_a_request_cancelled_while_it_waits_or_reads_never_answers(open_desk):
    desk = open_desk(slots=1)
    first, second = desk.submit(ids_of(1, 30)), desk.submit(ids_of(2, 30))
    desk.scheduler.cancel(second)
    desk.run()
    assert desk.ends == {first.number: "length", second.number: "cancelled"} and not second.made
    third = desk.submit(ids_of(3, 900))
    desk.scheduler.step()
    desk.scheduler.cancel(third)
    desk.run()
    assert desk.ends[third.number] == "cancelled" and not third.made


def test_a_stop_string_and_the_limits_end_an_answer(open_desk):
    desk = open_desk()
    whole = desk.ask(ids_of(1, 30))
    text = desk.texts[whole.number]
    assert desk.ends[whole.number] == "length" and len(text) > 8
    word = text[-6:-2]
    stopped = desk.ask(ids_of(1, 30), SampleConfig(temperature=0.0, max_tokens=24, stop=(word,)))
    assert desk.ends[stopped.number] == "stop" and desk.texts.get(stopped.number, "") == text[:text.index(word)]
    full = desk.ask(ids_of(1, 990), SampleConfig(temperature=0.0, max_tokens=500))
    assert desk.ends[full.number] == "length" and len(full.ids) + len(full.made) == 1001


def test_bad_requests_get_a_sentence(open_desk, monkeypatch):
    desk = open_desk()
    with pytest.raises(UserError, match="prompt is empty"):
        desk.submit([])
    with pytest.raises(UserError, match="2,000 tokens long and the context holds 1,000"):
        desk.submit(ids_of(1, 2000))
    for _ in range(MAX_WAITING):
        desk.submit([2, 5])
    with pytest.raises(UserError, match="1,000 requests wait already"):
        desk.submit([2, 5])


def test_a_seed_gives_the_same_text_whatever_was_computed_before(open_desk):
    desk, seeded = open_desk(), SampleConfig(temperature=1.5, seed=3, max_tokens=20)
    first = desk.ask(ids_of(1, 60), seeded)
    for k in range(5):
        desk.ask(ids_of(1, 60)[:40] + ids_of(k, 30)[1:])
    second = desk.ask(ids_of(1, 60), seeded)
    other = desk.ask(ids_of(1, 60), SampleConfig(temperature=1.5, seed=4, max_tokens=20))
    assert first.made == second.made != other.made


def test_a_random_stream_is_nobody_elses(open_desk):
    desk, seeded = open_desk(), SampleConfig(temperature=1.5, seed=3, max_tokens=20)
    alone = desk.ask(ids_of(1, 60), seeded)
    together = desk.submit(ids_of(1, 60), seeded)
    for k in range(3):
        desk.submit(ids_of(k + 2, 40), SampleConfig(temperature=1.5, seed=k, max_tokens=20))
    desk.run()
    assert together.made == alone.made                  # float32: the same logits in any company


def test_prompt_chunks_are_large_when_nobody_reads_and_small_when_somebody_does():
    pace = Pace(512)
    assert pace.budget(is_read=False) == 512 and pace.budget(is_read=True) < 32
    for _ in range(20):
        pace.note(0.040, streams=1, prompt_tokens=0)
        pace.note(0.040 + 100 * 0.005, streams=1, prompt_tokens=100)
    budget = pace.budget(is_read=True)
    assert 0.040 + budget * 0.005 <= 0.040 * STALL * 1.05 and budget > LEAST_CHUNK
    assert pace.budget(is_read=False) == 512


def test_a_stream_goes_on_while_a_long_prompt_joins(open_desk):
    desk = open_desk(config=LoadConfig(exact=True, threads=1, batch_tokens=128))
    reader = desk.submit(ids_of(1, 20), SampleConfig(temperature=0.0, max_tokens=400))
    while len(reader.made) < 5:
        desk.scheduler.step()
    joiner = desk.submit(ids_of(2, 500), SampleConfig(temperature=0.0, max_tokens=5))
    steps = 0
    while not joiner.made:
        made = len(reader.made)
        desk.scheduler.step()
        steps += 1
        assert len(reader.made) == made + 1             # a token in every step
    assert steps > 3


def test_an_answer_without_numbers_is_refused(open_desk, window_model):
    from runtime.sampler import Sampler
    with pytest.raises(UserError, match="no finite numbers"):
        Sampler(window_model, GREEDY, []).pick(np.full(window_model.n_vocab, np.nan, np.float32))

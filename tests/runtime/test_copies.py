"""A small model in several workers: the same figures as from one, and no worker left behind."""

import contextlib
import os
import signal
from dataclasses import replace

import psutil
import pytest

from models.errors import UserError
from models.library import demo_gguf
from runtime.config import LoadConfig
from runtime.copies import PART, Copies, count
from runtime.engines import GgufEngine, open_engine
from runtime.process import WorkerDied
from runtime.session import Session

ALONE = LoadConfig(threads=1, ctx_tokens=1024)


@pytest.fixture
def copies():
    found = Copies(demo_gguf(), ALONE, 2)
    yield found
    found.close()


@pytest.fixture(scope="module")
def one():
    session = Session()
    session.load(demo_gguf(), ALONE)
    yield GgufEngine(session)
    session.close()


def items(engine: GgufEngine, many: int):
    words = [engine.encode(word) for word in ("Yes", "No", "Maybe so")]
    return [(engine.prompt_ids([{"role": "user", "content": f"Is it {'so ' * (k % 9 + 1)}{k}?"}]), words)
            for k in range(many)]


def test_several_workers_say_what_one_says_bit_by_bit(copies, one):
    asked = items(one, 5 * PART + 1)
    assert copies.score(asked, lambda some: pytest.fail("it was worth dividing")) == one.score(asked)
    assert copies.score(asked[:PART], lambda some: ["by the first"]) == ["by the first"]


def test_a_worker_that_dies_is_an_error_and_the_next_call_is_served(copies, one):
    asked = items(one, 4 * PART)
    first = copies.score(asked, one.score)
    os.kill(copies._sessions[0].pid, signal.SIGSTOP)        # it can not answer before it is killed
    victim = psutil.Process(copies._sessions[0].pid)
    victim.send_signal(signal.SIGKILL)
    with contextlib.suppress(WorkerDied):                   # unless it was seen to be gone before it was asked
        assert copies.score(asked, one.score) == first
    assert copies.score(asked, one.score) == first


def test_a_model_that_is_gone_is_told_and_nothing_hangs(tmp_path, one):
    path = tmp_path / "gone.gguf"
    path.write_bytes(demo_gguf().read_bytes())
    copies = Copies(path, ALONE, 2)
    path.unlink()
    for _ in range(2):
        with pytest.raises(UserError, match=r"gone\.gguf"):
            copies.score(items(one, 2 * PART), one.score)
    copies.close()


def test_no_worker_outlives_them(one):
    copies = Copies(demo_gguf(), ALONE, 2)
    copies.score(items(one, 2 * PART), one.score)
    workers = [psutil.Process(session.pid) for session in copies._sessions]
    assert len(workers) == 2
    copies.close()
    _, alive = psutil.wait_procs(workers, 20)
    assert not alive


def test_only_a_small_model_without_wishes_is_worth_it():
    assert count(demo_gguf(), LoadConfig()) >= 1
    for wish in (dict(threads=2), dict(exact=True), dict(device="cpu")):
        assert count(demo_gguf(), replace(LoadConfig(), **wish)) == 1


def test_open_engine_scores_the_same_with_and_without_them(one):
    asked = items(one, 3 * PART)
    with open_engine("demo", ctx_tokens=1024) as engine:
        assert engine.score(asked) == one.score(asked)

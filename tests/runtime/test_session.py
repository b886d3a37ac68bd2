"""The session: streams from a process of its own, cancels at once, survives the worker's death."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from models import runs
from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session, WorkerDied

LONG = SampleConfig(temperature=1.5, seed=7, max_tokens=1500, top_k=0, top_p=1.0)
SMALL = LoadConfig(ctx_tokens=2048, threads=1)


@pytest.fixture
def session(demo_gguf):
    session = Session()
    session.load(demo_gguf, SMALL)
    yield session
    session.close()


def ask(text):
    return [{"role": "user", "content": text}]


def test_an_answer_streams_and_carries_its_figures(session):
    stream = session.chat(ask("What is asthma?"), SampleConfig(temperature=0.0, max_tokens=200))
    pieces = list(stream)
    end = stream.end
    assert len(pieces) > 3 and "".join(pieces).strip()
    assert end.finish_reason in ("stop", "length") and end.generated_tokens >= len(pieces)
    assert end.prompt_tokens > 5 and end.tokens_per_s > 0 and end.first_token_s > 0
    assert end.fingerprint == session.info.fingerprint and end.dropped_turns == 0
    again = session.chat(ask("What is asthma?"), SampleConfig(temperature=0.0, max_tokens=200))
    assert "".join(again) == "".join(pieces) and again.end.cached_tokens > 0


def test_cancel_ends_within_one_token(session):
    stream = session.chat(ask("Tell me everything about diabetes."), LONG)
    tokens = iter(stream)
    for _ in range(3):
        next(tokens)
    stream.cancel()
    late = len(list(tokens))
    assert stream.end.finish_reason == "cancelled"
    assert stream.end.generated_tokens < 200 and late < 200          # what the pipe already held may still arrive
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5)))


def test_a_request_waiting_behind_another_is_served_in_order(session):
    first = session.chat(ask("One"), SampleConfig(max_tokens=40, seed=1))
    second = session.chat(ask("Two"), SampleConfig(max_tokens=5, seed=1))
    assert "".join(second) and "".join(first)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_killed_worker_gives_a_sentence_and_the_next_request_works(session, name):
    stream = session.chat(ask("Tell me everything about diabetes."), LONG)
    tokens = iter(stream)
    next(tokens)
    os.kill(session.pid, getattr(signal, name))
    began = time.monotonic()
    with pytest.raises(WorkerDied, match=f"signal {name}.*send the message again"):
        list(tokens)
    assert time.monotonic() - began < 10
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5, temperature=0.0)))


def test_loading_twice_keeps_the_worker_and_another_config_replaces_it(session, demo_gguf):
    pid = session.pid
    session.load(demo_gguf, SMALL)
    assert session.pid == pid
    session.load(demo_gguf, LoadConfig(ctx_tokens=512, threads=1))
    assert session.pid != pid and not psutil.pid_exists(pid) and session.info.ctx_tokens == 512


def test_a_long_conversation_loses_its_oldest_turns_and_says_so(demo_gguf):
    session = Session()
    session.load(demo_gguf, LoadConfig(ctx_tokens=512, threads=1))
    turns = []
    for k in range(40):
        turns += [*ask(f"Question {k} about the heart"), {"role": "assistant", "content": "Yes."}]
    stream = session.chat([*turns, *ask("Last")], SampleConfig(max_tokens=5))
    list(stream)
    assert stream.end.dropped_turns > 0 and stream.end.prompt_tokens <= 512
    with pytest.raises(UserError, match="tokens long"):
        list(session.chat(ask("word " * 3000), SampleConfig(max_tokens=5)))
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5)))          # it goes on after the refusal
    session.close()


@pytest.mark.parametrize(("content", "words"), [
    (b"just text, named like a model", "no GGUF"), (b"GGUF\x03\0\0\0" + b"\xff" * 64, "damaged|cut short")])
def test_a_file_that_is_no_model_is_refused_and_the_session_goes_on(session, tmp_path, demo_gguf, content, words):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)
    with pytest.raises(UserError, match=words):
        session.load(bad)
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5)))          # the model before still answers


def test_a_model_cut_short_is_refused(session, tmp_path, demo_gguf):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(demo_gguf.read_bytes()[:-1000])
    with pytest.raises(UserError, match="cut short"):
        session.load(cut)


def test_a_file_without_a_template_is_refused_for_chat_but_scores(shared_data):
    session = Session()
    session.load(shared_data / "models" / "stories260K" / "stories260K-f32.gguf", SMALL)
    with pytest.raises(UserError, match="no chat template"):
        session.chat(ask("Hi"))
    assert len(session.score([1, 403, 407, 261], 1)) == 3
    session.close()


def test_no_model_loaded_gets_a_sentence():
    with pytest.raises(UserError, match="No model is loaded"):
        Session().chat(ask("Hi"))


def test_several_threads_may_ask_at_once(session):
    answers = {}

    def one(k):
        answers[k] = "".join(session.chat(ask(f"What is {k}?"), SampleConfig(max_tokens=8, temperature=0.0)))

    threads = [threading.Thread(target=one, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 6


def test_the_worker_ends_with_its_parent(demo_gguf):
    script = ("import sys, time; from pathlib import Path; from runtime.session import Session; s = Session(); "
              f"s.load(Path({str(demo_gguf)!r})); print(s.pid, flush=True); time.sleep(60)")
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=runs.ROOT, stdout=subprocess.PIPE, text=True)
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    worker.wait(10)


def test_the_parent_loads_no_native_library(demo_gguf):
    script = ("import sys; from pathlib import Path; from runtime.session import Session; s = Session(); "
              f"s.load(Path({str(demo_gguf)!r})); s.close(); "
              "assert not {'llama_cpp', 'torch', 'transformers'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", script], cwd=runs.ROOT, check=True)

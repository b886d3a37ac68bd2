"""The session: streams from a process of its own, cancels at once, survives the worker's death."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from models import runs
from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session, WorkerDied

LONG = SampleConfig(temperature=5.0, seed=3, max_tokens=1700, top_k=0, top_p=1.0)      # so hot that it takes seconds
SMALL = LoadConfig(ctx_tokens=2048, threads=1)


@pytest.fixture
def session(demo_gguf, tmp_path):
    session = Session()
    session.load(shutil.copy(demo_gguf, tmp_path / "demo.gguf"), SMALL)
    yield session
    session.close()


def ask(text):
    return [{"role": "user", "content": text}]


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing came in time"
        time.sleep(0.02)


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
    for _ in range(5):                                                # this process may be held up in between
        stream = session.chat(ask("Tell me everything about diabetes."), LONG)
        tokens = iter(stream)
        for _ in range(3):
            next(tokens)
        stream.cancel()
        late = len(list(tokens))
        if late < 200:                                                # what the pipe already held may still arrive
            break
    assert stream.end.finish_reason == "cancelled" and stream.end.generated_tokens < 210 and late < 200
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5)))


def test_a_client_that_goes_away_ends_its_answer(session):
    with session.chat(ask("Tell me everything about diabetes."), LONG) as left:
        next(iter(left))
    started = session.chat(ask("Tell me everything about asthma."), LONG)
    started.close()                                                   # it was never read
    partly = iter(session.chat(ask("Tell me everything about lungs."), LONG))
    next(partly)
    partly.close()
    wait_for(lambda: session._worker._inboxes == {})
    began = time.monotonic()
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5))) and time.monotonic() - began < 60


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
    with pytest.raises(WorkerDied, match=f"signal {name}.*send the message again"):
        list(tokens)
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5, temperature=0.0)))


def test_a_worker_killed_while_it_loads_anew_is_tried_again(session, demo_gguf):
    os.kill(session.pid, signal.SIGKILL)
    wait_for(lambda: session.pid is None)
    path = session._wanted[0]
    gone = path.with_suffix(".gone")
    path.rename(gone)
    try:
        with pytest.raises(UserError):
            session.chat(ask("Hi"))
    finally:
        gone.rename(path)
    assert session.info and "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5)))


def test_an_interrupt_from_the_terminal_does_not_reach_the_worker(session):
    stream = session.chat(ask("Tell me everything about diabetes."), LONG)
    next(iter(stream))
    assert os.getpgid(session.pid) != os.getpgid(0)


def test_an_interrupt_while_it_loads_anew_leaves_a_session_that_works(session):
    session.unload()
    timer = threading.Timer(0.15, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        list(session.chat(ask("Hi"), SampleConfig(max_tokens=2000, seed=3, temperature=2.0)))
        time.sleep(60)
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5)))


def test_a_worker_stopped_while_it_loads_is_ended_and_close_does_not_wait(demo_gguf):
    session, ended = Session(), []

    def load():
        try:
            session.load(demo_gguf, SMALL)
        except UserError as error:
            ended.append(str(error))

    thread = threading.Thread(target=load)
    thread.start()
    wait_for(lambda: session._starting is not None)
    os.kill(session._starting.pid, signal.SIGSTOP)
    began = time.monotonic()
    session.close()
    thread.join(60)
    assert ended and time.monotonic() - began < 60 and session.pid is None


def test_closing_a_stream_wakes_the_thread_that_reads_it(session):
    stream = session.chat(ask("Tell me everything about diabetes."), LONG)
    os.kill(session.pid, signal.SIGSTOP)                              # so that nothing comes
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    stream.close()
    reader.join(60)
    os.kill(session.pid, signal.SIGCONT)
    assert not reader.is_alive()


def test_scores_that_nobody_waits_for_are_not_computed(session):
    items = [([2, *range(100, 300)], [[5]])] * 3000
    timer = threading.Timer(0.7, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        session.score(items)
    wait_for(lambda: session._worker._inboxes == {})
    assert session.score([([2, 5], [[6]])]) and session.score([]) == [] and session.score_chats([], ["a"]) == []


@pytest.mark.parametrize("wrong", ["a", 1.5, True, None, 8192, -1])
def test_wrong_ids_are_refused_and_the_worker_lives(session, wrong):
    pid = session.pid
    with pytest.raises(UserError, match="no token"):
        session.score([([2, wrong], [[5]])])
    with pytest.raises(UserError, match="no token"):
        session.score([([2, 5], [[wrong]])])
    assert session.pid == pid


def test_a_message_that_can_not_be_sent_leaves_nothing_behind(session):
    with pytest.raises((TypeError, ValueError, UserError)):
        session.chat([{"role": "user", "content": b"bytes"}])
    assert session._worker._inboxes == {}


@pytest.mark.parametrize("path", ["/tmp/" + "a" * 300 + ".gguf", "/etc/passwd/x.gguf"])
def test_a_path_that_can_not_be_gets_a_sentence_and_leaves_no_process(session, path):
    before = len(psutil.Process().children())
    with pytest.raises(UserError):
        session.load(Path(path))
    assert len(psutil.Process().children()) == before and session.pid


def test_a_file_replaced_by_another_is_loaded_anew(session, shared_data):
    path, info = session._wanted[0], session.info
    other = path.with_suffix(".other")
    shutil.copy(shared_data / "models" / "stories260K" / "stories260K-f32.gguf", other)
    os.replace(other, path)
    assert session.load(path, SMALL).fingerprint != info.fingerprint


def test_a_call_that_never_ends_is_noticed(session):
    """The worker's main thread hangs outside llama.cpp's batches: it says no more that it lives."""
    from runtime.worker import Worker
    worker = Worker(None, None)
    worker._service = type("Idle", (), {"is_computing": False})()
    worker._began = time.monotonic() - 3
    assert worker._is_stuck()
    worker._service.is_computing = True
    assert not worker._is_stuck()
    worker._began, worker._prepared = 0.0, time.monotonic() - 60
    assert worker._is_stuck()


def test_loading_twice_keeps_the_worker_and_another_config_replaces_it(session, demo_gguf):
    pid = session.pid
    session.load(session._wanted[0], SMALL)
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
    assert len(session.score([([1], [[403, 407, 261]])])[0][0]) == 3
    session.close()


def test_no_model_loaded_gets_a_sentence():
    with pytest.raises(UserError, match="No model is loaded"):
        Session().chat(ask("Hi"))


def test_a_hundred_clients_on_four_slots_are_all_answered(demo_gguf):
    session = Session()
    session.load(demo_gguf, LoadConfig(ctx_tokens=512, slots=4, threads=1))
    ends, memory = {}, []
    process = psutil.Process(session.pid)

    def one(k):
        stream = session.chat(ask(f"What is {k}?"), SampleConfig(max_tokens=12, temperature=0.0))
        assert "".join(stream)
        ends[k] = stream.end
        memory.append(process.memory_info().rss)

    threads = [threading.Thread(target=one, args=(k,)) for k in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(ends) == 100 and {end.finish_reason for end in ends.values()} <= {"stop", "length"}
    assert max(memory) - min(memory) < 64e6
    session.close()


def test_a_stopped_worker_is_shown_and_then_ended(session):
    streams = [session.chat(ask("Tell me everything about diabetes."), LONG) for _ in range(2)]
    tokens = iter(streams[0])
    next(tokens)
    os.kill(session.pid, signal.SIGSTOP)
    assert not session.is_stuck
    wait_for(lambda: session.is_stuck)
    with pytest.raises(WorkerDied, match="silent for 10 seconds"):
        list(tokens)
    with pytest.raises(WorkerDied, match="silent for 10 seconds"):
        list(streams[1])
    assert not session.is_stuck
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5, temperature=0.0)))


def test_a_worker_stopped_for_a_moment_goes_on(session):
    stream = session.chat(ask("What is asthma?"), SampleConfig(temperature=0.0, max_tokens=30))
    os.kill(session.pid, signal.SIGSTOP)
    wait_for(lambda: session.is_stuck)
    os.kill(session.pid, signal.SIGCONT)
    assert "".join(stream) and stream.end and not session.is_stuck


def test_a_stopped_worker_does_not_hold_up_the_end_of_the_session(session):
    os.kill(session.pid, signal.SIGSTOP)
    pid, began = session.pid, time.monotonic()
    session.close()
    assert not psutil.pid_exists(pid) and time.monotonic() - began < 30


def test_unload_gives_the_memory_back_and_the_next_request_loads_again(session):
    pid = session.pid
    stream = session.chat(ask("Tell me everything about diabetes."), LONG)
    session.unload()
    assert not psutil.pid_exists(pid) and session.pid is None and session.info
    with pytest.raises(WorkerDied, match="unloaded before the answer ended"):
        list(stream)
    assert "".join(session.chat(ask("Hi"), SampleConfig(max_tokens=5))) and session.pid not in (None, pid)


def test_an_idle_model_is_unloaded_and_comes_back(demo_gguf):
    session = Session()
    session.load(demo_gguf, LoadConfig(ctx_tokens=512, threads=1, idle_minutes=0.01))
    pid = session.pid
    wait_for(lambda: not psutil.pid_exists(pid))
    assert session.pid is None
    stream = session.chat(ask("Tell me everything about diabetes."), SampleConfig(max_tokens=300, seed=7))
    assert len("".join(stream)) > 10 and session.pid
    session.close()


def test_a_request_without_an_end_in_sight_is_not_idle(demo_gguf):
    session = Session()
    session.load(demo_gguf, LoadConfig(threads=1, idle_minutes=0.01))
    stream = session.chat(ask("Tell me everything about diabetes."), replace(LONG, max_tokens=100))
    tokens = iter(stream)
    next(tokens)
    time.sleep(2)                                                     # more than the 0.6 s, and nobody reads on
    assert session.pid and list(tokens)
    session.close()


def test_the_next_turn_is_the_cache_as_it_was_made(session):
    """The ids of the answer are those that were generated, however odd; so nothing of it is computed again."""
    turns = ask("What is asthma?")
    stream = session.chat(turns, SampleConfig(temperature=3.0, seed=11, max_tokens=40, top_k=0, top_p=1.0))
    turns += [{"role": "assistant", "content": "".join(stream)}, *ask("And then?")]
    second = session.chat(turns, SampleConfig(temperature=0.0, max_tokens=5))
    list(second)
    assert second.end.cached_tokens >= stream.end.prompt_tokens + stream.end.generated_tokens - 1
    assert second.end.prompt_tokens > second.end.cached_tokens


def test_a_seed_repeats_exactly_on_the_quantized_file(session):
    sample = SampleConfig(temperature=1.2, seed=5, max_tokens=80)
    first = "".join(session.chat(ask("What is asthma?"), sample))
    list(session.chat(ask("What is asthma good for, and what is it not?"), SampleConfig(max_tokens=30)))
    assert "".join(session.chat(ask("What is asthma?"), sample)) == first


@pytest.mark.parametrize(("prompt", "words"), [
    ("", None), ("<end_of_turn>\n<start_of_turn>model\n<bos>", None), ("word " * 200_000, "tokens long"),
    ("\ud800 lone", None), ("\x00\x01\x7f", None), ("é\u200d🧑🏽‍⚕️", None)])
def test_odd_prompts_are_answered_or_refused_with_a_sentence(session, prompt, words):
    pid = session.pid
    if words:
        with pytest.raises(UserError, match=words):
            list(session.chat(ask(prompt), SampleConfig(max_tokens=5)))
    else:
        list(session.chat(ask(prompt), SampleConfig(max_tokens=5)))
    assert session.pid == pid


def test_raw_prompts_continue_as_they_are(session):
    stream = session.complete("Asthma is", SampleConfig(temperature=0.0, max_tokens=8))
    text = "".join(stream)
    ids = session.encode("Asthma is")
    again = session.complete([2, *ids], SampleConfig(temperature=0.0, max_tokens=8))
    assert text and "".join(again) == text and again.end.prompt_tokens == len(ids) + 1
    with pytest.raises(UserError, match="prompt is empty"):
        list(session.complete([], SampleConfig(max_tokens=5)))
    with pytest.raises(UserError, match="no token 8192 in this model"):
        list(session.complete([2, 8192], SampleConfig(max_tokens=5)))


def test_answers_are_scored_after_conversations(session):
    talks = [ask("Is asthma a disease?"), ask("Is bread a disease?")]
    ids = [session.prompt_ids(talk) for talk in talks]
    found = session.score_chats(talks, ["yes", "no"])
    direct = session.score([(one, [session.encode("yes"), session.encode("no")]) for one in ids])
    assert found == direct and len(found) == 2 and all(value < 0 for one in found[0] for value in one)
    whole = session.score_chats(talks, ["yes", "no"], is_whole=True)
    assert [len(one) for one in whole[0]] == [len(one) + 1 for one in found[0]]


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
    worker.wait(60)


def test_the_parent_loads_no_native_library(demo_gguf):
    script = ("import sys; from pathlib import Path; from runtime.session import Session; s = Session(); "
              f"s.load(Path({str(demo_gguf)!r})); s.close(); "
              "assert not {'llama_cpp', 'torch', 'transformers'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", script], cwd=runs.ROOT, check=True)

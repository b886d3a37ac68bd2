"""One piece of work in a thread of ours: it streams, stops, fails in words, is kept, and is forgotten."""

import threading
from pathlib import Path

import pytest

from models.errors import UserError
from tests.ui.fakes import FakeSession, FakeStream, wait_for
from ui.actions.model import CurrentModel
from ui.actions.single import Single
from ui.settings import SettingsFile


class ClosingStream(FakeStream):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class WritingSession(FakeSession):
    """Its completions are streams that a test fills; scoring gives one figure a token."""

    def complete(self, prompt, sample=None):
        stream = ClosingStream()
        self.asked.append(list(prompt))
        self.streams.put(stream)
        return stream

    def score(self, items, adapter=None):
        return [[[-1.0] * len(one) for one in candidates] for _, candidates in items]

    def terminator(self):
        return 3


@pytest.fixture
def session():
    return WritingSession()


@pytest.fixture
def model(session, galen_home, demo_gguf):
    current = CurrentModel(session, SettingsFile(galen_home))
    current.preload(demo_gguf)
    wait_for(lambda: current.state.info)
    return current


def two_answers(asked, opened):
    """Asks for as many answers as asked says, one after the other."""
    return [one.text for one in opened().answers([[1, 2]] * asked, 10)]


def test_what_is_written_is_told_while_it_is_written(session, model):
    work = Single(model, two_answers)
    assert work.state.asked is None
    work.ask(2)
    first = session.streams.get(timeout=60)
    first.pieces.put("One ")
    wait_for(lambda: work.state.text == "One ")
    version = work.state.version
    first.pieces.put("answer. ")
    wait_for(lambda: work.state.text == "One answer. ")
    assert work.state.version != version and work.state.is_running and work.state.model == model.state.name
    first.pieces.put(None)
    second = session.streams.get(timeout=60)
    second.pieces.put("Two.")
    wait_for(lambda: work.state.text == "One answer.\n\nTwo.")
    second.pieces.put(None)
    state = wait_for(lambda: not work.state.is_running and work.state)
    assert state.found == ["One answer.", "Two."] and not state.problem and state.asked == 2
    assert state.fingerprint == "7f3a9c21d0b1e2f3"
    model.choose("demo")                                # nobody keeps the model in use any more


def test_one_at_a_time(session, model):
    work = Single(model, two_answers)
    work.ask(1)
    with pytest.raises(UserError, match="still being done"):
        work.ask(1)
    session.streams.get(timeout=60).pieces.put(None)
    wait_for(lambda: not work.state.is_running)
    work.ask(1)
    session.streams.get(timeout=60).pieces.put(None)


def test_stop_ends_it_and_keeps_what_was_written(session, model):
    work = Single(model, two_answers)
    work.ask(3)
    session.streams.get(timeout=60).pieces.put("Begun")
    wait_for(lambda: work.state.text)
    work.stop()
    state = wait_for(lambda: not work.state.is_running and work.state)
    assert state.is_stopped and state.text == "Begun" and state.found is None and not state.problem
    assert session.streams.empty()                      # nothing further was asked for


def test_stop_before_the_first_word_and_while_scoring(session, model):
    begun, go_on = threading.Event(), threading.Event()

    def scoring(asked, opened):
        engine = opened()
        begun.set()
        go_on.wait(60)
        return engine.score([([1], [[2]])])

    work = Single(model, scoring)
    work.ask(1)
    begun.wait(60)
    work.stop()
    go_on.set()
    assert wait_for(lambda: not work.state.is_running and work.state).is_stopped


def test_forgotten_work_leaves_nothing(session, model):
    work = Single(model, two_answers)
    work.ask(1)
    stream = session.streams.get(timeout=60)
    stream.pieces.put("Mrs. Grey")
    wait_for(lambda: work.state.text)
    work.forget()
    stream.pieces.put(None)
    work.close()
    assert work.state.asked is None and work.state.text == "" and work.state.found is None


@pytest.mark.parametrize(("error", "told"), [(UserError("Too long."), "Too long."),
                                             (ZeroDivisionError(), "went wrong inside Galen")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_fails_is_said(session, model, error, told):
    def failing(asked, opened):
        raise error

    work = Single(model, failing)
    work.ask(1)
    assert told in wait_for(lambda: work.state.problem)
    assert not work.state.is_running


def test_without_a_model(galen_home):
    work = Single(CurrentModel(WritingSession(), SettingsFile(galen_home)), two_answers)
    work.ask(1)
    assert "No model is loaded" in wait_for(lambda: work.state.problem)
    by_words = Single(CurrentModel(WritingSession(), SettingsFile(galen_home)), lambda asked, opened: "needs none")
    by_words.ask(1)
    assert wait_for(lambda: by_words.state.found) == "needs none"


def test_a_model_that_is_being_loaded_is_waited_for(session, galen_home, demo_gguf):
    is_there = threading.Event()
    load = session.load
    session.load = lambda path, config=None: is_there.wait(60) and load(Path(path), config)
    current = CurrentModel(session, SettingsFile(galen_home))
    current.preload(demo_gguf)
    work = Single(current, two_answers)
    work.ask(1)
    assert work.state.is_running and session.streams.empty()
    is_there.set()
    session.streams.get(timeout=60).pieces.put(None)
    assert wait_for(lambda: work.state.found) == [""]

"""Many threads at one model: nobody is answered by another one than asked for, and lent memory is left alone."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from models.errors import UserError
from models.library import LocalModel
from tests.ui.fakes import FakeSession, wait_for
from ui.actions.model import Busy, CurrentModel
from ui.settings import SettingsFile

WAIT_S = 20.0
NAMES = ("one", "two", "three")


class LockedSession(FakeSession):
    """As the real one: one call at a time; who asks starts the model that was loaded last."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()

    def load(self, path: Path, config: Any = None):
        with self.lock:
            time.sleep(0.001)
            return super().load(path, config)

    def unload(self) -> None:
        with self.lock:
            super().unload()

    def ask(self) -> Path:
        """Who answers."""
        with self.lock:
            self.pid = 1
            assert self.info
            return Path(self.info.path)


@pytest.fixture
def session() -> LockedSession:
    return LockedSession()


@pytest.fixture
def model(session: LockedSession, galen_home: Path, demo_gguf: Path) -> CurrentModel:
    for name in NAMES:
        shutil.copy(demo_gguf, galen_home / f"{name}.gguf")         # of links to one file, one is listed
    made = CurrentModel(session, SettingsFile(galen_home))
    made.preload(galen_home / "one.gguf")
    wait_for(lambda: made.state.info)
    return made


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Crowd:
    """Threads that each do something at random, and what they saw that must not be."""

    def __init__(self, model: CurrentModel, session: LockedSession):
        self.model, self.session = model, session
        self.wrong: list[str] = []

    def run(self, count: int, turns: int) -> None:
        def go(seed: int) -> None:
            dice = Random(seed)
            for _ in range(turns):
                with suppress(UserError):
                    dice.choice((self.choose, self.use, self.use, self.call, self.call, self.lend, self.reload))(dice)
        threads = [threading.Thread(target=go, args=(seed,), daemon=True) for seed in range(count)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
            if one.is_alive():
                self.wrong.append("a thread hangs")

    def some(self, dice: Random) -> LocalModel:
        return dice.choice([one for one in self.model.listed() if one.path.stem in NAMES])

    def choose(self, dice: Random) -> None:
        self.model.choose(self.some(dice).name)

    def reload(self, dice: Random) -> None:
        self.model.reload()

    def use(self, dice: Random) -> None:
        with self.model.in_use() as session:
            self.answer(session, self.model.state.chosen, dice)

    def call(self, dice: Random) -> None:
        wanted = self.some(dice)
        with self.model.using(wanted.name, WAIT_S) as session:
            self.answer(session, wanted.path, dice)

    def answer(self, session: LockedSession, wanted: Path, dice: Random) -> None:
        first = session.ask()
        time.sleep(dice.random() * 0.003)
        if first != wanted or session.ask() != wanted:
            self.wrong.append(f"{wanted.name} was asked for, {first.name} and {session.ask().name} answered")
        if self.model.state.lent_to:
            self.wrong.append("lent while it answers")

    def lend(self, dice: Random) -> None:
        with self.model.lent("a job", WAIT_S):
            for _ in range(3):
                time.sleep(dice.random() * 0.002)
                if not self.model.state.lent_to:
                    self.wrong.append("it is no longer said that it is lent")


def test_a_crowd_is_served_by_what_it_asked_for(model: CurrentModel, session: LockedSession, switching,
                                                monkeypatch: pytest.MonkeyPatch):
    crowd = Crowd(model, session)
    monkeypatch.setattr(threading, "excepthook", lambda told: crowd.wrong.append(repr(told.exc_value)))
    crowd.run(8, 60)
    assert sorted(set(crowd.wrong)) == []
    wait_for(lambda: not model.state.loading)
    state = model.state
    assert state.info and not state.lent_to and not state.problem and session.ask() == state.chosen
    with model.lent("the last job", 1):         # nobody is still counted as using it
        wait_for(lambda: session.pid is None)


def in_line(model: CurrentModel, count: int) -> None:
    wait_for(lambda: len(model._line) == count)


def called(model: CurrentModel, stem: str) -> str:
    """The name of a listed model."""
    return wait_for(lambda: next((one.name for one in model.listed() if one.path.stem == stem), ""))


def test_answers_that_follow_one_another_do_not_keep_a_job_waiting(model: CurrentModel):
    place = model.line_up("Training one")           # while nobody uses the model, to begin with
    model.leave(place)
    with model.in_use():
        place = model.line_up("Training one")
        for _ in range(2):                          # its place is kept when its patience for one look is over
            with pytest.raises(Busy, match="Training one takes the memory as soon as"), model.in_use():
                pass
            with pytest.raises(Busy, match="still in use"), model.lent("Training one", 0.01, place):
                pass
        model.leave(place)
        with model.in_use():                        # it is no longer wanted
            pass
        place = model.line_up("Training two")
    with model.lent("Training two", WAIT_S, place):
        assert model.state.lent_to == "Training two"
    with model.in_use():
        pass


def test_jobs_that_follow_one_another_do_not_keep_somebody_waiting(model: CurrentModel, session: LockedSession):
    said, name = list[str](), called(model, "two")

    def ask() -> None:
        with model.using(name, WAIT_S) as ready:
            said.append(f"{ready.ask().stem} answered, lent to {model.state.lent_to or 'nobody'}")
    with ExitStack() as first:
        first.enter_context(model.lent("the first job", WAIT_S))
        thread = threading.Thread(target=ask)
        thread.start()
        in_line(model, 1)
    with model.lent("the second job", WAIT_S):      # at once, as the queue of jobs does it
        said.append(f"lent to {model.state.lent_to}")
    thread.join(60)
    assert said == ["two answered, lent to nobody", "lent to the second job"]


def test_who_comes_later_does_not_pass_one_who_waits_for_another_model(model: CurrentModel):
    said, threads = list[str](), list[threading.Thread]()
    one_name, two_name = called(model, "one"), called(model, "two")

    def ask(name: str, how: Any) -> None:
        with how() as ready:
            said.append(f"{name}: {ready.ask().stem}")
    with model.in_use():
        for name, how in (("first", lambda: model.using(two_name, WAIT_S)),
                          ("second", lambda: model.using(one_name, WAIT_S)), ("third", model.in_use)):
            threads.append(threading.Thread(target=ask, args=(name, how)))
            threads[-1].start()
            in_line(model, len(threads))
        assert said == []
        with pytest.raises(Busy), model.using(one_name, 0.01):      # which is loaded, and not asked before them
            pass
    for one in threads:
        one.join(60)
    assert (said[0], sorted(said[1:])) == ("first: two", ["second: one", "third: one"])

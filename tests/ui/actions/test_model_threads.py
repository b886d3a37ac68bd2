"""Many threads at one model: nobody is answered by another one than asked for, and lent memory is left alone."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from models.errors import UserError
from models.library import LocalModel
from tests.ui.fakes import FakeSession, wait_for
from ui.actions.model import CurrentModel
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
        (galen_home / f"{name}.gguf").symlink_to(demo_gguf)
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

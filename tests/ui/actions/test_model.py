import threading
import time
from pathlib import Path

import pytest

from models.errors import UserError
from tests.ui.fakes import FakeSession, wait_for
from ui.actions.model import Busy, CurrentModel
from ui.settings import SettingsFile


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def model(session: FakeSession, tmp_path: Path, galen_home: Path) -> CurrentModel:
    made = CurrentModel(session, SettingsFile(tmp_path))
    made.preload(tmp_path / "demo.gguf")
    wait_for(lambda: made.state.info)
    return made


def loads_of(session: FakeSession) -> list[str]:
    """The names of what is loaded from now on."""
    loads, load = [], session.load
    session.load = lambda path, config=None: loads.append(path.name) or load(path, config)
    return loads


def test_given_model_stays_in_the_list_and_a_broken_one_is_refused(model: CurrentModel, tmp_path: Path):
    given = str(tmp_path / "demo.gguf")
    assert given in [one.name for one in model.listed()]
    model.preload(tmp_path / "broken.gguf")
    wait_for(lambda: model.state.problem)
    assert "cut short" in model.state.problem and model.state.chosen == tmp_path / "demo.gguf"    # it still answers
    assert model.state.info.name == "demo"


def test_silence_of_the_process_is_part_of_the_state(model: CurrentModel, session: FakeSession):
    before = model.state
    session.is_stuck = True
    assert not before.is_silent and model.state.is_silent
    session.is_stuck = False
    assert model.state == before


def test_a_lost_model_is_loaded_again_when_it_is_chosen_again(model: CurrentModel, session: FakeSession):
    name, loads = model.listed()[-1].name, loads_of(session)
    model.choose(name)                                  # it is there: nothing to do
    assert not loads
    session.pid = None                                  # it died, and its reload failed: the session still knows it
    model.choose(name)
    wait_for(lambda: len(loads) == 1 and model.state.info)
    session.info = None                                 # another one was tried, which took its memory
    model.choose(name)
    wait_for(lambda: len(loads) == 2 and model.state.info)


def test_a_model_in_use_is_not_changed(model: CurrentModel):
    with model.in_use():
        with pytest.raises(UserError, match="Stop it, or wait for its end"):
            model.choose("demo")
        with pytest.raises(UserError, match="no model '../../etc/passwd' here"):
            model.choose("../../etc/passwd")
    model.choose("demo")


def test_another_model_is_waited_for_and_then_loaded(model: CurrentModel, session: FakeSession, tmp_path: Path):
    loads, given = loads_of(session), str(tmp_path / "demo.gguf")
    with model.using(given, 1), model.using(given, 1), pytest.raises(Busy, match="did not become free"):
        model.using("demo", 0.2).__enter__()
    assert not loads
    inside = threading.Event()
    with model.using(given, 1):
        def other() -> None:
            with model.using("demo", 60):
                inside.set()
        thread = threading.Thread(target=other)
        thread.start()
        assert not inside.wait(0.2)
    thread.join(60)
    assert inside.is_set() and len(loads) == 1 and loads[0].startswith("galen-demo")


def test_lent_memory_is_free_until_it_comes_back(model: CurrentModel, session: FakeSession, tmp_path: Path):
    loads = loads_of(session)
    with model.in_use(), pytest.raises(Busy, match="still in use"):
        model.lent("a training", 0.1).__enter__()
    with model.lent("a training", 1):
        assert session.pid is None and model.state.lent_to == "a training"
        for refused in (lambda: model.in_use().__enter__(), lambda: model.choose("demo"),
                        lambda: model.using("demo", 0.1).__enter__()):
            with pytest.raises(UserError, match="in use"):
                refused()
    wait_for(lambda: loads == ["demo.gguf"] and model.state.info and not model.state.lent_to)


def held(session: FakeSession) -> threading.Event:
    """Loads wait for the event from now on."""
    go, load = threading.Event(), session.load
    session.load = lambda path, config=None: go.wait(60) and load(path, config)
    return go


def test_who_asks_while_a_model_is_loaded_is_answered_by_that_one(model: CurrentModel, session: FakeSession):
    go, answered, stopped = held(session), [], threading.Event()
    model.choose("demo")

    def ask() -> None:
        with model.in_use() as ready:
            answered.append(ready.info.name)
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(0.2)
    assert answered == []                               # the one before it has not answered
    stopped.set()
    with model.in_use(stopped):                         # and nobody has to wait for it
        assert model.state.loading
    go.set()
    thread.join(60)
    assert answered[0].startswith("galen-demo")


def test_a_load_that_comes_late_does_not_replace_a_later_choice(model: CurrentModel, session: FakeSession,
                                                                tmp_path: Path):
    load, loads = session.load, []

    def late(path, config=None):
        if path.name.startswith("galen-demo"):
            time.sleep(0.3)                             # on its way to the session when the next one is chosen
        loads.append(path)
        return load(path, config)
    session.load = late
    model.choose("demo")
    wait_for(lambda: model.state.loading)
    time.sleep(0.1)
    model.choose(str(tmp_path / "demo.gguf"))
    wait_for(lambda: model.state.info and len(loads) == 2)
    assert model.state.chosen == Path(session.info.path) == tmp_path / "demo.gguf"


def test_a_load_that_failed_by_a_fault_of_ours_has_ended(model: CurrentModel, session: FakeSession,
                                                         monkeypatch: pytest.MonkeyPatch):
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def load(path, config=None):
        raise OSError(12, "Cannot allocate memory")
    session.load = load
    model.choose("demo")
    wait_for(lambda: told and not model.state.loading)
    assert "fault inside Galen" in model.state.problem and model.state.info.name == "demo"
    with model.in_use():                                # what was there still answers
        pass
    with pytest.raises(UserError, match="fault inside Galen"), model.using("demo", 1):
        pass


def test_changed_settings_come_with_the_next_load(session: FakeSession, tmp_path: Path, galen_home: Path):
    settings = SettingsFile(tmp_path)
    model, configs = CurrentModel(session, settings), []
    load = session.load
    session.load = lambda path, config: configs.append(config) or load(path, config)
    model.preload(tmp_path / "demo.gguf")
    wait_for(lambda: model.state.info)
    settings.change(ctx_tokens=512)
    model.reload()
    wait_for(lambda: len(configs) == 2 and model.state.info)
    assert configs[1].ctx_tokens == 512 and SettingsFile(tmp_path).value.ctx_tokens == 512


def test_waiting_ends_in_time(model: CurrentModel):
    began = time.monotonic()
    with model.in_use(), pytest.raises(Busy):
        model.using("demo", 0.2).__enter__()
    assert time.monotonic() - began >= 0.2

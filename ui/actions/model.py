"""The model that answers: which one is chosen, its loading in the background, and who uses it meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from models import library
from models.errors import UserError
from models.library import LocalModel
from models.opened import full_path
from models.shelf import Entry, Shelf
from runtime.config import LoadConfig
from runtime.session import ModelInfo, Session
from ui.settings import SettingsFile


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """What the page shows of the model."""
    chosen: Path | None = None          # the file the list should point to
    info: ModelInfo | None = None       # what answers now; None while one is being loaded
    loading: str = ""                   # what is being loaded
    problem: str = ""                   # why the last choice did not work, one sentence
    notice: str = ""                    # a sentence that must stand beside this model's answers
    lent_to: str = ""                   # the job that has the memory for now, in words
    is_silent: bool = False             # its process lives, but has not been heard for some seconds

    @property
    def name(self) -> str:
        """Name and type, as the line under an answer has it: "Galen demo Q8_0"."""
        return named(self.info) if self.info else ""


def named(info: ModelInfo) -> str:
    """Name and type of a loaded model."""
    return f"{info.name} {info.description.split(' · ')[0]}"


STOP_S = 0.1                    # how often one who waits for the model looks whether somebody has stopped the waiting
BUG = "{} could not be loaded, through a fault inside Galen; the terminal shows the details."


class Busy(UserError):
    """Somebody else has the model, or the memory, for longer than one could wait."""


@dataclass(frozen=True, eq=False)
class Place:
    """A place in the line of those who wait for the model. job: what it waits for, in words; "" for an answer."""
    job: str = ""


class CurrentModel:
    """The one model that the session holds, as page and API know it. The last choice wins.

    Who has to wait for it stands in one line, and nobody who comes later passes: neither do answers that follow one
    another keep a job from its memory, nor jobs that follow one another somebody from the model.
    """

    def __init__(self, session: Session, settings: SettingsFile):
        self._session, self._settings, self.shelf = session, settings, Shelf()
        self._listed: tuple[tuple[Entry, ...], list[LocalModel]] = ((), [])
        self._given: list[LocalModel] = []              # the model that this start was given, if no list has it
        self._changed, self._one_load = threading.Condition(), threading.Lock()
        self._choices, self._users = 0, 0
        self._line: list[Place] = []
        self._state = ModelState()

    @property
    def state(self) -> ModelState:
        """The model as it is now."""
        state = self._state
        return replace(state, is_silent=True) if state.info and self._session.is_stuck else state

    @property
    def waiting_job(self) -> str:
        """The job that waits for the memory, in words; "" for none."""
        return next((one.job for one in list(self._line) if one.job), "")

    @property
    def is_busy(self) -> bool:
        """True while somebody uses the model, it is being loaded, or a job has its memory."""
        return bool(self._users or self._state.loading or self._state.lent_to)

    @property
    def pid(self) -> int | None:
        """The process that holds the model, while there is one."""
        return self._session.pid

    def listed(self) -> list[LocalModel]:
        """The models that can be chosen."""
        return [model for model in self.all() if model.can_chat]

    def all(self) -> list[LocalModel]:
        """Those, and the ones that only make vectors of texts."""
        entries = self.shelf.look()
        known, listed = self._listed
        if entries is not known:
            listed = library.models_of(entries)
            self._listed = entries, listed
        return listed + self._given

    def find(self, name: str) -> LocalModel:
        """The model called name. Raises UserError if it is gone."""
        found = [model for model in self.all() if model.name == name]
        if not found:
            raise UserError(f"There is no model {name!r} here any more; reload the page to see what there is.")
        return found[0]

    def preload(self, path: Path | None) -> None:
        """Begin to load the model at path, the embedded one if None: what a start of the app does."""
        try:
            path = full_path(path) if path else library.demo_gguf()
        except UserError as error:
            self._state = ModelState(problem=str(error))
            return
        if path not in [model.path for model in self.listed()]:
            self._given = [LocalModel(name=str(path), title=path.stem, path=path, notice=library.notice_for(path))]
        model = next(model for model in self.listed() if model.path == path)
        with self._changed:
            if self._state.lent_to:     # a job that outlived the last Galen has the memory: loaded when that is over
                self._state = replace(self._state, chosen=model.path, notice=model.notice)
            else:
                self._choose(model)

    def choose(self, name: str) -> None:
        """Begin to load a listed model. UserError if it is gone, or while somebody uses the one before it."""
        model = self.find(name)
        with self._changed:
            if not self._state.loading and self._is_loaded(model.path):
                return
            self._refuse_lent()
            if self._users:
                raise UserError("An answer is still being written. Stop it, or wait for its end, "
                                "before you change the model.")
            self._choose(model)

    def reload(self) -> None:
        """Load the chosen model again, under the settings as they are now. Raises UserError while it is in use."""
        with self._changed:
            if self._users:
                raise UserError("An answer is still being written; the model takes the new settings "
                                "when it is loaded again.")
            if not self._state.lent_to:         # else it is loaded when the memory comes back
                self._choose_again()

    def load_config(self) -> LoadConfig:
        """How a model is loaded under the settings as they are now."""
        return self._settings.value.load_config()

    @contextmanager
    def in_use(self, stop: threading.Event | None = None) -> Iterator[Session]:
        """Keep the model that is chosen, once it is loaded, for as long as the with block runs.

        stop: somebody sets it who does not want to wait for the loading. Raises UserError while the memory is lent, or
        a job waits for it.
        """
        with self._changed:
            self._refuse_lent()
            if job := self.waiting_job:
                raise Busy(f"{job} takes the memory as soon as what is being written has ended; the model comes back "
                           "when that has ended.")
            self._wait_in_line(Place(), lambda: not self._state.lent_to, stop=stop)
            self._users += 1
        try:
            with self._changed:                 # before that, the one before it would still answer
                while self._state.loading and not (stop and stop.is_set()):
                    self._changed.wait(STOP_S if stop else None)
            yield self._session
        finally:
            self._leave()

    @contextmanager
    def using(self, name: str, wait_s: float) -> Iterator[Session]:
        """The same with the listed model called name, loaded first if it is not; it waits while others use another.

        Raises UserError for an unknown name or a file that can not be loaded, Busy after wait_s seconds.
        """
        model = self.find(name)
        until = time.monotonic() + wait_s
        with self._changed:
            if not self._wait_in_line(Place(), lambda: not self._state.lent_to and (
                    not self._users or self._state.chosen == model.path), until):
                raise Busy(f"{model.name} did not become free: another model is in use, or a job takes its memory; "
                           "try again later.")
            if self._state.chosen != model.path or not (self._state.loading or self._is_loaded(model.path)):
                self._choose(model)
            self._users += 1
        try:
            self._wait_for(model, until)
            yield self._session
        finally:
            self._leave()

    def line_up(self, job: str) -> Place:
        """A place in the line for a job, called job in words. It is kept until lent() takes it, or leave()."""
        place = Place(job)
        with self._changed:
            self._line.append(place)
        return place

    def leave(self, place: Place) -> None:
        """Give up a place in the line, if it is still there."""
        with self._changed:
            if place in self._line:
                self._line.remove(place)
                self._changed.notify_all()

    @contextmanager
    def lent(self, job: str, wait_s: float, place: Place | None = None) -> Iterator[None]:
        """Give the model's memory to a job, called job in words, and take it back after the with block.

        Waits until nobody uses the model; raises Busy after wait_s seconds. place: of line_up(), kept if that happens.
        """
        until = time.monotonic() + wait_s
        with self._changed:
            if not self._wait_in_line(place or Place(job), lambda: not (self._users or self._state.lent_to), until):
                raise Busy("The model is still in use, so its memory can not be given to the job yet.")
            self._choices += 1          # a load that runs is ended, and its failure is nobody's
            self._state = replace(self._state, lent_to=job, loading="", info=None)
        is_dropped = False
        try:
            self._session.unload()
            yield
        except GeneratorExit:           # this Galen ends; the job goes on
            is_dropped = True
            raise
        finally:
            with self._changed:
                self._state = replace(self._state, lent_to="")
                self._changed.notify_all()
                if not is_dropped:
                    self._choose_again()

    def _refuse_lent(self) -> None:
        if self._state.lent_to:
            raise Busy(f"The memory is in use for {self._state.lent_to}; the model comes back when that has ended.")

    def _wait_in_line(self, place: Place, is_free: Callable[[], bool], until: float | None = None,
                      stop: threading.Event | None = None) -> bool:
        """Wait until place is the first in the line and is_free(), with the lock held; a new place is the last one.

        False after until (of time.monotonic()), or once stop is set. A place that was there before is kept then.
        """
        is_new, is_over = place not in self._line, False
        if is_new:
            self._line.append(place)
        try:
            while not (is_over := self._line[0] is place and is_free()):
                if (stop and stop.is_set()) or (until is not None and time.monotonic() >= until):
                    break
                left = None if until is None else max(0.0, until - time.monotonic())
                self._changed.wait(STOP_S if stop else left)
        finally:
            if is_new or is_over:
                self._line.remove(place)
                self._changed.notify_all()
        return is_over

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            self._changed.notify_all()

    def _is_loaded(self, path: Path) -> bool:
        """True while the session itself holds path in a living process."""
        info = self._session.info
        return info is not None and Path(info.path) == full_path(path) and self._session.pid is not None

    def _choose(self, model: LocalModel) -> None:
        with self._changed:
            self._choices += 1
            self._state = ModelState(chosen=model.path, loading=model.title, notice=model.notice)
            threading.Thread(target=self._load, args=(model, self._choices), name="load", daemon=True).start()

    def _choose_again(self) -> None:
        chosen = next((model for model in self.listed() if model.path == self._state.chosen), None)
        if chosen:
            self._choose(chosen)

    def _wait_for(self, model: LocalModel, until: float) -> None:
        with self._changed:
            while self._state.loading and self._state.chosen == model.path:
                if not self._changed.wait(max(0.0, until - time.monotonic())) and time.monotonic() >= until:
                    raise Busy(f"{model.name} is still being loaded; try again in a moment.")
            if self._state.chosen != model.path or self._state.info is None:
                raise UserError(self._state.problem or f"{model.name} could not be loaded.")

    def _load(self, model: LocalModel, choice: int) -> None:
        with self._one_load:                    # one after the other, so that the last choice is loaded last
            if choice != self._choices:
                return
            loaded = None
            try:
                info = self._session.load(model.path, self._settings.value.load_config())
                loaded = ModelState(chosen=model.path, info=info, notice=model.notice)
            except UserError as error:
                loaded = self._still(str(error))
            finally:
                self._tell_loaded(loaded or self._still(BUG.format(model.title)), choice)

    def _still(self, problem: str) -> ModelState:
        """What is there after a load that did not work: the model before it, if the session still has it."""
        still = self._session.info
        if still is None:
            return ModelState(problem=problem)
        path = Path(still.path)
        return ModelState(problem=problem, info=still, chosen=path, notice=library.notice_for(path))

    def _tell_loaded(self, loaded: ModelState, choice: int) -> None:
        with self._changed:
            if choice == self._choices:
                self._state = loaded
            is_too_late = bool(self._state.lent_to)
            self._changed.notify_all()
        if is_too_late:                         # the memory was lent a moment before the load began
            self._session.unload()

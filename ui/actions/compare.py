"""Who writes the two answers of a pair: the chosen model, and another beside it where both fit into memory."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models import library
from models.errors import UserError
from models.library import LocalModel
from models.opened import full_path
from runtime import fit
from runtime.config import LoadConfig
from runtime.session import Session
from ui.actions.asking import Asking
from ui.actions.model import CurrentModel, named
from ui.history import Message

WAIT_S = 3600.0                 # for the model's memory: the other answer of the pair may be a long one
IDLE_MINUTES = 2.0              # after which the second model gives its memory back
SIDES = ("a", "b")
Fits = Callable[[Path, LoadConfig], bool]


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Who answers: a session that holds, or is loading, the model."""
    session: Session
    notice: Callable[[], str]

    def signed(self, answer: Message) -> Message:
        """answer with the model's name, what must stand beside it, and the context it has."""
        info = self.session.info
        if info is None:
            return answer
        return replace(answer, model=named(info), notice=self.notice(), ctx_tokens=info.ctx_tokens)


def fits_beside(path: Path, config: LoadConfig) -> bool:
    """True if the model at path fits into the memory that is free now."""
    return fit.fit(path, config).is_fitting


def shuffled(first: Asking, second: Asking) -> tuple[Asking, Asking]:
    """The two in an order that nobody can know: each as often on the left."""
    return (first, second) if secrets.randbelow(2) else (second, first)


class Models:
    """The chosen model, and the second one of a pair. The second lives in a process of its own, for a while."""

    def __init__(self, model: CurrentModel, second: Session | None = None, fits: Fits = fits_beside):
        self._model, self._second, self._fits = model, second or Session(), fits
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def chosen(self, stop: threading.Event | None = None) -> Iterator[Answering]:
        """The model in use, whichever that is, kept for as long as the with block runs; stop: as in_use() has it."""
        with self._model.in_use(stop) as session:
            yield Answering(session=session, notice=lambda: self._model.state.notice)

    def prepare(self, names: Sequence[str]) -> bool:
        """True if the listed models of these names can answer at once; else they take turns, the chosen one first.

        Raises UserError for a model that is gone or can not be loaded.
        """
        chosen = self._model.state.chosen
        others = {model.path: model for model in map(self._model.find, names) if model.path != chosen}
        return not others or (len(others) == 1 and self._take_second(*others.values()))

    @contextlib.contextmanager
    def named(self, name: str) -> Iterator[Answering]:
        """The listed model called name, in its own process if it was prepared there, else loaded in place of others."""
        path = self._model.find(name).path
        info = self._second.info
        if path != self._model.state.chosen and info and Path(info.path) == full_path(path):
            yield Answering(session=self._second, notice=lambda: library.notice_for(path))
            return
        with self._model.using(name, WAIT_S) as session:
            yield Answering(session=session, notice=lambda: self._model.state.notice)

    @contextlib.contextmanager
    def back_afterwards(self) -> Iterator[None]:
        """Choose the model again that is chosen now, after those that took turns in the with block."""
        before = self.chosen_name()
        try:
            yield
        finally:
            if before and before != self.chosen_name():
                with contextlib.suppress(UserError):    # somebody uses another one now, or this one is gone
                    self._model.choose(before)

    def chosen_name(self) -> str:
        """The listed name of the model in use; "" for none."""
        chosen = self._model.state.chosen
        return next((one.name for one in self._model.listed() if one.path == chosen), "")

    def close(self) -> None:
        """End the second model's process."""
        self._second.close()

    def _take_second(self, model: LocalModel) -> bool:
        """Have the second session hold model. False where the memory has no room for it."""
        with self._lock:
            info = self._second.info
            if info is None or Path(info.path) != full_path(model.path) or self._second.pid is None:
                self._second.close()
                config = replace(self._model.load_config(), idle_minutes=IDLE_MINUTES)
                if not self._fits(model.path, config):
                    return False
                self._second.load(model.path, config)
            return True

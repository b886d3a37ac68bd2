"""The model that answers: which one is chosen, and its loading in the background."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from models import library
from models.errors import UserError
from models.library import LocalModel
from runtime.session import ModelInfo, Session


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """What the page shows of the model."""
    chosen: Path | None = None          # the file the list should point to
    info: ModelInfo | None = None       # what answers now; None while one is being loaded
    loading: str = ""                   # what is being loaded
    problem: str = ""                   # why the last choice did not work, one sentence
    notice: str = ""                    # a sentence that must stand beside this model's answers
    is_silent: bool = False             # its process lives, but has not been heard for some seconds

    @property
    def name(self) -> str:
        """Name and type, as the line under an answer has it: "Galen demo Q8_0"."""
        return f"{self.info.name} {self.info.description.split(' · ')[0]}" if self.info else ""


class CurrentModel:
    """The one model that the session holds, as the page knows it. Loads in a thread; the last choice wins."""

    def __init__(self, session: Session):
        self._session = session
        self._lock = threading.Lock()
        self._choices = 0
        self._state = ModelState()

    @property
    def state(self) -> ModelState:
        """The model as it is now."""
        state = self._state
        return replace(state, is_silent=True) if state.info and self._session.is_stuck else state

    def is_loaded(self, path: Path) -> bool:
        """True while the session itself holds path in a living process."""
        info = self._session.info
        return info is not None and Path(info.path) == path.resolve() and self._session.pid is not None

    def choose(self, model: LocalModel) -> None:
        """Begin to load model; state tells what became of it."""
        with self._lock:
            self._choices += 1
            self._state = ModelState(chosen=model.path, loading=model.title, notice=model.notice)
            threading.Thread(target=self._load, args=(model, self._choices), name="load", daemon=True).start()

    def refuse(self, problem: str) -> None:
        """Say why there is no model to begin with."""
        self._state = ModelState(problem=problem)

    def _load(self, model: LocalModel, choice: int) -> None:
        try:
            info = self._session.load(model.path)
            loaded = ModelState(chosen=model.path, info=info, notice=model.notice)
        except UserError as error:
            still = self._session.info
            loaded = ModelState(problem=str(error), info=still, chosen=Path(still.path) if still else None)
            loaded = replace(loaded, notice=library.notice_for(loaded.chosen)) if loaded.chosen else loaded
        with self._lock:
            if choice == self._choices:
                self._state = loaded


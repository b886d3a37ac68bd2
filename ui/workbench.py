"""What one running Galen owns: settings, model, conversations, jobs; handed to every page and endpoint."""

from pathlib import Path

from runtime.session import Session
from ui.actions.chat import Chat
from ui.actions.downloads import Downloads
from ui.actions.fits import Machine
from ui.actions.labellings import Labellings
from ui.actions.model import CurrentModel
from ui.actions.models import Models
from ui.actions.offers import Offers
from ui.actions.summaries import Summaries
from ui.awake import KeepAwake
from ui.chore import Chore
from ui.ending import Ending
from ui.history import History
from ui.idle import IdleLock
from ui.job_list import JobList
from ui.outside import Outside
from ui.settings import SettingsFile


class Workbench:
    """Made once at start, closed once at the end."""

    def __init__(self, home: Path, session: Session):
        """home: the folder of models, runs and conversations. Raises UserError for a damaged file in it."""
        self.home, self.session = home, session
        self.settings = SettingsFile(home)
        self.history = History(home)
        self.model = CurrentModel(session, self.settings)
        self.outside = Outside(home, self.settings)
        self.jobs = JobList(home, self.model)
        self.models = Models(home, self.settings, self.model, self.jobs)
        self.machine = Machine(self.model, self.settings)
        self.downloads = Downloads(self.jobs, self.outside, self.models)
        self.offers = Offers(self.outside, self.machine, here=self.models.listed)
        self.chat = Chat(self.model, self.history)
        self.summaries, self.labellings = Summaries(self.model), Labellings(self.model)
        self.chore = Chore()
        self.ending = Ending(self.jobs)
        self.awake = KeepAwake(self.settings, self.jobs)
        self._idle = IdleLock(self.settings, self._is_busy, self.lock)

    def touch(self) -> None:
        """A person did something: the idle lock begins to count anew."""
        self._idle.touch()

    def lock(self) -> None:
        """Stop what is being written, keep it, and close the conversations. UserError without a passphrase."""
        self.chat.stop_all()
        self.summaries.forget()
        self.labellings.forget()
        self.history.lock()

    def _is_busy(self) -> bool:
        is_working = self.chat.is_writing or self.summaries.state.is_running or self.labellings.state.is_running
        return is_working or not self.history.is_encrypted or self.history.is_locked

    def close(self) -> None:
        """Keep what runs, and end the model's process. Jobs go on by themselves."""
        self.chore.close()
        self._idle.close()
        self.awake.close()
        self.jobs.close()
        for one in (self.chat, self.summaries, self.labellings):
            one.close()
        self.machine.close()
        self.session.close()
        self.history.close()

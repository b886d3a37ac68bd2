"""The thread that starts waiting jobs, heavy ones one after the other, and settles who has the memory."""

import contextlib
import logging
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from models.errors import UserError
from ui import job_folder, job_memory, jobs
from ui.actions.model import Busy, CurrentModel, Place

log = logging.getLogger("galen")

LOOK_S, IDLE_S = 0.5, 5.0       # between two looks at what waits and what has ended; the second while there is nothing
LEND_WAIT_S = 0.5               # how long one look waits for an answer that is being written


class JobQueue:
    """Starts what waits in the folders that it is given. Several may look at the same folders: none starts twice."""

    def __init__(self, folders: Callable[[], Sequence[Path]], model: CurrentModel):
        """folders: those that wait or run, the oldest wish first. A job that has model's memory keeps it."""
        self._folders, self._model = folders, model
        self._children: dict[Path, subprocess.Popen] = {}
        self._unnoted: set[Path] = set()                # of those: what was started and not yet written down
        self._lending = contextlib.ExitStack()          # closed when the job that has the memory is over
        self._borrower: Path | None = None
        self._next: tuple[Path, Place] | None = None    # the job that waits for the memory, and its place in the line
        self._why: dict[Path, str] = {}
        self._woken, self._is_closed = threading.Event(), False
        borrower = next((folder for folder in folders() if job_folder.has_memory(folder)
                         and job_folder.is_alive(folder)), None)
        if borrower:                                    # before anybody loads a model
            self._lend(borrower)
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something was asked for, or stopped."""
        self._woken.set()

    def why(self, folder: Path) -> str:
        """Why a waiting job waits, as a sentence."""
        return self._why.get(folder, "Waits for its turn.")

    def close(self) -> None:
        """Start nothing more. Jobs that run go on, and what was lent stays lent."""
        self._is_closed = True
        self._woken.set()
        self._thread.join()
        self._leave_line()

    def _run(self) -> None:
        while not self._is_closed:
            is_idle = False
            try:
                is_idle = not self._look()
            except (OSError, UserError) as error:       # a full disk, a folder deleted meanwhile: the next look
                log.warning("a look at the jobs failed: %s", type(error).__name__)      # its words hold names of runs
            self._woken.wait(IDLE_S if is_idle else LOOK_S)
            self._woken.clear()

    def _look(self) -> bool:
        """Do what is to be done now. False if nothing waits or runs."""
        self._note_ends()
        folders = list(self._folders())
        for folder in folders:
            if job_folder.is_lost(folder):
                job_folder.ask_again(folder)
        waiting = [folder for folder in folders if job_folder.is_waiting(folder)]
        heavy = [folder for folder in waiting if job_folder.asked_of(folder).is_heavy]
        for folder in waiting:
            if folder not in heavy:
                self._start(folder)
        running = next((one for one in folders if one not in waiting and job_folder.asked_of(one).is_heavy
                        and job_folder.is_alive(one)), None)
        if self._borrower and not self._is_computing(self._borrower):
            self._take_back()
        self._why = {folder: f"Waits for {job_folder.asked_of(running or heavy[0]).title}." for folder in heavy
                     if folder != running}
        if self._next and (running or self._next[0] not in heavy[:1]):          # taken out of the queue
            self._leave_line()
        if heavy and not running:
            self._start_heavy(heavy[0])
        return bool(folders or self._children or self._borrower)

    def _is_computing(self, folder: Path) -> bool:
        child = self._children.get(folder)              # even if its folder is gone
        return (child is not None and child.poll() is None) or job_folder.is_alive(folder)

    def _note_ends(self) -> None:
        for folder, child in list(self._children.items()):
            try:
                self._note(folder, child)
            except (OSError, UserError) as error:       # a full disk: again at the next look
                log.warning("how a job goes could not be noted: %s", type(error).__name__)

    def _note(self, folder: Path, child: subprocess.Popen) -> None:
        """Write down that a job of this queue was started, and how it ended."""
        status = child.poll()
        if not folder.is_dir():                         # deleted by hand: nobody could stop it any more
            child.kill()
        elif folder in self._unnoted:
            job_folder.note_started(folder, child.pid, has_memory=self._borrower == folder)
            self._unnoted.discard(folder)
        if status is not None:
            if folder.is_dir():
                job_folder.note_exit(folder, child.pid, status)
            del self._children[folder]

    def _start_heavy(self, folder: Path) -> None:
        """Start it beside the model if the memory holds both, else once the model's is free."""
        if self._borrower is None and self._wants_memory(folder):
            try:
                self._lend(folder)
            except Busy:
                self._why[folder] = "Waits until the answer that is being written has ended, to have its memory."
                return
        self._leave_line()                              # it fits beside the model now
        if not self._start(folder) and self._borrower == folder:
            self._take_back()

    def _wants_memory(self, folder: Path) -> bool:
        return job_memory.needs_gpu(folder) or job_memory.needed_mb(folder) > job_memory.free_mb(self._model.pid)

    def _lend(self, folder: Path) -> None:
        title = job_folder.asked_of(folder).title
        if self._next is None:                          # and until it has its turn, nobody passes
            self._next = folder, self._model.line_up(title)
        self._lending.enter_context(self._model.lent(title, LEND_WAIT_S, self._next[1]))
        self._next, self._borrower = None, folder

    def _leave_line(self) -> None:
        if self._next:
            self._model.leave(self._next[1])
            self._next = None

    def _take_back(self) -> None:
        self._borrower = None
        self._lending.close()

    def _start(self, folder: Path) -> bool:
        """False if somebody else has started it, or taken it out of the queue."""
        if self._is_closed or not job_folder.claim(folder):
            return False
        try:
            child = self._children[folder] = jobs.launch(job_folder.asked_of(folder).module, folder)
        except OSError as error:
            job_folder.note_not_started(folder, "error", f"The job could not be started ({error}); free some memory "
                                                         "or disk, and start it again.")
            return False
        except UserError as error:              # a restored backup, or another version, named what is not here
            job_folder.note_not_started(folder, "error", str(error))
            return False
        self._unnoted.add(folder)
        self._note(folder, child)
        return True

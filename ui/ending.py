"""How Galen ends when a person asks for it: at once, or with the jobs that it started."""

import threading
import time

from models.errors import UserError
from ui import job_folder
from ui.job_list import JobList, JobView

STOP_WAIT_S = 30.0              # how long jobs may take to keep what they have, before they are ended
LOOK_S = 0.1
WINDOW_LOOK_S = 1.0             # how often it is asked what runs, once the window is closed
PAGE_GONE_S = 90.0              # a page in a background tab asks once a minute at the least


class Ending:
    """Whether Galen is to end, and what there is to end before. May be used from several threads."""

    def __init__(self, jobs: JobList, stop_wait_s: float = STOP_WAIT_S, page_gone_s: float = PAGE_GONE_S,
                 look_s: float = WINDOW_LOOK_S):
        """stop_wait_s: the patience with jobs; page_gone_s: a page that has not asked for so long is closed."""
        self._jobs, self._stop_wait_s, self._page_gone_s, self._look_s = jobs, stop_wait_s, page_gone_s, look_s
        self._asked, self._lock = threading.Event(), threading.Lock()
        self._stopping: threading.Thread | None = None
        self._page_seen = 0.0           # time.monotonic() of the last question of any page
        self._window_look = 0.0
        self._waits_for_jobs = False    # since the window was closed

    @property
    def is_asked(self) -> bool:
        """True once the server is to end."""
        return self._asked.is_set()

    def open_jobs(self) -> list[JobView]:
        """What this Galen has started, or will start; what a command line follows is none of it."""
        return [view for view in self._jobs.all() if not view.is_over and job_folder.asked_of(view.folder).module]

    def ask(self) -> None:
        """End Galen. Jobs that run go on by themselves, those that wait are started by the next start."""
        self._asked.set()

    def ask_with_jobs(self) -> None:
        """End the jobs first: asked to stop, each keeps what it has; what does not obey is ended."""
        with self._lock:
            if self._stopping is None:
                self._stopping = threading.Thread(target=self._stop_jobs, name="ending", daemon=True)
                self._stopping.start()

    def _stop_jobs(self) -> None:
        try:
            self._jobs.close()          # nothing that waits takes the place of what ends
            views = self.open_jobs()
            for view in views:
                try:
                    self._jobs.stop(view.folder)
                except (OSError, UserError):
                    continue            # a full disk: it can not be told, and is ended below
            until = time.monotonic() + self._stop_wait_s
            while any(job_folder.is_alive(view.folder) for view in views) and time.monotonic() < until:
                time.sleep(LOOK_S)
            for view in views:
                job_folder.kill(view.folder)
        finally:
            self._asked.set()

    def page_looked(self) -> None:
        """A page is open somewhere."""
        self._page_seen = time.monotonic()

    def window_is_closed(self) -> list[JobView]:
        """End Galen, as its window is gone; what keeps it from that is returned, and waited for.

        To be called again and again. Jobs that waited would not start without Galen, so it stays until they are
        over; and then as long as a page is open in a browser.
        """
        if time.monotonic() - self._window_look < self._look_s:
            return []
        self._window_look = time.monotonic()
        views = self.open_jobs()
        if views:
            news, self._waits_for_jobs = not self._waits_for_jobs, True
            return views if news else []
        if not self._waits_for_jobs or time.monotonic() - self._page_seen > self._page_gone_s:
            self._asked.set()
        return []

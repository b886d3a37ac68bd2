"""The machine kept awake while a job runs, where the system can be asked."""

import threading
from importlib.util import find_spec

from ui.job_list import JobList
from ui.settings import SettingsFile

LOOK_S = 5.0
MISSING = "wakepy is not installed here, so the machine can not be kept awake; it comes with the training set."
REFUSED = "This system can not be asked to stay awake; see to it that it does not sleep while a job runs."


class KeepAwake:
    """A thread that asks the system not to sleep as long as a job runs and the setting wants it."""

    def __init__(self, settings: SettingsFile, jobs: JobList, look_s: float = LOOK_S):
        """look_s: how often it is asked whether a job runs."""
        self._look_s = look_s
        self._settings, self._jobs = settings, jobs
        self._problem = ""
        self._has_ended = threading.Event()
        threading.Thread(target=self._watch, name="awake", daemon=True).start()

    @property
    def problem(self) -> str:
        """Why it does not work here, one sentence; "" as far as is known."""
        return self._problem or ("" if find_spec("wakepy") else MISSING)

    def close(self) -> None:
        """Let the machine sleep."""
        self._has_ended.set()

    def _is_wanted(self) -> bool:
        return self._settings.value.keep_awake and any(job.state == "running" for job in self._jobs.all())

    def _watch(self) -> None:
        while not self._has_ended.wait(self._look_s):
            if find_spec("wakepy") and self._is_wanted():
                self._hold()

    def _hold(self) -> None:
        from wakepy import keep
        with keep.running(on_fail="pass") as mode:
            self._problem = "" if mode.active else REFUSED
            while self._is_wanted() and not self._has_ended.wait(self._look_s):
                pass

"""A grammar tried in a process of its own, with a limit on time and memory, before an answer may follow it.

`python -m runtime.grammar model.gguf` is that process: a line with a grammar in, a line with a sentence or "" out.
"""

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, BinaryIO

import psutil

from models import outside
from models.errors import UserError
from runtime import child

READY_S = 60.0                                  # to read the vocabulary: a cold disk, a large library
TRIAL_S = 3.0                                   # of the helper's own computing: others may keep the cores busy
TRIAL_MOST_S = 20.0                             # by the clock
LOOK_S = 0.1                                    # between two looks at what it has computed
TASTE_S = 1.0                                   # of writing by the grammar; then it is known to work
STEP_S = 1.0                                    # of one token: every other answer waits for it
TASTE_TOKENS = 50
MORE_BYTES = 1 << 30                            # beside what the helper has once it is ready
REMEMBERED = 64
ENDLESS_WORDS = ("The grammar or JSON schema takes too long or too much memory to follow; use fewer "
                 "repetitions in one another and fewer ways to write the same text.")


class GrammarTrial:
    """Tries grammars in a helper process that stays for the next one and is replaced when one ends it."""

    def __init__(self, path: Path):
        """path: the GGUF whose vocabulary the answers are written in. Nothing starts before the first check."""
        self._path = path.absolute()
        self._helper: subprocess.Popen[bytes] | None = None
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._found: dict[str, str] = {}        # grammar -> what is wrong with it, or ""; the oldest goes first
        self._lock = threading.Lock()

    def check(self, text: str) -> None:
        """Return if text ("": no grammar) can be followed, TRIAL_MOST_S after the helper is ready at the latest.

        Raises UserError if it does not parse, or takes too long or too much memory.
        """
        if not text:
            return
        with self._lock:
            if text not in self._found:
                found = self._tried(text)
                if len(self._found) >= REMEMBERED:
                    self._found.pop(next(iter(self._found)))
                self._found[text] = found
        if self._found.get(text):
            raise UserError(self._found[text])

    def close(self) -> None:
        """End the helper; a check that waits for it is told that the grammar can not be followed."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.wait()

    def _tried(self, text: str) -> str:
        helper = self._ready_helper()
        with contextlib.suppress(psutil.Error, OSError):        # it has just died
            computed, until = _computed_s(helper), time.monotonic() + TRIAL_MOST_S
            self._send(helper, text)
            while time.monotonic() < until and _computed_s(helper) - computed < TRIAL_S:
                with contextlib.suppress(queue.Empty):
                    return self._said.get(timeout=LOOK_S)
        self.close()
        return ENDLESS_WORDS

    def _ready_helper(self) -> "subprocess.Popen[bytes]":
        if self._helper is not None and self._helper.poll() is None:
            return self._helper
        self._helper = subprocess.Popen(child.command("runtime.grammar", str(self._path)), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **child.options())
        self._said = queue.SimpleQueue()
        threading.Thread(target=_hear, args=(self._helper.stdout, self._said), daemon=True).start()
        try:
            wrong = self._said.get(timeout=READY_S)
        except queue.Empty:
            wrong = "it did not start"
        if wrong:
            self.close()
            raise UserError(f"The grammar can not be tried before it is used: {wrong}")
        return self._helper

    def _send(self, helper: "subprocess.Popen[bytes]", text: str) -> None:
        assert helper.stdin is not None
        helper.stdin.write(json.dumps(text).encode() + b"\n")
        helper.stdin.flush()


def _computed_s(helper: "subprocess.Popen[bytes]") -> float:
    times = psutil.Process(helper.pid).cpu_times()
    return times.user + times.system


def _hear(answers: IO[bytes], said: "queue.SimpleQueue[str]") -> None:
    for line in answers:
        said.put(json.loads(line))
    said.put(ENDLESS_WORDS)                     # its end


# the helper

def wrong_with(model: Any, text: str) -> str:
    """What is wrong with the grammar for this runtime.llama.Model, or "". Writes some random text by it."""
    import numpy as np

    from runtime.config import SampleConfig
    from runtime.sampler import Candidates, lib, made_grammar
    try:
        grammar = made_grammar(model, SampleConfig(grammar=text))
    except UserError as error:
        return str(error)
    start, chance = time.monotonic(), random.Random(0)
    for _ in range(TASTE_TOKENS):
        candidates = Candidates(np.zeros(model.n_vocab, np.float32))
        before = time.thread_time()
        candidates.restrict(grammar)
        if time.thread_time() - before > STEP_S:
            return ENDLESS_WORDS
        left = [token for token in candidates.left().tolist() if not model.is_eog(token)]
        if not left or time.monotonic() - start > TASTE_S:
            break
        lib.llama_sampler_accept(grammar, chance.choice(left))
    lib.llama_sampler_free(grammar)
    return ""


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource
        used = 4 << 30                          # a guess, where there is no /proc
        if Path("/proc/self/statm").exists():
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        try:
            resource.setrlimit(resource.RLIMIT_AS, (used + MORE_BYTES, used + MORE_BYTES))
        except (ValueError, OSError):           # macOS has the limit and may refuse to set it
            return


def _read(requests: BinaryIO, texts: "queue.SimpleQueue[str]") -> None:
    for line in requests:
        texts.put(json.loads(line))
    os._exit(0)                                 # the parent is gone; native code may still be running


def main() -> None:
    """Keep stdout for answers alone: whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    texts: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, texts), daemon=True).start()
    from runtime.config import LoadConfig
    from runtime.llama import Model

    def tell(what: str) -> None:
        answers.write(json.dumps(what).encode() + b"\n")
        answers.flush()

    try:
        model = Model(Path(sys.argv[1]), LoadConfig(device="cpu", threads=1), vocab_only=True)
        wrong_with(model, 'root ::= "a"')       # what is imported late is imported now
    except UserError as error:
        tell(str(error))
        return
    _limit_memory()
    tell("")
    while True:
        tell(wrong_with(model, texts.get()))


if __name__ == "__main__":
    outside.watch()
    main()

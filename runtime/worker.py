"""The child process that owns one model: reads messages on stdin, answers on stdout.

`python -m runtime.worker`. It ends when its stdin does, so no worker outlives its parent. One thread reads,
one turns text into ids, one says that the process lives, the main one computes.
"""

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO

from models import knobs, outside
from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.messages import (
    Alive,
    Cancel,
    Chat,
    Complete,
    CompleteMany,
    Embed,
    Embedded,
    Failed,
    Load,
    Score,
    ScoreChats,
    Tokenize,
    Tokens,
    from_line,
    to_line,
    unpacked,
)
from tasks import prompt
from tasks.window import Window

ALIVE_S = 0.5                                   # between two signs of life
QUIET_S = 1.0
LONGEST_TASK_S = 2.0                            # outside llama.cpp's batches: longer, and it is stuck
LONGEST_TEXT_S = 15.0
Task = Callable[[], None]


class Worker:
    """Takes requests as they come and computes for all of them in turn."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self._requests, self._answers = requests, answers
        self._texts: queue.SimpleQueue[Any] = queue.SimpleQueue()           # messages whose text must become ids
        self._tasks: queue.SimpleQueue[tuple[int, Task]] = queue.SimpleQueue()      # for the main thread
        self._service: Any = None               # runtime.service.Service
        self._quiet_s = QUIET_S                 # how long nothing must be asked before threads are measured
        self._grammars: Any = None              # runtime.grammar.GrammarTrial, for the preparing thread
        self._window = Window()                 # used by the preparing thread alone
        self._began = self._prepared = 0.0      # time.monotonic() of the running task, and of the text being prepared
        self._told: list[bytes] = []            # lines of this step
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Answer requests until stdin ends."""
        try:
            from runtime.llama import OutOfMemory  # while the session still looks at the file
        except UserError as error:              # there is no library to load
            self._tell(Failed(-1, str(error), True))
            self._write()
            return
        self._out_of_memory = OutOfMemory
        for work in (self._read, self._prepare, self._live):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        from runtime.service import Service  # while llama.cpp loads the weights already
        self._service_class = Service
        while True:
            service = self._service
            is_busy = service is not None and service.has_work
            can_tune = service is not None and service.can_tune and not is_busy
            try:
                number, task = self._tasks.get(block=not is_busy, timeout=self._quiet_s if can_tune else None)
            except queue.Empty:
                self._quiet_s = 0.0
                self._do(-1, service.step if is_busy else service.tune_step)
                continue
            self._quiet_s = QUIET_S
            self._do(number, task)              # all that have come join the next batch

    def _do(self, number: int, task: Task) -> None:
        self._began = time.monotonic()
        try:
            task()
        except UserError as error:
            self._tell(Failed(number, str(error), True, isinstance(error, self._out_of_memory)))
        except Exception as error:              # process boundary: told to the parent, then the process ends
            self._tell(Failed(number, f"{type(error).__name__}: {error}", False))
            self._write()
            raise
        finally:
            self._began = 0.0
        self._write()

    # the other threads

    def _read(self) -> None:
        for line in self._requests:
            message = from_line(line)
            if isinstance(message, Cancel):
                if self._service is not None:       # nothing is asked before it has loaded
                    self._service.cancel(message.id)
            elif isinstance(message, Load):
                self._begin_load(message)
            else:
                self._texts.put(message)
        os._exit(0)                             # the parent is gone; native code may still be running

    def _prepare(self) -> None:
        """Templates and tokenizers take their time on a long text: the streams do not wait for it."""
        while True:
            message = self._texts.get()
            self._prepared = time.monotonic()
            try:
                task = self._task(message)
            except UserError as error:
                failed = Failed(message.id, str(error), True)
                self._tasks.put((message.id, partial(self._tell, failed)))
            else:
                self._tasks.put((message.id, task))
            self._prepared = 0.0

    def _live(self) -> None:
        wait = threading.Event()
        while not wait.wait(ALIVE_S):
            if self._is_stuck():
                continue                        # the session shows it, and ends us
            with self._lock:
                self._answers.write(to_line(Alive(self._service.threads if self._service else 0)))
                self._answers.flush()

    def _is_stuck(self) -> bool:
        """True when something other than computing a batch or loading a model takes too long: it may never end."""
        now, service = time.monotonic(), self._service
        is_long = self._began and now - self._began > LONGEST_TASK_S
        if is_long and service is not None and not service.is_computing:
            return True
        return bool(self._prepared and now - self._prepared > LONGEST_TEXT_S)

    # what a message asks for, as a task for the main thread

    def _task(self, message: Any) -> Task:
        if isinstance(message, Chat | Complete):
            return self._answer_task(message)
        if isinstance(message, CompleteMany):
            return self._group_task(message)
        if isinstance(message, Score):
            return self._score_task(message.id, [tuple(item) for item in message.items], message.adapter)
        if isinstance(message, ScoreChats):
            return self._score_task(message.id, self._chat_items(message), message.adapter)
        if isinstance(message, Tokenize):
            tokens = Tokens(message.id, self._ids(message.what))
            return lambda: self._tell(tokens)
        assert isinstance(message, Embed)
        return lambda: self._embed(message)

    def _ids(self, what: str | list[dict[str, Any]] | None) -> list[int]:
        model = self._service.model
        if what is None:
            return [prompt.terminator(model)]
        if isinstance(what, str):
            return list(model.encode(what, control=False))
        return prompt.prompt_ids(self._received(what)[0], model)

    def _received(self, messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[int, Any]]:
        """Messages with their pictures made ready, and the pictures by their ids."""
        from runtime.picture import received
        eyes = self._service.eyes
        return received(messages, eyes.projector) if eyes else (messages, {})

    def _answer_task(self, message: Chat | Complete) -> Task:
        from runtime.sampler import grammar_text
        from runtime.scheduler import Request
        service, sample = self._service, knobs.from_json(SampleConfig, message.sample)
        self._grammars.check(grammar_text(sample))              # in a process of its own, before ours meets it
        dropped, pictures = 0, dict[int, Any]()
        if isinstance(message, Chat):
            room = min(sample.max_tokens, service.ctx_tokens // 4)
            messages, pictures = self._received(message.messages)
            ids, dropped = self._window.fit(messages, service.model, service.ctx_tokens - room, service.spoken)
        elif isinstance(message.prompt, str):
            ids = service.model.bos_ids() + service.model.encode(message.prompt, control=False)
        else:
            ids = _known_ids(message.prompt, service.model.n_vocab)
        request = Request(number=message.id, ids=ids, sample=sample, dropped_turns=dropped, pictures=pictures)
        return lambda: service.submit(request, message.adapter)

    def _group_task(self, message: CompleteMany) -> Task:
        from runtime.group import Group
        from runtime.sampler import grammar_text
        from runtime.scheduler import Request
        sample, n_vocab = knobs.from_json(SampleConfig, message.sample), self._service.model.n_vocab
        self._grammars.check(grammar_text(sample))
        prompts = [_known_ids(ids, n_vocab) for ids in message.prompts]
        group = Group(message.id, [Request(number=message.id, ids=ids, sample=sample, is_read=False)
                                   for ids in prompts])
        return lambda: self._service.submit_group(group, message.adapter)

    def _score_task(self, number: int, items: list[Any], adapter: str) -> Task:
        from runtime.score import Item
        n_vocab = self._service.model.n_vocab
        known = [Item(_known_ids(ids, n_vocab), [_known_ids(one, n_vocab) for one in candidates])
                 for ids, candidates in items]
        return lambda: self._service.score(number, known, adapter)

    def _chat_items(self, message: ScoreChats) -> list[tuple[list[int], list[list[int]]]]:
        model = self._service.model
        end = [prompt.terminator(model)] if message.is_whole else []
        candidates = [model.encode(answer, control=False) + end for answer in message.answers]
        return [(prompt.prompt_ids(messages, model), candidates) for messages in message.conversations]

    def _embed(self, message: Embed) -> None:
        self._tell(Embedded(message.id, list(self._service.embed(message.texts))))

    def _begin_load(self, message: Load) -> None:
        """Let llama.cpp load the weights beside what the main thread is still importing."""
        from runtime.llama import Model
        config, header = knobs.from_json(LoadConfig, message.config), unpacked(message.header)
        model: Future[Any] = Future()

        def load() -> None:
            try:
                model.set_result(Model(header.path, config, header=header))
            except UserError as error:
                model.set_exception(error)

        def serve() -> None:
            from runtime.grammar import GrammarTrial
            self._grammars = GrammarTrial(header.path)
            self._service = self._service_class(model.result(), config, self._tell)
            self._tell(self._service.loaded())

        threading.Thread(target=load, name="load", daemon=True).start()
        self._tasks.put((-1, serve))

    # the main thread

    def _tell(self, message: Any) -> None:
        self._told.append(to_line(message))

    def _write(self) -> None:
        if self._told:
            with self._lock:
                self._answers.write(b"".join(self._told))
                self._answers.flush()
            self._told.clear()


def _known_ids(ids: list[int], n_vocab: int) -> list[int]:
    for one in ids:
        if type(one) is not int or not 0 <= one < n_vocab:
            raise UserError(f"There is no token {one!r} in this model; ids go from 0 to {n_vocab - 1:,}.")
    return ids


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback and be gone: the other threads hold stdin and can not be joined."""
    if kind is SystemExit:
        return
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Keep stdout for messages alone: whatever else prints goes to stderr."""
    sys.excepthook = _end
    threading.excepthook = lambda args: _end(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    outside.watch()
    Worker(sys.stdin.buffer, answers).serve()


if __name__ == "__main__":
    main()

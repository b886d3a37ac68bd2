"""The parent's handle on a model: load it, stream answers, score, embed; it outlives the worker's death."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from models import knobs, runs
from models.errors import UserError
from models.header import Header
from models.opened import full_path, open_header
from models.projector import projector_for, projectors_beside
from runtime.config import LoadConfig, SampleConfig
from runtime.device import machine
from runtime.fit import fitted
from runtime.messages import (
    Cancel,
    Chat,
    Complete,
    Completed,
    CompleteMany,
    Embed,
    Embedded,
    End,
    Failed,
    Load,
    Loaded,
    Piece,
    Score,
    ScoreChats,
    Scored,
    Tokenize,
    Tokens,
    packed,
)
from runtime.picture import sent
from runtime.pool import cache_bytes_per_token, conversation_tokens
from runtime.process import LOAD_NUMBER, WorkerDied, WorkerProcess

__all__ = ["ModelInfo", "Session", "Stream", "WorkerDied"]

ModelInfo = Loaded
PLENTY, SPARE_MB = 0.7, 500                     # of the free memory; Python, the libraries and the working memory
BLIND = ("{} reads text only: it has no projector for pictures. Put the mmproj file that belongs to the model beside "
         "it, or name it as the projector, and load the model again.")
CLOSED = object()                               # in an inbox: the reader's stream was closed
DEFAULT_LOAD, DEFAULT_SAMPLE = LoadConfig(), SampleConfig()
Messages = Sequence[dict[str, Any]]
_States = list[tuple[int, int]]                 # of files: size and time of change


class _TooMuch(UserError):
    """The memory does not hold what was asked for."""


class Stream:
    """One answer on its way: iterate once for pieces of text; end holds the figures once it is exhausted.

    Leaving it as a context manager cancels what has not ended: for a client that may go away.
    """

    def __init__(self, number: int, worker: WorkerProcess, inbox: "queue.SimpleQueue[Any]"):
        self._number, self._worker, self._inbox = number, worker, inbox
        self._is_over = False
        self.end: End | None = None
        self.logprobs: list[dict[str, Any]] = []        # of every token so far, if SampleConfig.logprobs asks

    def __iter__(self) -> Iterator[str]:
        """Pieces of text, whole characters. Raises WorkerDied, or UserError for a request that can not be served."""
        try:
            while not self._is_over:
                message = self._inbox.get()
                if message is CLOSED:
                    return
                if isinstance(message, Piece):
                    self.logprobs += message.logprobs
                    if message.text:
                        yield message.text
                elif isinstance(message, End):
                    self.end = message
                    self._is_over = True
                else:
                    raise _as_error(message)
        finally:
            if not self._is_over:               # left early, or failed: nobody reads on
                self.cancel()
            self._is_over = True
            self._worker.forget(self._number)

    def cancel(self) -> None:
        """Ask the worker to end this answer; it obeys before its next token. May be called from any thread."""
        self._worker.send(Cancel(self._number), is_late_ok=True)

    def close(self) -> None:
        """Cancel what has not ended, and wait for nothing."""
        if not self._is_over:
            self._is_over = True
            self.cancel()
            self._worker.forget(self._number)
            self._inbox.put(CLOSED)             # for a thread that is reading it

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class Session:
    """One model at a time in one worker process. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._worker: WorkerProcess | None = None
        self._starting: WorkerProcess | None = None     # which a load waits for, with the lock held
        self._asked: tuple[Path, LoadConfig, _States] | None = None
        self._wanted: tuple[Path, LoadConfig] | None = None     # the same with what was chosen
        self.info: ModelInfo | None = None      # of the model that is loaded, or will be at the next request

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        worker = self._worker
        return worker.pid if worker and worker.is_alive else None

    @property
    def is_stuck(self) -> bool:
        """True while the worker lives but has not been heard for 2 seconds; after 10 it is ended."""
        worker = self._worker
        return bool(worker and worker.is_stuck)

    def load(self, path: Path, config: LoadConfig = DEFAULT_LOAD) -> ModelInfo:
        """Have path loaded with config; returns at once if it already is.

        Raises UserError if the file can not be used. A file that is broken on the face of it leaves the model
        that was loaded before; any other gives its memory back first.
        """
        path = full_path(path)
        with self._lock:
            asked = path, config, _states(path, config)
            if self._asked == asked and self.info and self.pid is not None:
                return self.info
            worker = WorkerProcess(config.idle_minutes * 60)        # it starts while the header is read here
            try:
                header = open_header(path)      # refuses a broken file before native code sees it
                projector = projector_for(header, config.projector)
                self._close()
                info = self._load(worker, header, replace(config, projector=str(projector or "")))
            except BaseException:
                worker.kill()
                raise
            self._asked = asked
            return info

    def _load(self, worker: WorkerProcess, header: Header, config: LoadConfig) -> ModelInfo:
        """Load as config says where the memory is plenty; else ask llama.cpp first how much of it fits."""
        context = conversation_tokens(config.ctx_tokens, header.ctx_tokens)
        seeing = Path(config.projector).stat().st_size if config.projector else 0      # loaded with the first picture
        likely = header.bytes + seeing + cache_bytes_per_token(header) * context * (1 + config.exact)
        try:
            if likely / 1e6 + SPARE_MB > PLENTY * machine().free_mb:
                config = fitted(header.path, config, machine().free_mb - seeing // 10**6)
            return self._start(worker, header, config)
        except _TooMuch as error:               # a full GPU, or somebody else was quicker
            chosen = fitted(header.path, config, machine().free_mb - seeing // 10**6)
            if (chosen.gpu_layers, chosen.ctx_tokens) == (config.gpu_layers, context):
                raise UserError(str(error)) from None
            return self._start(WorkerProcess(config.idle_minutes * 60), header, chosen)

    def _start(self, worker: WorkerProcess, header: Header, config: LoadConfig) -> ModelInfo:
        inbox = worker.inbox(LOAD_NUMBER)
        self._starting = worker
        try:
            worker.send(Load(packed(header), knobs.to_json(config)))
            answer = inbox.get()
        except BaseException:                   # Ctrl-C: nobody would wait for this one any more
            worker.kill()
            raise
        finally:
            self._starting = None
        worker.forget(LOAD_NUMBER)
        if not isinstance(answer, Loaded):
            worker.kill()
            if isinstance(answer, Failed) and answer.is_memory:
                raise _TooMuch(answer.text)
            if isinstance(answer, WorkerDied):
                raise UserError(f"llama.cpp ended while it loaded {header.path.name}: the file is damaged, or the "
                                f"memory does not hold it. ({answer})") from answer
            raise _as_error(answer)
        self._worker, self._wanted, self.info = worker, (header.path, config), answer
        return answer

    def chat(self, messages: Messages, sample: SampleConfig = DEFAULT_SAMPLE, adapter: Path | None = None) -> Stream:
        """Start an answer to messages; a worker that died or was unloaded is started anew first.

        A message may hold parts: {"type": "text", "text": ...} and, for a model with a projector,
        {"type": "image", "data": bytes of a PNG or JPEG}.
        adapter: a GGUF LoRA adapter for this model, switched on for this answer alone.
        Raises UserError if no model is loaded, or the loaded one has no chat template or can not see a picture.
        """
        checked = self._checked(messages)
        return self._stream(lambda number: Chat(number, checked, knobs.to_json(sample), _adapter_path(adapter)))

    def complete(self, prompt: str | Sequence[int], sample: SampleConfig = DEFAULT_SAMPLE,
                 adapter: Path | None = None) -> Stream:
        """Start to continue prompt as it is, without a template: text (after one BOS), or ids."""
        whole = prompt if isinstance(prompt, str) else list(prompt)
        return self._stream(lambda number: Complete(number, whole, knobs.to_json(sample), _adapter_path(adapter)))

    def complete_many(self, prompts: Sequence[Sequence[int]], sample: SampleConfig = DEFAULT_SAMPLE,
                      adapter: Path | None = None) -> list[tuple[str, int, str]]:
        """Continue prompts (ids) together: text, tokens generated and why it ended ("stop", "length") of each.

        Alone on the model, the answers of one call repeat exactly (temperature 0, or a seed). Raises UserError if one
        of the prompts can not be served; then none is.
        """
        whole = [list(ids) for ids in prompts]
        if not whole:
            return []
        return [(text, tokens, reason) for text, tokens, reason in self._ask(
            lambda number: CompleteMany(number, whole, knobs.to_json(sample), _adapter_path(adapter)),
            Completed).answers]

    def score(self, items: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]],
              adapter: Path | None = None) -> list[list[list[float]]]:
        """log p of each token of each candidate after its prompt, in nats: one list an item, a candidate, a token.

        items: (prompt ids, candidates as ids). What the prompts begin with in common is computed once. The
        figures of one call, alone on the model, repeat exactly.
        """
        sent = [(list(ids), [list(one) for one in candidates]) for ids, candidates in items]
        return self._ask(lambda number: Score(number, sent, _adapter_path(adapter)), Scored).scores

    def score_chats(self, conversations: Sequence[Messages], answers: Sequence[str], is_whole: bool = False,
                    adapter: Path | None = None) -> list[list[list[float]]]:
        """The same for answers (plain text) to conversations; is_whole: with the token that ends the turn."""
        self._refuse_without_template()
        texts = [sent(messages, "Scoring reads text only; leave the pictures out.") for messages in conversations]
        return self._ask(lambda number: ScoreChats(number, texts, list(answers), is_whole, _adapter_path(adapter)),
                         Scored).scores

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of length 1 for each text. UserError if the model offers none, or a text is empty or too long."""
        return self._ask(lambda number: Embed(number, list(texts)), Embedded).vectors

    def prompt_ids(self, messages: Messages) -> list[int]:
        """The ids that an answer to messages would be given, before anything is left out; a picture's are below 0."""
        checked = self._checked(messages)
        return self._ask(lambda number: Tokenize(number, checked), Tokens).ids

    def encode(self, text: str) -> list[int]:
        """The ids of plain text, without BOS."""
        return self._ask(lambda number: Tokenize(number, text), Tokens).ids

    def terminator(self) -> int:
        """The id that ends a turn of the model. UserError if the file has no chat template."""
        self._refuse_without_template()
        ids: list[int] = self._ask(lambda number: Tokenize(number, None), Tokens).ids
        return ids[0]

    def unload(self) -> None:
        """Give the model's memory back to the system; the next request loads it again. Ends a load that runs."""
        self._end_starting()
        with self._lock:
            self._unload()

    def close(self) -> None:
        """End the worker and forget the model. Ends a load that runs. The session can be used again."""
        self._end_starting()
        with self._lock:
            self._close()

    def _end_starting(self) -> None:
        starting = self._starting
        if starting:
            starting.kill()

    def _unload(self) -> None:
        if self._worker:
            self._worker.end()
        self._worker = None

    def _close(self) -> None:
        self._unload()
        self._asked, self._wanted, self.info = None, None, None

    def _checked(self, messages: Messages) -> list[dict[str, Any]]:
        self._refuse_without_template()
        info = self.info
        return sent(messages, "" if info is None or info.projector else BLIND.format(Path(info.path).name))

    def _refuse_without_template(self) -> None:
        info = self.info
        if info and not info.can_chat:
            raise UserError(f"{Path(info.path).name} has no chat template, so it is not known how to talk "
                            "to it; choose an instruction-tuned model.")

    def _stream(self, message: Callable[[int], Any]) -> Stream:
        return Stream(*self._send(message))

    def _ask(self, message: Callable[[int], Any], kind: type[Any]) -> Any:
        """The one answer to a request, of that kind."""
        number, worker, inbox = self._send(message)
        answer: Any = None
        try:
            answer = inbox.get()
        finally:
            if answer is None:                  # Ctrl-C: nobody waits for it any more
                worker.send(Cancel(number), is_late_ok=True)
            worker.forget(number)
        if not isinstance(answer, kind):
            raise _as_error(answer)
        return answer

    def _send(self, message: Callable[[int], Any]) -> "tuple[int, WorkerProcess, queue.SimpleQueue[Any]]":
        with self._lock:
            number = next(self._numbers)
            while True:
                worker = self._ready()
                inbox = worker.inbox(number)
                if not worker.is_ending:
                    break
                worker.forget(number)           # it was idle too long just now
        try:
            worker.send(message(number))
        except BaseException:                   # a message that is no JSON, or Ctrl-C
            worker.forget(number)
            raise
        return number, worker, inbox

    def _ready(self) -> WorkerProcess:
        if self._wanted is None:
            raise UserError("No model is loaded; choose one first.")
        if self._worker is None or not self._worker.is_alive:
            self._unload()
            path, config = self._wanted
            header = open_header(path)          # if it is gone: tried again at the next request
            if config.projector and not Path(config.projector).is_file():
                config = replace(config, projector="")              # without it, text can still be talked about
            self._start(WorkerProcess(config.idle_minutes * 60), header, config)
        assert self._worker is not None
        return self._worker


def _states(path: Path, config: LoadConfig) -> _States:
    """What changes when the model's file or a projector's is replaced: sizes, and times in ns."""
    asked = [Path(config.projector)] if config.projector else []
    return [_state(one) for one in (path, *asked, *projectors_beside(path))]


def _state(path: Path) -> tuple[int, int]:
    """Size and time of a file; zeros if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _adapter_path(adapter: Path | None) -> str:
    return str(runs.typed(adapter).resolve()) if adapter else ""


def _as_error(message: Any) -> Exception:
    if isinstance(message, Failed):
        return UserError(message.text) if message.is_users else RuntimeError(message.text)
    return message if isinstance(message, Exception) else RuntimeError(f"unexpected answer {message!r}")

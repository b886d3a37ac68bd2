"""The child process that owns one model: reads messages on stdin, answers on stdout.

`python -m runtime.worker`. It ends when its stdin does, so no worker outlives its parent.
"""

import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from models import knobs
from models.errors import UserError
from models.header import fingerprint
from runtime.config import LoadConfig, SampleConfig
from runtime.messages import Cancel, Chat, End, Failed, Load, Loaded, Piece, Score, Scored, from_line, to_line
from runtime.text import TextStream
from tasks import prompt


class Worker:
    """Serves requests one after another; cancels arrive on a second thread."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self._requests, self._answers = requests, answers
        self._waiting: queue.SimpleQueue[Load | Chat | Score] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._model: Any = None                 # runtime.llama.Model
        self._fingerprint = ""

    def serve(self) -> None:
        """Answer requests until stdin ends."""
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            request = self._waiting.get()
            number = -1 if isinstance(request, Load) else request.id
            try:
                self._answer(request)
            except UserError as error:
                self._send(Failed(number, str(error), True))
            except Exception as error:          # process boundary: told to the parent, then the process ends
                self._send(Failed(number, f"{type(error).__name__}: {error}", False))
                raise

    def _read(self) -> None:
        for line in self._requests:
            message = from_line(line)
            if isinstance(message, Cancel):
                self._cancelled.add(message.id)
            else:
                self._waiting.put(message)
        os._exit(0)                             # the parent is gone; native code may still be running

    def _send(self, message: Any) -> None:
        self._answers.write(to_line(message))
        self._answers.flush()

    def _answer(self, request: Load | Chat | Score) -> None:
        if isinstance(request, Load):
            self._load(Path(request.path), knobs.from_json(LoadConfig, request.config))
        elif isinstance(request, Chat):
            self._chat(request, knobs.from_json(SampleConfig, request.sample))
        else:
            self._send(Scored(request.id, self._model.logprobs(request.ids, request.start)))

    def _load(self, path: Path, config: LoadConfig) -> None:
        from runtime.llama import Model
        self._model = Model(path, config)
        self._fingerprint = fingerprint(path)
        header = self._model.header
        self._send(Loaded(
            path=str(path), name=header.name, fingerprint=self._fingerprint, ctx_tokens=self._model.ctx_tokens,
            description=f"{header.type_name} · {header.bytes / 1e9:.2f} GB", can_chat=bool(header.template)))

    def _chat(self, request: Chat, sample: SampleConfig) -> None:
        asked = time.monotonic()
        model, text = self._model, TextStream(sample.stop)
        room = min(sample.max_tokens, model.ctx_tokens // 4)
        ids, dropped = prompt.fit(request.messages, model, model.ctx_tokens - room)

        def is_cancelled() -> bool:
            return request.id in self._cancelled

        reused = model.prefill(ids, is_cancelled)
        made, first_at, last_at, reason = 0, asked, asked, ""
        tokens = model.sample(ids, sample, is_cancelled)
        while not reason:
            try:
                token = next(tokens)
            except StopIteration as end:
                reason = end.value
                break
            made, last_at = made + 1, time.monotonic()
            first_at = last_at if made == 1 else first_at
            self._send_text(request.id, text.add(model.piece(token)))
            if text.is_stopped:
                reason = "stop"
                tokens.close()
        self._send_text(request.id, text.close())
        self._cancelled.discard(request.id)
        self._send(End(
            id=request.id, finish_reason=reason, prompt_tokens=len(ids), cached_tokens=reused, generated_tokens=made,
            first_token_s=first_at - asked, tokens_per_s=(made - 1) / (last_at - first_at) if made > 1 else 0.0,
            fingerprint=self._fingerprint, dropped_turns=dropped))

    def _send_text(self, number: int, text: str) -> None:
        if text:
            self._send(Piece(number, text))


def main() -> None:
    """Keep stdout for messages alone: whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Worker(sys.stdin.buffer, answers).serve()


if __name__ == "__main__":
    main()

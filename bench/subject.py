"""One model as bench/runtime.py holds it: sessions, the library beside them, prompts, answers with their times."""

import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.library import Library
from models import runs
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session, Stream

WORDS = sorted(set(re.findall(r"\b[a-z]{3,9}\b", (runs.ROOT / "README.md").read_text(encoding="utf-8"))))


@dataclass
class Heard:
    """One answer as the parent process saw it."""
    asked: float                                # time.perf_counter() when it was asked for
    times: list[float] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    end: Any = None                             # runtime.messages.End

    @property
    def first_s(self) -> float:
        return self.times[0] - self.asked if self.times else float("nan")

    @property
    def tokens_per_s(self) -> float:
        """Of the tokens after the first."""
        between = self.times[-1] - self.times[0] if self.times else 0.0
        return (self.end.generated_tokens - 1) / between if between else float("nan")

    def listen(self, stream: Stream) -> "Heard":
        """Take every piece as it comes, until the end."""
        for piece in stream:
            self.times.append(time.perf_counter())
            self.pieces.append(piece)
        self.end = stream.end
        return self


class Prompts:
    """Random words of the README in exact numbers of tokens; no two prompts begin alike."""

    def __init__(self, session: Session, seed: int, is_endless: bool):
        """is_endless: the model never ends an answer, so any prompt gets a long one."""
        self._session, self._random, self._is_endless = session, random.Random(seed), is_endless
        self._bos = session.prompt_ids([{"role": "user", "content": "x"}])[0]

    def text(self, tokens: int) -> str:
        """Words that make at most so many tokens, and hardly fewer."""
        words = self._random.choices(WORDS, k=tokens)
        low, high = 1, tokens
        while low < high:
            middle = (low + high + 1) // 2
            if len(self._session.encode(" ".join(words[:middle]))) <= tokens:
                low = middle
            else:
                high = middle - 1
        return " ".join(words[:low])

    def ids(self, tokens: int) -> list[int]:
        """So many ids, the first of them BOS."""
        return [self._bos, *self.plain_ids(tokens - 1)]

    def plain_ids(self, tokens: int) -> list[int]:
        """So many ids without BOS: the middle of a prompt, or a label."""
        text = " ".join(self._random.choices(WORDS, k=tokens))
        return self._session.encode(text)[:tokens]

    def long_answered(self, tokens: int, tokens_of: Callable[[list[int]], int] | None = None) -> list[int]:
        """32 ids after which the model writes at least so many tokens.

        tokens_of counts what an answer to ids has; without it the session answers, and then knows the prompt.
        Raises RuntimeError if forty prompts have short answers only.
        """
        tokens_of = tokens_of or (lambda ids: answer(self._session, ids, tokens).end.generated_tokens)
        for _ in range(40):
            ids = self.ids(32)
            if self._is_endless or tokens_of(ids) >= tokens:
                return ids
        raise RuntimeError(f"this model wrote fewer than {tokens} tokens after each of forty prompts")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and how both sides load it."""
    path: Path
    ctx_tokens: int
    threads: int
    rounds: int
    texts: int = 50                             # to classify in each round
    is_endless: bool = False                    # it never ends an answer by itself

    @contextmanager
    def session(self, threads: int | None = None) -> Iterator[Session]:
        """The model loaded in a session of its own; threads: 0 leaves the choice to the runtime."""
        session = Session()
        try:
            session.load(self.path, self.config(threads))
            yield session
        finally:
            session.close()

    def prompts(self, session: Session, seed: int) -> Prompts:
        return Prompts(session, seed, self.is_endless)

    def config(self, threads: int | None = None) -> LoadConfig:
        return LoadConfig(ctx_tokens=self.ctx_tokens, slots=8, threads=self.threads if threads is None else threads)

    def library(self, is_bare: bool = False) -> Library:
        return Library(self.path, ctx_tokens=self.ctx_tokens, threads=self.threads, is_bare=is_bare)


def answer(session: Session, ids: list[int], max_tokens: int, **sample: Any) -> Heard:
    """A whole answer to ids, greedy unless sample says otherwise."""
    config = SampleConfig(**{"temperature": 0.0, "max_tokens": max_tokens, **sample})
    heard = Heard(time.perf_counter())
    return heard.listen(session.complete(ids, config))


def settle(session: Session, longest_s: float = 120.0) -> float:
    """Wait until the worker has computed nothing for 2 s (it tunes its threads when idle); seconds waited."""
    worker, began, quiet_s = psutil.Process(session.pid), time.monotonic(), 0.0
    while quiet_s < 2.0 and time.monotonic() - began < longest_s:
        before = sum(worker.cpu_times()[:2])
        time.sleep(0.5)
        quiet_s = quiet_s + 0.5 if sum(worker.cpu_times()[:2]) - before < 0.02 else 0.0
    return time.monotonic() - began


def median_ratio(above: list[float], below: list[float]) -> float:
    """The median of the rounds' ratios: what slowed one round slowed both sides of it."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))

"""The same held-out rows through several models: loss of the reference answer, ROUGE-L of their own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks import prompt
from tasks.metrics import rouge_l
from tasks.prompt import Message, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A model seen as the three calls that a comparison needs."""
    tokenizer: Tokenizer
    logprobs: Callable[[list[int], int], list[float]]           # (ids, start) -> nats for ids[start:]
    generate: Callable[[list[int], int], tuple[list[int], str]]  # (ids, max_tokens) -> greedy ids, reason
    text: Callable[[list[int]], str]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one model made of the rows."""
    model: str
    val_loss: float             # nats a token, over all answer tokens and terminators of the rows
    rouge_l: float              # mean F1 over the rows, 0 to 1
    bytes: int                  # of the model's files on disk
    tokens_per_s: float         # greedy generation, prompt included
    rows: int
    stopped: int                # rows whose answer ended by itself
    answers: tuple[str, ...]    # one a row


def score(model: str, engine: Engine, rows: Sequence[Sequence[Message]], size_bytes: int, max_tokens: int) -> Score:
    """Measure engine on rows: conversations that end with the reference answer."""
    total, count, made, seconds, stopped = 0.0, 0, 0, 0.0, 0
    answers, overlaps = [], []
    for messages in rows:
        ids, learned = prompt.sample_ids(messages, engine.tokenizer)
        start = learned.index(True)
        logprobs = engine.logprobs(ids, start)
        kept = [value for value, is_learned in zip(logprobs, learned[start:], strict=True) if is_learned]
        total, count = total - sum(kept), count + len(kept)
        asked = time.perf_counter()
        out, reason = engine.generate(prompt.prompt_ids(messages[:-1], engine.tokenizer), max_tokens)
        seconds += time.perf_counter() - asked
        made += len(out) + (reason == "stop")                   # the terminator was generated as well
        stopped += reason == "stop"
        answers.append(engine.text(out).strip())
        overlaps.append(rouge_l(str(messages[-1]["content"]), answers[-1]))
    return Score(model=model, val_loss=total / count, rouge_l=sum(overlaps) / len(overlaps), bytes=size_bytes,
                 tokens_per_s=made / seconds, rows=len(rows), stopped=stopped, answers=tuple(answers))


def reference_engine(reference: Any) -> Engine:
    """Engine over a runtime.reference.Reference."""
    stop = {prompt.terminator(reference.tokenizer), *reference.tokenizer.encode(reference.tokenizer.eos, control=True)}
    return Engine(tokenizer=reference.tokenizer, logprobs=reference.logprobs,
                  generate=lambda ids, most: reference.generate(ids, most, stop),
                  text=lambda ids: reference.tokenizer.hf.decode(ids, skip_special_tokens=True))


def gguf_engine(model: Any) -> Engine:
    """Engine over a runtime.probe.Probe."""
    return Engine(tokenizer=model, logprobs=model.logprobs, generate=model.generate,
                  text=lambda ids: b"".join(map(model.piece, ids)).decode("utf-8", "replace"))

"""What the reference says of the rows that files are held against, taken once for all files of an export."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert import probes
from convert.peak import Peak
from convert.probes import Messages
from models.errors import UserError
from runtime.reference import ActivationSums, Reference
from tasks.controls import controls_of
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import Tokenizer, folded, prompt_ids, sample_ids, terminator
from tasks.template import takes_system

Progress = Callable[[str, int, int], None]      # (text, done, of); may raise to stop

HELDOUT_PROMPTS = 20                    # of the run's own rows, each with one change too; beside the built-in ones
COMPARED_TOKENS = 2000
IMPORTANCE_TOKENS = 8000
LEAST_APART_TOKENS = 2000               # of rows beyond the compared ones; with fewer, both are the same rows
LONGEST_ROW = 1024
GREEDY_STARTS = 4
LONGEST_START = 2048                    # tokens; the reference's attention grows with the square
GREEDY_TOKENS = 256                     # where the reference stops within these, the file must stop


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A conversation and its ids; None: the template refuses it, or (of_template) control strings stand in it."""
    messages: Messages
    ids: list[int] | None               # by tasks/prompt.py
    of_template: list[int] | None       # by apply_chat_template of transformers


@dataclass(frozen=True, kw_only=True)
class Start:
    """A prompt and the reference's greedy answer to it."""
    ids: list[int]
    answer: list[int]
    reason: str                         # "stop" or "length"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All of it. states: for each row what the output head gets, (T, width) float32; the logits are made of it later.

    texts: plain texts and their ids, for a base without chat template (then there are no prompts and no starts).
    sums: None where no importance matrix is wanted, or there are no held-out rows to make it from.
    """
    tokenizer: Tokenizer
    prompts: list[Prompt]
    heldout_prompts: int                # of prompts, those made of held-out rows; the others are built in
    texts: list[tuple[str, list[int]]]
    starts: list[Start]
    rows: list[list[int]]
    states: list[np.ndarray]
    heldout_tokens: int                 # of rows, in the user's rows; the others are the reference's and built-in text
    sums: ActivationSums | None
    importance_tokens: int
    is_apart: bool                      # the importance matrix saw none of rows
    is_layerwise: bool
    seconds: float
    peak_mb: float

    @classmethod
    def take(cls, reference: Reference, heldout: Sequence[Messages], progress: Progress,
             wants_sums: bool = False) -> "Survey":
        """Ask the reference everything. heldout: conversations that end with their answers, maybe none."""
        with Peak() as peak:
            tokenizer, starts = reference.tokenizer, list[Start]()
            prompts = _prompts(tokenizer, heldout) if tokenizer.template else []
            if tokenizer.template:
                starts = _answered(reference, heldout, progress)
            rows = _rows(tokenizer, heldout, starts, prompts)
            is_apart = _tokens(rows.more) >= LEAST_APART_TOKENS
            counted = rows.more if is_apart else rows.held + rows.more
            sums = None
            if wants_sums and counted:
                sums = ActivationSums(len(rows.filling) + (len(rows.held) if is_apart else 0))
            states = _states(reference, rows, sums, progress)
        return cls(tokenizer=tokenizer, prompts=prompts, heldout_prompts=2 * len(heldout[:HELDOUT_PROMPTS]),
                   texts=[] if tokenizer.template else _texts(tokenizer, heldout),
                   starts=starts, rows=rows.filling + rows.held, states=states, heldout_tokens=_tokens(rows.held),
                   sums=sums, importance_tokens=_tokens(counted) if sums else 0, is_apart=is_apart,
                   is_layerwise=reference.is_layerwise, seconds=peak.seconds, peak_mb=peak.mb)

    def to_json(self) -> dict[str, Any]:
        """What report.json says of the reference pass; its memory is its own, not that of the writing."""
        return {"seconds": round(self.seconds, 2), "peak_mb": round(self.peak_mb, 1),
                "is_layerwise": self.is_layerwise}

    def importance_json(self) -> dict[str, Any] | str:
        """What report.json says of the importance matrix."""
        if self.sums is None:
            return "none: there are no held-out rows to make one from, or none was wanted"
        apart = "no row of it is among the compared ones" if self.is_apart else (
            f"the compared rows are among it, as there are fewer than {COMPARED_TOKENS + LEAST_APART_TOKENS:,} tokens")
        return {"tokens": self.importance_tokens, "is_apart": self.is_apart, "text": f"held-out rows; {apart}"}


def stop_ids(tokenizer: Tokenizer) -> set[int]:
    """Ids at which a program ends an answer: the terminator of a turn, and the tokenizer's end of text."""
    ends = {terminator(tokenizer)} if tokenizer.template else set()
    return ends | set(tokenizer.encode(tokenizer.eos, control=True) if tokenizer.eos else ())


def ids_or_none(messages: Messages, tokenizer: Tokenizer) -> list[int] | None:
    """prompt_ids, or None where the template refuses the conversation."""
    try:
        return prompt_ids(messages, tokenizer)
    except UserError:
        return None


def _prompts(tokenizer: HFTokenizer, heldout: Sequence[Messages]) -> list[Prompt]:
    """Every prompt that files are tried on: of the held-out rows, and built in."""
    asked = probes.of_rows(heldout[:HELDOUT_PROMPTS], tokenizer.controls) + probes.built_in(tokenizer.controls)
    return [Prompt(messages=one, ids=ids_or_none(one, tokenizer), of_template=_of_template(one, tokenizer))
            for one in asked]


def _of_template(messages: Messages, tokenizer: HFTokenizer) -> list[int] | None:
    """apply_chat_template's ids, with the one BOS in front that some templates leave to the tokenizer."""
    texts = [message["content"] for message in messages]
    if ids_or_none(messages, tokenizer) is None or any(map(controls_of(tokenizer.controls).first, texts)):
        return None
    if messages[0]["role"] == "system" and not takes_system(tokenizer.template, tokenizer.bos, tokenizer.eos):
        messages = folded(messages)
    ids = tokenizer.hf.apply_chat_template(messages, chat_template=tokenizer.template, tokenize=True,
                                           add_generation_prompt=True, return_dict=False)
    bos = bos_ids(tokenizer)
    return list(ids) if list(ids[:1]) == bos else bos + list(ids)


def bos_ids(tokenizer: Tokenizer) -> list[int]:
    """The one id that every prompt begins with, or none."""
    return tokenizer.encode(tokenizer.bos, control=True) if tokenizer.bos else []


def _texts(tokenizer: Tokenizer, heldout: Sequence[Messages]) -> list[tuple[str, list[int]]]:
    """Plain texts, for a base that never learned turns."""
    asked = [*heldout[:HELDOUT_PROMPTS], *probes.built_in(frozenset())]
    return [(text, tokenizer.encode(text, control=False)) for text in map(_text, asked)]


def _text(messages: Messages) -> str:
    """A conversation as plain text."""
    return "\n\n".join(message["content"] for message in messages)


def _answered(reference: Reference, heldout: Sequence[Messages], progress: Progress) -> list[Start]:
    """A few prompts with the reference's greedy answers."""

    def step(done: int, of: int) -> None:
        progress("The reference answers", done, of)

    step(0, GREEDY_TOKENS)
    tokenizer = reference.tokenizer
    fitting = (ids for ids in (prompt_ids(row[:-1], tokenizer) for row in heldout) if len(ids) <= LONGEST_START)
    begun = [ids for ids, _ in zip(fitting, range(GREEDY_STARTS), strict=False)]
    begun = begun or [prompt_ids(messages, tokenizer) for messages in probes.starts()]
    answers = reference.generate_all(begun, GREEDY_TOKENS, stop_ids(tokenizer), step)
    return [Start(ids=ids, answer=answer, reason=reason)
            for ids, (answer, reason) in zip(begun, answers, strict=True)]


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What the reference reads in one pass, in this order. Files are compared on filling + held."""
    filling: list[list[int]]            # the reference's own answers and the built-in prompts
    held: list[list[int]]               # of the user's rows, COMPARED_TOKENS
    more: list[list[int]]               # of the user's rows behind them, IMPORTANCE_TOKENS


def _rows(tokenizer: Tokenizer, heldout: Sequence[Messages], starts: Sequence[Start],
          prompts: Sequence[Prompt]) -> _Rows:
    """Rows of the user's as far as there are; what is missing to COMPARED_TOKENS is filled with other text."""
    if tokenizer.template:
        user = (sample_ids(messages, tokenizer)[0] for messages in heldout)
        others = [start.ids + start.answer for start in starts] + [prompt.ids or [] for prompt in prompts]
    else:
        user = (bos_ids(tokenizer) + tokenizer.encode(_text(row), control=False) for row in heldout)
        others = [bos_ids(tokenizer) + ids for _, ids in _texts(tokenizer, [])]
    held = list(_within(user, COMPARED_TOKENS))
    filling = list(_within(iter(others), COMPARED_TOKENS - _tokens(held)))
    return _Rows(filling=filling, held=held, more=list(_within(user, IMPORTANCE_TOKENS)))


def _within(rows: Iterator[list[int]], most_tokens: int) -> Iterator[list[int]]:
    """Take rows, cut to LONGEST_ROW, until there are so many tokens, the last one cut to fit; none of one token."""
    left = most_tokens
    while left > 1 and (row := next(rows, None)) is not None:
        if len(row) > 1:
            yield row[:min(LONGEST_ROW, left)]
            left -= min(LONGEST_ROW, left, len(row))


def _tokens(rows: Sequence[list[int]]) -> int:
    return sum(map(len, rows))


def _states(reference: Reference, rows: _Rows, sums: ActivationSums | None, progress: Progress) -> list[np.ndarray]:
    """The states of the compared rows, in one pass with those of the others, which only count for sums."""
    compared = rows.filling + rows.held
    read = compared + (rows.more if sums else [])
    kept = []
    for k, state in enumerate(reference.states(read, sums)):
        progress("The reference reads the rows", k, len(read))
        if k < len(compared):
            kept.append(state)
    return kept

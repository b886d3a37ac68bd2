"""What the reference says of the rows that files are held against, taken once for all files of an export."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
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
MOST_ROWS = 2000                        # of the user's, which are looked at; they have more tokens than are read
GREEDY_STARTS = 8                       # of the held-out rows; the built-in questions are fewer
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
    spaced: int                         # prompts and texts left out as no file can match them: see Spaces
    refused: list[Messages]             # held-out rows left out as the chat template refuses them
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
             wants_sums: bool = False, long_row_tokens: int = 0) -> "Survey":
        """Ask the reference everything. heldout: conversations that end with their answers, maybe none.

        long_row_tokens: one of the compared rows is made that long of several, to reach past a sliding window.
        """
        with Peak() as peak:
            tokenizer, starts = reference.tokenizer, list[Start]()
            heldout = heldout[:MOST_ROWS]
            taken = [row for row in heldout if not tokenizer.template or _is_taken(row, tokenizer)]
            spaces = Spaces(tokenizer)
            prompts, heldout_prompts = _prompts(spaces, taken) if tokenizer.template else ([], 0)
            texts = [] if tokenizer.template else _texts(spaces, taken)
            if tokenizer.template:
                starts = _answered(reference, taken, progress)
            rows = _rows(tokenizer, taken, starts, prompts, long_row_tokens)
            is_apart = _tokens(rows.more) >= LEAST_APART_TOKENS
            counted = rows.more if is_apart else rows.held + rows.more
            sums = None
            if wants_sums and counted:
                sums = ActivationSums(len(rows.filling) + (len(rows.held) if is_apart else 0))
            states = _states(reference, rows, sums, progress)
        return cls(tokenizer=tokenizer, prompts=prompts, heldout_prompts=heldout_prompts,
                   spaced=spaces.left_out, refused=[row for row in heldout if row not in taken],
                   texts=texts, starts=starts, rows=rows.filling + rows.held, states=states,
                   heldout_tokens=_tokens(rows.held), sums=sums,
                   importance_tokens=_tokens(counted) if sums else 0, is_apart=is_apart,
                   is_layerwise=reference.is_layerwise, seconds=peak.seconds, peak_mb=peak.mb)

    def to_json(self) -> dict[str, Any]:
        """What report.json says of the reference pass; its memory is its own, not that of the writing."""
        return {"seconds": round(self.seconds, 2), "peak_mb": round(self.peak_mb, 1),
                "is_layerwise": self.is_layerwise, "refused_rows": len(self.refused)}

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


class Spaces:
    """A tokenizer that tells whether a text it encoded is one that no file can match.

    SentencePiece with a space before every text (Llama 2): transformers adds it only where the text has none,
    llama.cpp always, so that only texts which do not begin with a space get the same ids.
    """

    def __init__(self, tokenizer: HFTokenizer):
        self.hf, self.template, self.bos, self.eos = tokenizer.hf, tokenizer.template, tokenizer.bos, tokenizer.eos
        self.controls, self.left_out = tokenizer.controls, 0
        self._tokenizer, self._is_met = tokenizer, False
        self._is_lost = tokenizer.encode(" a", control=False) == tokenizer.encode("a", control=False)

    def encode(self, text: str, *, control: bool) -> list[int]:
        """As the tokenizer does it."""
        self._is_met = self._is_met or not control and text.startswith(" ")
        return self._tokenizer.encode(text, control=control)

    def leaves_out(self) -> bool:
        """Whether what was encoded since the last call can not be matched; counted if so."""
        is_left_out, self._is_met = self._is_lost and self._is_met, False
        self.left_out += is_left_out
        return is_left_out


def _is_taken(row: Messages, tokenizer: Tokenizer) -> bool:
    """Whether the chat template takes a held-out row, with and without its answer."""
    try:
        sample_ids(row, tokenizer)
    except UserError:
        return False
    return True


def _prompts(spaces: Spaces, heldout: Sequence[Messages]) -> tuple[list[Prompt], int]:
    """Every prompt that files are tried on: of the held-out rows (the second value: how many), and built in."""
    of_rows = probes.of_rows(heldout[:HELDOUT_PROMPTS], spaces.controls)
    prompts, count = list[Prompt](), 0
    for k, one in enumerate(of_rows + probes.built_in(spaces.controls)):
        ids = ids_or_none(one, spaces)
        if not spaces.leaves_out():
            prompts.append(Prompt(messages=one, ids=ids, of_template=_of_template(one, spaces)))
            count += k < len(of_rows)
    return prompts, count


def _of_template(messages: Messages, tokenizer: Spaces) -> list[int] | None:
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


def _texts(spaces: Spaces, heldout: Sequence[Messages]) -> list[tuple[str, list[int]]]:
    """Plain texts, for a base that never learned turns."""
    asked = [*heldout[:HELDOUT_PROMPTS], *probes.built_in(frozenset())]
    read = ((text, spaces.encode(text, control=False)) for text in map(_text, asked))
    return [one for one in read if not spaces.leaves_out()]


def _text(messages: Messages) -> str:
    """A conversation as plain text."""
    return "\n\n".join(message["content"] for message in messages)


def _answered(reference: Reference, heldout: Sequence[Messages], progress: Progress) -> list[Start]:
    """A few prompts with the reference's greedy answers."""

    def step(done: int, of: int) -> None:
        progress("The reference answers", done, of)

    step(0, GREEDY_TOKENS)
    tokenizer = reference.tokenizer
    short = sorted(heldout[:4 * GREEDY_STARTS], key=lambda row: len(row[-1]["content"]))    # so they stop in time
    fitting = (ids for ids in (prompt_ids(row[:-1], tokenizer) for row in short) if len(ids) <= LONGEST_START)
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


def _rows(tokenizer: HFTokenizer, heldout: Sequence[Messages], starts: Sequence[Start],
          prompts: Sequence[Prompt], long_tokens: int) -> _Rows:
    """Rows of the user's as far as there are; what is missing to COMPARED_TOKENS is filled with other text.

    The first row is made long_tokens long; of filling if the user's rows have fewer.
    """
    if tokenizer.template:
        user = (sample_ids(messages, tokenizer)[0] for messages in heldout)
        others = [start.ids + start.answer for start in starts] + [prompt.ids or [] for prompt in prompts]
    else:
        user = (bos_ids(tokenizer) + tokenizer.encode(_text(row), control=False) for row in heldout)
        others = [bos_ids(tokenizer) + ids for _, ids in _texts(Spaces(tokenizer), [])]
    begun, is_long = _joined(user, long_tokens)
    held = list(_within(chain(begun, user), COMPARED_TOKENS, long_tokens))
    filling = [] if is_long else _joined(cycle(others), long_tokens)[0]
    filling += _within(iter(others), COMPARED_TOKENS - _tokens(held + filling))
    return _Rows(filling=filling, held=held, more=list(_within(user, IMPORTANCE_TOKENS)))


def _joined(rows: Iterator[list[int]], tokens: int) -> tuple[list[list[int]], bool]:
    """One row of so many tokens out of the next ones, and True; or, if they are too few, those taken, and False."""
    taken = list[list[int]]()
    while _tokens(taken) < tokens:
        row = next(rows, None)
        if row is None:
            return taken, False
        taken.append(row)
    return [list(chain(*taken))[:tokens]] if taken else [], True


def _within(rows: Iterator[list[int]], most_tokens: int, longest: int = 0) -> Iterator[list[int]]:
    """Take rows, cut to LONGEST_ROW (or longest, if that is more), until there are so many tokens.

    The last one is cut to fit; none is of one token.
    """
    left, longest = most_tokens, max(LONGEST_ROW, longest)
    while left > 1 and (row := next(rows, None)) is not None:
        if len(row) > 1:
            yield row[:min(longest, left)]
            left -= min(longest, left, len(row))


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

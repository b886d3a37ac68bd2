"""How one answer's next token is drawn: llama.cpp's own samplers, a grammar that only lets through what it allows."""

import ctypes
import os
import re
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from models.errors import UserError
from runtime.config import SampleConfig
from runtime.context import log_softmax_at
from runtime.llama import Model
from runtime.schema import schema_grammar

PENALTY_WINDOW_TOKENS = 256
MAX_GRAMMAR_CHARACTERS = 100_000
LEAST_TEMPERATURE = 1e-6                       # below it, logits / temperature overflow: the likeliest token is meant
MAX_GROUPS = 100                                # that stand in one another; llama.cpp's parser recurses
MAX_REPEATS = 2000
# Literals, classes, comments and tokens of GBNF, so that what stands in them is no bracket; then brackets.
BRACKETS = re.compile(r"""
    "(?:\\.|[^"\\])*"? | \[(?:\\.|[^\]\\])*\]? | \#[^\r\n]* | <[^>]*>
    | [()] | \{\s*(?P<low>[0-9]*)\s*,?\s*(?P<high>[0-9]*)""", re.VERBOSE | re.DOTALL)
SCHEMA_WORDS = "JSON schema asks for something that can not be expressed"
GRAMMAR_WORDS = "grammar does not parse as GBNF (a rule called root, every name defined, no left recursion)"
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])     # llama_token_data


class Sampler:
    """The samplers of one request with their random stream, which no other request touches."""

    def __init__(self, model: Model, config: SampleConfig, past: Sequence[int]):
        """past: the prompt, for the repeat penalty. Raises UserError for a grammar or schema that can not be used."""
        self._model = model
        self._has_ended = False
        self._grammar = made_grammar(model, config)
        is_greedy = config.temperature < LEAST_TEMPERATURE
        self._is_argmax = is_greedy and config.repeat_penalty == 1.0 and self._grammar is None
        self._chain: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if config.repeat_penalty != 1.0:
            self._add(lib.llama_sampler_init_penalties(
                model.n_vocab, PENALTY_WINDOW_TOKENS, config.repeat_penalty, 0.0, 0.0))
            for token in [one for one in past if one >= 0][-PENALTY_WINDOW_TOKENS:]:    # below: a picture's
                lib.llama_sampler_accept(self._chain, token)
        if is_greedy:
            self._add(lib.llama_sampler_init_greedy())
            return
        if config.top_k:
            self._add(lib.llama_sampler_init_top_k(config.top_k))
        self._add(lib.llama_sampler_init_top_p(config.top_p, 1))
        self._add(lib.llama_sampler_init_min_p(config.min_p, 1))
        self._add(lib.llama_sampler_init_temp(config.temperature))
        seed = config.seed if config.seed >= 0 else int.from_bytes(os.urandom(4), "little") % 0xFFFFFFFF
        self._add(lib.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        lib.llama_sampler_chain_add(self._chain, sampler)

    def pick(self, logits: np.ndarray) -> int:
        """Draw a token from logits (n_vocab,) and remember it.

        Raises UserError if they are no numbers, or the grammar leaves nothing to say.
        """
        if logits[0] != logits[0]:
            raise UserError("The model computes no finite numbers; its file is damaged, or was converted wrongly.")
        if self._is_argmax:
            return int(logits.argmax())
        candidates = Candidates(logits)
        token = candidates.apply(self._chain)
        if self._grammar is not None and not self._allows(token):
            candidates = Candidates(logits)
            if not candidates.restrict(self._grammar):
                raise UserError("The grammar allows no further token here; it can not be satisfied.")
            token = candidates.apply(self._chain)
        lib.llama_sampler_accept(self._chain, token)
        if self._grammar is not None and not self._model.is_eog(token):
            lib.llama_sampler_accept(self._grammar, token)
        return token

    def _allows(self, token: int) -> bool:
        one = Candidates(np.zeros(1, np.float32), first_id=token)
        return one.restrict(self._grammar)

    def close(self) -> None:
        """Give the samplers back; nothing may be picked afterwards."""
        if not self._has_ended:
            self._has_ended = True
            lib.llama_sampler_free(self._chain)
            if self._grammar is not None:
                lib.llama_sampler_free(self._grammar)


class Candidates:
    """Tokens that may come next, as llama.cpp's samplers take them."""

    def __init__(self, logits: np.ndarray, first_id: int = 0):
        self._data = np.empty(len(logits), CANDIDATE)
        self._data["id"] = np.arange(first_id, first_id + len(logits), dtype=np.int32)
        self._data["logit"] = logits
        self._array = lib.llama_token_data_array(
            data=self._data.ctypes.data_as(lib.llama_token_data_p), size=len(logits), selected=-1, sorted=False)

    def apply(self, chain: Any) -> int:
        """Let the whole chain choose; returns the token's id."""
        lib.llama_sampler_apply(chain, ctypes.byref(self._array))
        return int(self._array.data[self._array.selected].id)

    def restrict(self, grammar: Any) -> bool:
        """Take out what the grammar forbids. True if something is left."""
        lib.llama_sampler_apply(grammar, ctypes.byref(self._array))
        return bool((self._data["logit"] > -np.inf).any())

    def left(self) -> np.ndarray:
        """The ids of what was not taken out."""
        return self._data["id"][self._data["logit"] > -np.inf]


def top_logprobs(logits: np.ndarray, token: int, count: int) -> tuple[float, list[tuple[int, float]]]:
    """(log p of token, the count likeliest tokens with theirs, best first) under logits (n_vocab,), in nats."""
    best = np.argpartition(logits, -count)[-count:] if count else np.empty(0, np.int64)
    best = best[np.argsort(-logits[best], kind="stable")]
    found = log_softmax_at(logits, [token, *best.tolist()])
    return found[0], list(zip(best.tolist(), found[1:], strict=True))


def made_grammar(model: Model, config: SampleConfig) -> Any:
    """The grammar sampler that config asks for, or None. Raises UserError if there is none."""
    text = grammar_text(config)
    if not text:
        return None
    found = lib.llama_sampler_init_grammar(model.vocab, text.encode("utf-8", "replace"), b"root")
    if not found:
        raise UserError(f"The {SCHEMA_WORDS if config.json_schema else GRAMMAR_WORDS}.")
    return found


def grammar_text(config: SampleConfig) -> str:
    """The GBNF that an answer has to follow, "" for none.

    Raises UserError for a schema that can not be followed, and for what llama.cpp's parser does not survive.
    """
    if config.grammar and config.json_schema:
        raise UserError("An answer follows a grammar or a JSON schema, not both; leave one of them out.")
    text = schema_grammar(config.json_schema) if config.json_schema else config.grammar
    if len(text) > MAX_GRAMMAR_CHARACTERS:
        raise UserError(f"The grammar has {len(text):,} characters; {MAX_GRAMMAR_CHARACTERS:,} are the most.")
    if "\0" in text:
        raise UserError("The grammar holds a null character.")
    _check_brackets(text)
    return text


def _check_brackets(text: str) -> None:
    depth = 0
    for part in BRACKETS.finditer(text):
        depth += {"(": 1, ")": -1}.get(part.group(), 0)
        if depth > MAX_GROUPS:
            raise UserError(f"The grammar nests more than {MAX_GROUPS} groups in one another; use rules with names.")
        low, high = part.group("low"), part.group("high")
        for count in (low, high):
            if count and (len(count.lstrip("0")) > 4 or int(count) > MAX_REPEATS):
                raise UserError(f"The grammar repeats something {count[:20]} times; {MAX_REPEATS:,} are the most.")
        if low and high and int(low) > int(high):
            raise UserError(f"The grammar repeats something at least {low} and at most {high} times; turn them round.")

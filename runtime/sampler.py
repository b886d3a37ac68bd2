"""How one answer's next token is drawn: llama.cpp's own samplers, a grammar that only lets through what it allows."""

import ctypes
import json
import os
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from llama_cpp import llama_grammar

from models.errors import UserError
from runtime.config import SampleConfig
from runtime.context import log_softmax_at
from runtime.llama import Model

PENALTY_WINDOW_TOKENS = 256
MAX_GRAMMAR_CHARACTERS = 100_000
MAX_SCHEMA_DEPTH = 60
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])     # llama_token_data


class Sampler:
    """The samplers of one request with their random stream, which no other request touches."""

    def __init__(self, model: Model, config: SampleConfig, past: Sequence[int]):
        """past: the prompt, for the repeat penalty. Raises UserError for a grammar or schema that can not be used."""
        self._model = model
        self._has_ended = False
        self._grammar = _grammar(model, config)
        self._is_argmax = config.temperature == 0.0 and config.repeat_penalty == 1.0 and self._grammar is None
        self._chain: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if config.repeat_penalty != 1.0:
            self._add(lib.llama_sampler_init_penalties(
                model.n_vocab, PENALTY_WINDOW_TOKENS, config.repeat_penalty, 0.0, 0.0))
            for token in past[-PENALTY_WINDOW_TOKENS:]:
                lib.llama_sampler_accept(self._chain, token)
        if config.temperature == 0.0:
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


def top_logprobs(logits: np.ndarray, token: int, count: int) -> tuple[float, list[tuple[int, float]]]:
    """(log p of token, the count likeliest tokens with theirs, best first) under logits (n_vocab,), in nats."""
    best = np.argpartition(logits, -count)[-count:] if count else np.empty(0, np.int64)
    best = best[np.argsort(-logits[best], kind="stable")]
    found = log_softmax_at(logits, [token, *best.tolist()])
    return found[0], list(zip(best.tolist(), found[1:], strict=True))


def _grammar(model: Model, config: SampleConfig) -> Any:
    """The grammar sampler that config asks for, or None."""
    if config.grammar and config.json_schema:
        raise UserError("An answer follows a grammar or a JSON schema, not both; leave one of them out.")
    if not config.grammar and not config.json_schema:
        return None
    text = schema_grammar(config.json_schema) if config.json_schema else config.grammar
    if len(text) > MAX_GRAMMAR_CHARACTERS:
        raise UserError(f"The grammar has {len(text):,} characters; {MAX_GRAMMAR_CHARACTERS:,} are the most.")
    if "\0" in text:
        raise UserError("The grammar holds a null character.")
    found = lib.llama_sampler_init_grammar(model.vocab, text.encode("utf-8", "replace"), b"root")
    if not found:
        what = "JSON schema asks for something that can not be expressed" if config.json_schema else \
            "grammar does not parse as GBNF (a rule called root, every name defined, no left recursion)"
        raise UserError(f"The {what}.")
    return found


def schema_grammar(schema: str) -> str:
    """The GBNF grammar of a JSON schema. Raises UserError if it is no schema, or nothing can satisfy it."""
    try:
        read = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise UserError(f"The JSON schema is no JSON ({error}).") from error
    if not isinstance(read, dict):
        raise UserError(f"The JSON schema is {str(read)[:40]!r}; use an object.")
    _refuse_impossible(read, 0)
    try:
        return llama_grammar.json_schema_to_gbnf(schema)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, RecursionError,
            NotImplementedError) as error:
        raise UserError(f"The JSON schema can not be followed ({type(error).__name__}: {error}).") from error


LIMITS = (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum"),
          ("minProperties", "maxProperties"))


def _refuse_impossible(schema: Any, depth: int) -> None:
    if depth > MAX_SCHEMA_DEPTH:
        raise UserError(f"The JSON schema is nested more than {MAX_SCHEMA_DEPTH} deep.")
    if isinstance(schema, list):
        for part in schema:
            _refuse_impossible(part, depth + 1)
        return
    if not isinstance(schema, dict):
        return
    for name in ("enum", "anyOf", "oneOf"):
        if name in schema and schema[name] == []:
            raise UserError(f"The JSON schema can not be satisfied: its {name} is empty.")
    for low, high in LIMITS:
        least, most = schema.get(low), schema.get(high)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            raise UserError(f"The JSON schema can not be satisfied: {low} {least} is more than {high} {most}.")
    for part in schema.values():
        _refuse_impossible(part, depth + 1)

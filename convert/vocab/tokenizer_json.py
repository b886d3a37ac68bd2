"""A tokenizer.json, read without the library that wrote it, and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError

UNSET = (None, "", 0, 0.0)


@dataclass(frozen=True)
class Added:
    """A token that stands outside the model: cut out of a text before the model sees it."""
    id: int
    text: str
    is_special: bool
    is_greedy: bool = False     # takes the spaces beside it, or whole words only


@dataclass(frozen=True)
class TokenizerJson:
    """merges: the pairs that become one token, the first ones first. Parts that are not here are None."""
    path: Path
    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    added: list[Added]
    unknown: str | None
    has_bytes: bool             # characters that are no token become <0x..> tokens
    takes_whole_words: bool     # a word that is a token is not merged from its parts
    normalizer: dict[str, Any] | None
    pre_tokenizer: dict[str, Any] | None
    post_processor: dict[str, Any] | None


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """The file at path. Raises UserError if it is damaged, or is another kind of tokenizer than BPE."""
    whole = _read(path)
    model = whole.get("model")
    if not isinstance(model, dict):
        raise _damaged(path, "it has no model")
    kind = model.get("type", "BPE" if "merges" in model else "unknown")
    if kind != "BPE":
        raise UserError(f"{path} holds a tokenizer of the kind {kind!r}; known is BPE.")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key) not in UNSET:
            raise UserError(f"{path} sets {key} to {model[key]!r}, which llama.cpp does not compute.")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not vocab or not all(_is_id(k) for k in vocab.values()):
        raise _damaged(path, "its model has no table of tokens")
    if len(set(vocab.values())) < len(vocab):
        raise _damaged(path, "two of its tokens have one id")
    parts = {key: whole.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor")}
    for key, part in parts.items():
        if part is not None and not isinstance(part, dict):
            raise _damaged(path, f"its {key} is {part!r}")
    return TokenizerJson(path=path, vocab=vocab, merges=_merges(path, model.get("merges"), vocab),
                         added=added_tokens(path, whole), unknown=model.get("unk_token"),
                         has_bytes=bool(model.get("byte_fallback")),
                         takes_whole_words=bool(model.get("ignore_merges")), **parts)


def read_added(path: Path) -> tuple[list[Added], dict[str, Any] | None]:
    """The added tokens and the post_processor alone; none where there is no file."""
    whole = _read(path) if path.is_file() else {}
    post_processor = whole.get("post_processor")
    return added_tokens(path, whole), post_processor if isinstance(post_processor, dict) else None


def added_tokens(path: Path, whole: dict[str, Any]) -> list[Added]:
    """What whole["added_tokens"] lists. Raises UserError if it is no such list."""
    found = []
    for token in whole.get("added_tokens") or ():
        if not isinstance(token, dict) or not _is_id(token.get("id")) or not isinstance(token.get("content"), str):
            raise _damaged(path, f"one of its added tokens is {token!r}")
        is_greedy = any(token.get(key) for key in ("lstrip", "rstrip", "single_word"))
        found.append(Added(token["id"], token["content"], bool(token.get("special")), is_greedy))
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} can not be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise _damaged(path, "it is no whole JSON") from None
    if not isinstance(whole, dict) or not isinstance(whole.get("added_tokens") or [], list):
        raise _damaged(path, "it is no tokenizer")
    return whole


def _merges(path: Path, listed: Any, vocab: dict[str, int]) -> list[tuple[str, str]]:
    if not isinstance(listed, list) or not listed:
        raise _damaged(path, "its model has no merges")
    merges: list[tuple[str, str]] = []
    for merge in listed:
        pair = merge.split(" ") if isinstance(merge, str) else merge        # "a b", or since 2024 ["a", "b"]
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
            raise _damaged(path, f"one of its merges is {merge!r}")
        left, right = pair
        if left not in vocab or right not in vocab or left + right not in vocab:
            raise _damaged(path, f"the merge of {left!r} and {right!r} is of no known tokens")
        merges.append((left, right))
    return merges


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _damaged(path: Path, how: str) -> UserError:
    return UserError(f"{path} is damaged: {how[:200]}; copy it from the original model again.")

"""The tokenizer of a Hugging Face folder as a GGUF holds it: pieces, scores, types, special ids, chat template.

From tokenizer.model (SentencePiece), with the special tokens that tokenizer_config.json or
tokenizer.json name. Source: sentencepiece_model.proto (google/sentencepiece), whose piece types
have the numbers of llama.cpp's token types.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError
from tasks.prompt import terminator

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
ADDED_SCORE, PADDING_SCORE = -1000.0, -10000.0
SPECIAL_NAMES = ("bos", "eos", "unk", "pad", "mask")
LOOKS_SPECIAL = re.compile(r"<pad>|<mask>|<2mass>|\[@BOS@\]|<\|.*\|>|<unused.*>")   # marked plain, meant as controls
IN_TEMPLATE = re.compile(r"<[^<>\s]+>")
TURN_MARKERS = {"<start_of_turn>", "<end_of_turn>"}


@dataclass(frozen=True, kw_only=True)
class Vocab:
    """What goes into tokenizer.ggml.*; also a tasks.prompt.Tokenizer as far as control strings go.

    left_out: tokens whose ids lie beyond the embedding's rows.
    """
    tokens: list[str]
    scores: list[float]
    types: list[int]
    special_ids: dict[str, int]         # by SPECIAL_NAMES; "eot" ends a model turn
    template: str
    left_out: tuple[str, ...] = ()

    @property
    def bos(self) -> str:
        return self.tokens[self.special_ids["bos"]]

    @property
    def eos(self) -> str:
        return self.tokens[self.special_ids["eos"]]

    @property
    def controls(self) -> frozenset[str]:
        return frozenset(t for t, kind in zip(self.tokens, self.types, strict=True) if kind == CONTROL)

    def encode(self, text: str, *, control: bool) -> list[int]:
        """The id of one control string; plain text is for the engines."""
        if not control or text not in self.controls:
            raise ValueError(f"{text!r} is no control string")
        return [self.tokens.index(text)]


def read_vocab(folder: Path, rows: int) -> Vocab:
    """The vocabulary of a model whose embedding has that many rows.

    Raises UserError if tokenizer.model is missing or damaged, or there are more pieces than rows, or a token
    that the model needs lies beyond them.
    """
    path = folder / "tokenizer.model"
    if not path.is_file():
        raise UserError(f"{folder} holds no tokenizer.model, which the export of this family needs; copy it from "
                        "the original model (programs that save a tuned model often leave it out).")
    pieces = _read_pieces(path)
    if len(pieces) > rows:
        raise UserError(f"The tokenizer in {folder} has {len(pieces):,} pieces and the model's embedding {rows:,} "
                        "rows; they do not belong together.")
    tokens = [f"[PAD{k}]" for k in range(rows)]
    scores, types = [PADDING_SCORE] * rows, [UNUSED] * rows
    for k, (text, score, kind) in enumerate(pieces):
        tokens[k], scores[k], types[k] = text, score, kind
        if kind == USER_DEFINED:
            tokens[k], scores[k] = text.replace("\u2581", " "), ADDED_SCORE
            types[k] = CONTROL if LOOKS_SPECIAL.fullmatch(text) else USER_DEFINED
    settings = _json_or_empty(folder / "tokenizer_config.json")
    template = read_template(folder, settings)
    left_out = []
    for k, text, is_special in _added_tokens(folder, settings):
        if k >= rows:
            left_out.append(text)
            continue
        is_control = is_special or LOOKS_SPECIAL.fullmatch(text) is not None
        tokens[k], scores[k] = text if is_control else text.replace("\u2581", " "), ADDED_SCORE
        types[k] = CONTROL if is_control else USER_DEFINED
    _mark_controls(tokens, types, scores, _named_tokens(settings) | TURN_MARKERS | set(IN_TEMPLATE.findall(template)))
    named_beyond = [text for text in left_out if text in template or text in _special_texts(settings).values()]
    if named_beyond:
        raise UserError(f"The token {named_beyond[0]!r} lies beyond the {rows:,} rows of the model's embedding; "
                        "tokenizer and weights do not belong together.")
    special = _special_ids(settings, _json_or_empty(folder / "config.json"), tokens)
    vocab = Vocab(tokens=tokens, scores=scores, types=types, special_ids=special, template=template,
                  left_out=tuple(left_out))
    if template:
        special["eot"] = terminator(vocab)
    elif "<end_of_turn>" in tokens:
        special["eot"] = tokens.index("<end_of_turn>")
    return vocab


def read_template(folder: Path, settings: dict[str, Any]) -> str:
    """The chat template, unchanged; "" if there is none. The order is transformers': a file of its own comes first."""
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8")
    template = settings.get("chat_template") or _json_or_empty(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):
        return next((str(one["template"]) for one in template if one.get("name") == "default"), "")
    return template or ""


def _mark_controls(tokens: list[str], types: list[int], scores: list[float], texts: set[str]) -> None:
    """Make every token in texts a control token, whatever the folder's files say of it."""
    for k, text in enumerate(tokens):
        if text in texts and types[k] in (NORMAL, USER_DEFINED):
            types[k], scores[k] = CONTROL, ADDED_SCORE


def _added_tokens(folder: Path, settings: dict[str, Any]) -> Iterator[tuple[int, str, bool]]:
    """(id, text, is special) of each token that stands outside tokenizer.model, or overrides it there."""
    for text, k in _json_or_empty(folder / "added_tokens.json").items():
        yield int(k), text, False
    decoder = settings.get("added_tokens_decoder")
    if decoder:
        for k, token in decoder.items():
            yield int(k), token["content"], bool(token.get("special"))
        return
    for token in _json_or_empty(folder / "tokenizer.json").get("added_tokens", ()):
        yield token["id"], token["content"], bool(token.get("special"))


def _special_texts(settings: dict[str, Any]) -> dict[str, str]:
    """{"bos": "<bos>", ...} as tokenizer_config.json names them."""
    named = {name: settings.get(f"{name}_token") for name in SPECIAL_NAMES}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _named_tokens(settings: dict[str, Any]) -> set[str]:
    """Every text that tokenizer_config.json calls special."""
    extra: list[Any] = []
    for key in ("additional_special_tokens", "extra_special_tokens"):
        value = settings.get(key) or []
        extra += value.values() if isinstance(value, dict) else value
    texts = {one.get("content") if isinstance(one, dict) else one for one in extra}
    return {text for text in texts if isinstance(text, str)} | set(_special_texts(settings).values())


def _special_ids(settings: dict[str, Any], config: dict[str, Any], tokens: list[str]) -> dict[str, int]:
    """{"bos": 2, ...}: by the texts of tokenizer_config.json, else by the ids of config.json."""
    at = {text: k for k, text in reversed(list(enumerate(tokens)))}
    found = {name: at[text] for name, text in _special_texts(settings).items() if text in at}
    for name in SPECIAL_NAMES:
        k = config.get(f"{name}_token_id")
        k = k[0] if isinstance(k, list) and k else k
        if name not in found and isinstance(k, int) and 0 <= k < len(tokens):
            found[name] = k
    for name in ("bos", "eos"):
        if name not in found:
            raise UserError(f"Neither tokenizer_config.json nor config.json names the {name} token; "
                            "copy both files from the original model.")
    return found


def _read_pieces(path: Path) -> list[tuple[str, float, int]]:
    """(text, score, type) of each piece of a SentencePiece model: field 1 of ModelProto."""
    data = path.read_bytes()
    pieces = []
    try:
        for number, value in _fields(data):
            if number == 1:
                piece = dict(_fields(value))
                score = struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0
                pieces.append((piece[1].decode("utf-8"), score, piece.get(3, NORMAL)))
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error):
        raise UserError(f"{path} is no whole SentencePiece model; copy it from the original model again.") from None
    if not pieces:
        raise UserError(f"{path} holds no pieces; copy it from the original model again.")
    return pieces


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a protocol buffer: int for varints, bytes for everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[kind]
        if at + length > len(data):
            raise ValueError("a field ends beyond the file")
        yield tag >> 3, data[at:at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _json_or_empty(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values = runs.read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no table of settings; copy it from the original model again.")
    return values

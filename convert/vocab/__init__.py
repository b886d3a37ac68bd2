"""The vocabulary of a Hugging Face folder: which of its files is read, and what its tokens become in a GGUF."""

import re
from collections.abc import Sequence
from pathlib import Path

from convert.families.tensor import GEMMA_4, SENTENCEPIECE
from convert.vocab.finish import finished
from convert.vocab.merges import scores
from convert.vocab.pretokenizer import has_prefix, pre_name
from convert.vocab.sentencepiece import read_pieces
from convert.vocab.settings import Settings, read_settings
from convert.vocab.table import Table
from convert.vocab.tokenizer_json import Added, TokenizerJson, read_added, read_tokenizer_json
from convert.vocab.tokens import (
    ADDED_SCORE,
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Vocab,
)
from models.errors import UserError

__all__ = ["BYTE", "CONTROL", "NORMAL", "UNKNOWN", "UNUSED", "USER_DEFINED", "Vocab", "read_vocab"]

SHOWN_BY_GEMMA_4 = {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
                    '<|"|>'}    # control tokens that programs want to see in the text
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
BYTE_LETTERS = [chr(k) for k in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
SPACE_LETTER = "\u0120"


def read_vocab(folder: Path, rows: int, readers: Sequence[str] = (SENTENCEPIECE,)) -> Vocab:
    """The vocabulary of a model whose embedding has that many rows.

    readers: Family.vocabularies. With more than tokenizer.model allowed, tokenizer.json alone is enough, and its own
    settings say of which kind it is. Raises UserError if the files are missing or damaged, cut a text in a way that
    llama.cpp does not, or do not belong to such an embedding.
    """
    settings = read_settings(folder)
    model, path = folder / "tokenizer.model", folder / "tokenizer.json"
    if SENTENCEPIECE in readers and model.is_file():
        return _from_model(model, path, Table(folder, rows), settings)
    if SENTENCEPIECE in readers and (len(readers) == 1 or not path.is_file()):
        beside = "" if len(readers) == 1 else " and no tokenizer.json"
        raise UserError(f"{folder} holds no tokenizer.model{beside}, which the export of this family needs; copy it "
                        "from the original model (programs that save a tuned model often leave it out).")
    if not path.is_file():
        raise UserError(f"{folder} holds no tokenizer.json, which the export of this family needs; copy it from the "
                        "original model.")
    source = read_tokenizer_json(path)
    for token in source.added:
        if token.is_greedy and not token.is_special:
            raise UserError(f"{path} lets the token {token.text!r} take the spaces beside it or whole words only, "
                            "which llama.cpp does not.")
    table = Table(folder, rows)
    table.check_room(max(source.vocab.values()) + 1)
    if GEMMA_4 in readers:
        return _from_gemma_4(source, table, settings)
    return (_from_marked_spaces if source.has_bytes else _from_byte_level)(source, table, settings)


def _from_model(model: Path, path: Path, table: Table, settings: Settings) -> Vocab:
    """From tokenizer.model; of tokenizer.json (path) only what stands outside the pieces."""
    pieces = read_pieces(model)
    table.check_room(len(pieces.rows))
    plain = []
    for k, (text, score, kind) in enumerate(pieces.rows):
        table.put(k, text, score, kind)
        if kind == USER_DEFINED:
            plain.append(Added(k, text, is_special=False))
    added, post_processor = read_added(path)
    for token in [*plain, *settings.beside, *settings.decoder]:
        table.add(token)
    if not settings.decoder:
        for token in added:
            table.add_if_plain(token)
    listed = {token.text for token in [*settings.decoder, *added]}
    table.mark_controls(settings.in_template - listed)          # a turn marker that no file knows
    table.check_bytes()
    return finished(table, settings, added, post_processor, has_prefix=_prefix(pieces.has_prefix, settings))


def _from_marked_spaces(source: TokenizerJson, table: Table, settings: Settings) -> Vocab:
    """As tokenizer.model would have it: llama.cpp's older kind, which every program reads."""
    prefix = _prefix(has_prefix(source), settings)
    if source.takes_whole_words:
        raise UserError(f"{source.path} takes words that are tokens as a whole (ignore_merges), which llama.cpp does "
                        "not for this kind of tokenizer.")
    outside = {token.text for token in source.added} | {source.unknown}
    texts = sorted(source.vocab, key=source.vocab.__getitem__)
    best = scores(source, [text for text in texts if text not in outside and not BYTE_TOKEN.fullmatch(text)])
    for text in texts:
        kind = NORMAL if text in best else BYTE
        table.put(source.vocab[text], text, best.get(text, 0.0), kind)
    for token in source.added:
        table.add(token)
    unknown = source.unknown or settings.texts.get("unk")
    if unknown in source.vocab:
        table.put(source.vocab[unknown], unknown, 0.0, UNKNOWN)
    table.check_bytes()
    return finished(table, settings, source.added, source.post_processor, has_prefix=prefix)


def _from_byte_level(source: TokenizerJson, table: Table, settings: Settings) -> Vocab:
    """GPT-2's kind: every byte is a letter, and what may be merged is cut out of the text by a pattern."""
    pre = pre_name(source)
    missing = [letter for letter in BYTE_LETTERS if letter not in source.vocab]
    if missing:
        raise UserError(f"{source.path} has no token for the byte that is written {missing[0]!r}; llama.cpp would "
                        "leave it out of a text.")
    for text, k in source.vocab.items():
        table.put(k, text, 0.0, NORMAL)
    for token in source.added:
        table.add(token)
    return finished(table, settings, source.added, source.post_processor, model="gpt2", pre=pre,
                    merges=_joined(source))


def _from_gemma_4(source: TokenizerJson, table: Table, settings: Settings) -> Vocab:
    """Gemma 4: the pieces keep their merges, and their scores say nothing."""
    if has_prefix(source) or source.takes_whole_words or not source.has_bytes:
        raise UserError(f"{source.path} is no tokenizer of Gemma 4; copy it from the original model.")
    for text, k in source.vocab.items():
        table.put(k, text, ADDED_SCORE, BYTE if BYTE_TOKEN.fullmatch(text) else NORMAL)
    for token in source.added:
        table.add(token)
    for k, text in enumerate(table.tokens):
        if text in SHOWN_BY_GEMMA_4:
            table.types[k] = USER_DEFINED
    table.check_bytes()
    return finished(table, settings, source.added, source.post_processor, model="gemma4", pre="",
                    merges=_joined(source), has_prefix=False)


def _prefix(is_usual: bool, settings: Settings) -> bool | None:
    """llama.cpp puts a space before a text unless told otherwise; its converter repeats what the settings say."""
    said = settings.own.get("add_prefix_space")
    is_wanted = is_usual and said is not False
    return is_wanted if not is_wanted or said else None


def _joined(source: TokenizerJson) -> list[str]:
    """Each merge as "left right"; a space inside one is written as byte-level tokens write it."""
    return [f"{left.replace(' ', SPACE_LETTER)} {right.replace(' ', SPACE_LETTER)}" for left, right in source.merges]

"""The rows of an embedding, each with its token, while they are filled in from a tokenizer's files."""

from pathlib import Path

from convert.vocab.tokenizer_json import Added
from convert.vocab.tokens import (
    ADDED_SCORE,
    BYTE,
    CONTROL,
    NORMAL,
    PADDING_SCORE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)
from models.errors import UserError
from tasks.controls import LOOKS_SPECIAL

SPACE = "\u2581"


class Table:
    """Every row starts as unused padding."""

    def __init__(self, folder: Path, rows: int):
        self.folder = folder
        self.tokens = [f"[PAD{k}]" for k in range(rows)]
        self.scores, self.types = [PADDING_SCORE] * rows, [UNUSED] * rows
        self.left_out: list[str] = []           # tokens without a row

    def check_room(self, count: int) -> None:
        """Raises UserError if the tokenizer has more pieces than the embedding rows."""
        if count > len(self.tokens):
            raise UserError(f"The tokenizer in {self.folder} has {count:,} pieces and the model's embedding "
                            f"{len(self.tokens):,} rows; they do not belong together.")

    def put(self, k: int, text: str, score: float, kind: int) -> None:
        """Fill row k."""
        self.tokens[k], self.scores[k], self.types[k] = text, score, kind

    def add(self, token: Added) -> None:
        """A token from outside the model takes its row, whatever stands there."""
        if token.id >= len(self.tokens):
            self.left_out.append(token.text)
        elif token.is_special or LOOKS_SPECIAL.fullmatch(token.text):
            self.put(token.id, token.text, ADDED_SCORE, CONTROL)
        else:                                   # llama.cpp looks for it in the text as it was typed
            self.put(token.id, token.text.replace(SPACE, " "), ADDED_SCORE, USER_DEFINED)

    def add_if_plain(self, token: Added) -> None:
        """As add, unless the row is known as a control token already."""
        if token.id >= len(self.tokens) or self.types[token.id] not in (CONTROL, UNKNOWN) \
                or self.tokens[token.id] != token.text:
            self.add(token)

    def mark_controls(self, texts: set[str]) -> None:
        """Make every token in texts a control token, whatever the folder's files say of it."""
        for k, text in enumerate(self.tokens):
            if self.types[k] in (NORMAL, USER_DEFINED) and text in texts:
                self.types[k], self.scores[k] = CONTROL, ADDED_SCORE

    def check_bytes(self) -> None:
        """Raises UserError unless each byte has a token: llama.cpp ends the process at a byte without one."""
        found = {text for text, kind in zip(self.tokens, self.types, strict=True) if kind == BYTE}
        missing = [f"<0x{byte:02X}>" for byte in range(256) if f"<0x{byte:02X}>" not in found]
        if missing:
            raise UserError(f"The tokenizer in {self.folder} has no token for the byte {missing[0]}; it is damaged, "
                            "or made in a way that llama.cpp can not follow.")

    def check_texts(self) -> None:
        """Raises UserError for half of a character, or two rows with one text: llama.cpp ends the process then.

        It reads a text up to its first zero byte.
        """
        rows: dict[str, int] = {}
        for k, token in enumerate(self.tokens):
            text = token.partition("\0")[0] or f"[EMPTY_{k}]"
            if text in rows:
                raise UserError(f"The tokenizer in {self.folder} has the token {text[:100]!r} twice, as {rows[text]} "
                                f"and as {k}; llama.cpp does not load such a file.")
            if not is_whole(token):
                raise UserError(f"The tokenizer in {self.folder} has the token {token[:100]!r}, which is no whole "
                                "text; copy it from the original model again.")
            rows[text] = k


def is_whole(text: str) -> bool:
    """False if text holds half of a character, which JSON can write and a file can not."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)

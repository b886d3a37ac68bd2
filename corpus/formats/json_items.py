"""Values of a JSON text one after the other, each with its line, without the whole text in memory."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

BLOCK = 1 << 20
NEAR = 16                           # characters at a block's end in which a number, a name or an escape may be cut
CUT = " (is the end of the file missing?)"
TOO_DEEP = "its values are nested too deeply"
SPACE = re.compile(r"[ \t\r\n]*")


class JsonFault(ValueError):
    """What is wrong in a JSON text, "line 3: ..."."""


class JsonItems:
    """Reads a JSON text from its start; a value is taken whole, a list or an object may be entered."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text, self._at, self._is_end = "", 0, False
        self._line, self._counted = 1, 0    # the line of the character at _counted
        self._decoder = json.JSONDecoder(strict=False, parse_constant=lambda _: None)      # NaN is no value

    @property
    def line(self) -> int:
        """The line of the next value or sign."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        sign = self._text[self._at:self._at + 1]
        if sign and sign not in " \t\r\n":
            return sign
        while True:
            self._at = SPACE.match(self._text, self._at).end()      # type: ignore[union-attr]
            if self._at < len(self._text) or self._is_end:
                return self._text[self._at:self._at + 1]
            self._more()

    def skip(self, sign: str) -> bool:
        """Step over sign if it is next."""
        is_there = self.peek() == sign
        self._at += is_there
        return is_there

    def value(self) -> Any:
        """The next value, whole. Raises JsonFault."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.pos >= len(self._text) - NEAR or error.msg.startswith("Unterminated")
                if self._is_end or not is_cut:
                    is_cut = error.msg.startswith("Unterminated") or not self._text[error.pos:].strip()
                    raise self.fault(f"{error.msg}{CUT if is_cut else ''}", error.pos) from None
            except RecursionError:
                raise self.fault(TOO_DEEP) from None
            except ValueError as error:         # a number of more than 4,300 digits
                raise self.fault(str(error)) from None
            else:
                may_go_on = isinstance(value, int | float) and end + NEAR > len(self._text)     # 1 of 1.5, 1 of 1e3
                if self._is_end or not may_go_on:
                    self._at = end
                    return value
            self._more()

    def items(self) -> Iterator[tuple[int, Any]]:
        """(line, value) of each item of the list that is next."""
        assert self.skip("[")
        is_first = True
        while not self.skip("]"):
            if not is_first and not self.skip(","):
                raise self.fault(f"there is no comma or closing bracket after an item{self._cut()}")
            self.peek()
            line, is_first = self.line, False
            yield line, self.value()

    def names(self) -> Iterator[tuple[int, str]]:
        """(line, name) of each entry of the object that is next; who asks takes the value before the next name."""
        assert self.skip("{")
        is_first = True
        while not self.skip("}"):
            if not is_first and not self.skip(","):
                raise self.fault(f"there is no comma or closing brace after an entry{self._cut()}")
            is_name = self.peek() == '"'
            line, is_first = self.line, False
            name = self.value() if is_name else ""
            if not is_name or not self.skip(":"):
                raise self.fault(f"an entry has no name in double quotes before a colon{self._cut()}")
            yield line, name

    def fault(self, what: str, at: int | None = None) -> JsonFault:
        """what, with its line."""
        line = self.line + (self._text.count("\n", self._at, at) if at else 0)
        return JsonFault(f"line {line}: {what}")

    def _cut(self) -> str:
        return "" if self.peek() else CUT

    def _more(self) -> None:
        """Read on: as much as is waiting, so that a long value is tried few times."""
        self._line, self._counted = self.line, 0
        waiting = self._text[self._at:]
        block = self._file.read(max(BLOCK, len(waiting)))
        self._text, self._at, self._is_end = waiting + block, 0, not block

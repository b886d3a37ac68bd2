"""Bytes of tokens -> whole characters, held back while they may begin a stop string."""

import codecs


class TextStream:
    """Takes the bytes of one token after another; gives text that will never be taken back."""

    def __init__(self, stop: tuple[str, ...] = ()):
        self.stop = tuple(s for s in stop if s)
        self.is_stopped = False                 # a stop string was met; what follows it is dropped
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def add(self, raw: bytes) -> str:
        """The text that became certain with these bytes; "" when it is still open."""
        return self._released(self._held + self._decoder.decode(raw))

    def close(self) -> str:
        """What is still held, once no token follows; a cut character becomes U+FFFD."""
        text = self._released(self._held + self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""
        return text + rest

    def _released(self, text: str) -> str:
        if self.is_stopped:
            self._held = ""
            return ""
        found = [at for at in (text.find(s) for s in self.stop) if at >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[:min(found)]
        keep = max((_overlap(text, s) for s in self.stop), default=0)
        self._held = text[len(text) - keep:]
        return text[:len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of text are the beginning of stop."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)

"""Where long conversations were cut, so that their next turns are cut at the same place and stay cached."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from tasks import prompt
from tasks.prompt import Message, Spoken, Tokenizer

CONVERSATIONS = 64              # that are remembered; one that is forgotten is cut anew


class Window:
    """Fits conversations into a context; remembers what was left out of each. Not for two threads at once."""

    def __init__(self) -> None:
        self._cuts: OrderedDict[bytes, int] = OrderedDict()     # digest of what stood before a cut -> messages gone

    def fit(self, messages: Sequence[Message], tokenizer: Tokenizer, limit_tokens: int,
            spoken: Spoken | None = None) -> tuple[list[int], int]:
        """prompt.fit that leaves out what it left out last time, while that is enough."""
        before = list(_digests(messages))
        known = [digest for digest in before if digest in self._cuts]
        ids, dropped = prompt.fit(messages, tokenizer, limit_tokens, spoken, self._cuts[known[-1]] if known else 0)
        if dropped:
            first = 1 if messages[0].get("role") == "system" else 0
            digest = before[first + dropped - 1]
            self._cuts[digest] = dropped
            self._cuts.move_to_end(digest)
            while len(self._cuts) > CONVERSATIONS:
                self._cuts.popitem(last=False)
        return ids, dropped


def _digests(messages: Sequence[Message]) -> Iterator[bytes]:
    """A digest of the messages up to each of them."""
    running = hashlib.sha256()
    for message in messages:
        running.update(repr((message.get("role"), message.get("content"))).encode("utf-8", "replace"))
        yield running.digest()

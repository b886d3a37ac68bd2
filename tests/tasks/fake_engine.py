"""A tasks.engine.Engine without a model: one id a character, log-probabilities that are a function of the ids."""

import zlib
from collections.abc import Mapping, Sequence

from tasks.engine import Answered, Ids, Item
from tasks.prompt import Message

BOS, END = 2, 3
LIKED = -0.01                                   # log p of each token of a preferred candidate


class FakeEngine:
    """Deterministic; told what to prefer and to answer by words that stand in the prompt.

    prefers: {words: candidate}: where the words stand in a prompt, each token of that candidate (as text, its
    terminator not counted) has log p = LIKED. says: {words: answer}; "" as words fits every prompt, the first fit wins.
    Whatever is not told is a function of the ids alone: between -1 and -9 a token.
    """

    def __init__(self, *, prefers: Mapping[str, str] | None = None, says: Mapping[str, str] | None = None,
                 ctx_tokens: int = 1 << 16, name: str = "fake"):
        self.name, self.fingerprint, self.ctx_tokens = name, f"{zlib.crc32(name.encode()):016x}", ctx_tokens
        self._prefers, self._says = dict(prefers or {}), dict(says or {})
        self.scored: list[Item] = []            # everything that was asked, in order
        self.asked: list[str] = []              # the prompts of answers() as text
        self.grammars: list[str] = []           # one a call of answers()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """BOS, then "role: content" of each message in a line of its own, then "assistant: "."""
        return [BOS, *self.encode("".join(f"{one['role']}: {one['content']}\n" for one in messages) + "assistant: ")]

    def encode(self, text: str) -> list[int]:
        return [ord(one) + 10 for one in text]

    def start(self) -> list[int]:
        return [BOS]

    def text(self, ids: Ids) -> str:
        """The text of ids, without BOS and terminators."""
        return "".join(chr(one - 10) for one in ids if one >= 10)

    def terminator(self) -> int:
        return END

    def score(self, items: Sequence[Item]) -> list[list[list[float]]]:
        self.scored += items
        return [[self._scores(prompt, candidate) for candidate in candidates] for prompt, candidates in items]

    def _scores(self, prompt: Ids, candidate: Ids) -> list[float]:
        assert prompt and candidate and len(prompt) + len(candidate) <= self.ctx_tokens
        asked, said = self.text(prompt), self.text(candidate)
        if any(words in asked and said == liked for words, liked in self._prefers.items()):
            return [LIKED] * len(candidate)
        whole = [*prompt, *candidate]
        return [_logprob(whole[:len(prompt) + k + 1]) for k in range(len(candidate))]

    def answers(self, prompts: Sequence[Ids], max_tokens: int, grammar: str = "") -> list[Answered]:
        self.grammars.append(grammar)
        found = []
        for prompt in prompts:
            assert len(prompt) < self.ctx_tokens
            asked = self.text(prompt)
            self.asked.append(asked)
            said = next((answer for words, answer in self._says.items() if words in asked),
                        f"answer {zlib.crc32(asked.encode()) % 1000}")
            room = min(max_tokens, self.ctx_tokens - len(prompt))
            cut = said[:room]
            found.append(Answered(text=cut.strip(), tokens=len(cut), reason="stop" if len(said) <= room else "length"))
        return found


def _logprob(ids: Ids) -> float:
    return -1.0 - 8.0 * (zlib.crc32(repr(list(ids[-64:])).encode()) % 10_000) / 10_000

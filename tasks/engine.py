"""What a task asks of a model: the calls that a GGUF and a transformers model both answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.prompt import Message

Ids = Sequence[int]
Item = tuple[Ids, Sequence[Ids]]            # a prompt, and the candidates that may follow it


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One generated answer."""

    text: str                               # stripped, without the terminator
    tokens: int                             # generated, the terminator not counted
    reason: str                             # "stop": it ended by itself; "length": cut at the limit


@dataclass(frozen=True)
class TooLong:
    """Stands in the place of a result: the item does not fit, and was not computed. It is counted and listed."""

    tokens: int                             # of the prompt, with the longest candidate or the answer asked for
    ctx_tokens: int

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens, and the context holds {self.ctx_tokens:,}"


class Engine(Protocol):
    """A loaded model. Greedy and deterministic: the same calls in the same order give the same results."""

    @property
    def name(self) -> str:
        """What a person calls it: the file's or the folder's name."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hex digits of what answers, adapters included."""
        ...

    @property
    def ctx_tokens(self) -> int:
        """The longest conversation, prompt and answer together, in tokens."""
        ...

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation up to and including the header of the model's turn (tasks/prompt.py)."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of plain text, without BOS."""
        ...

    def start(self) -> list[int]:
        """What stands in front of plain text: the id of BOS, or nothing for a model that wants none."""
        ...

    def terminator(self) -> int:
        """The id that ends a turn."""
        ...

    def score(self, items: Sequence[Item]) -> list[list[list[float]]]:
        """log p of each token of each candidate after its prompt, in nats: one list an item, a candidate, a token.

        The items of one call give the same figures whatever was asked before. Raises UserError for one that is longer
        than the context: see too_long.
        """
        ...

    def answers(self, prompts: Sequence[Ids], max_tokens: int, grammar: str = "") -> list[Answered]:
        """The greedy answer to each prompt, many at once; grammar: GBNF that every answer has to follow.

        The prompts of one call give the same answers whatever was asked before; another grouping may differ where two
        tokens are as good as equally likely. An answer that meets the end of the context is cut there.
        Raises UserError for a prompt that leaves no room in the context for an answer.
        """
        ...


def too_long(engine: Engine, prompt: Ids, then: int) -> TooLong | None:
    """TooLong for a prompt that leaves no room for so many tokens behind it; None where it does."""
    tokens = len(prompt) + then
    return TooLong(tokens, engine.ctx_tokens) if tokens > engine.ctx_tokens else None

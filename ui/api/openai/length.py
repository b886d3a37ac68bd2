"""Whether a prompt fits the model's context: nothing is ever left out of a client's prompt."""

from collections.abc import Callable, Sequence

from runtime.config import SampleConfig
from runtime.session import ModelInfo, Session
from ui.api.openai.chat_request import Message
from ui.api.openai.errors import ApiError

TURN_TOKENS = 32                # what a template may write around a turn, at most
PICTURE_TOKENS = 1024           # a picture's cells, at most
LONGEST_TOKEN = 64              # bytes: hardly any is longer, so a text of n bytes has n / 64 tokens or more


def check_chat(session: Session, messages: Sequence[Message], sample: SampleConfig) -> None:
    """Raise ApiError if messages are more than what the runtime leaves for a prompt beside the answer."""
    info = session.info
    if info is None:
        return
    room = info.ctx_tokens - min(sample.max_tokens, info.ctx_tokens // 4)
    size = sum(message.characters for message in messages)
    most = size + TURN_TOKENS * len(messages) + PICTURE_TOKENS * sum(message.pictures for message in messages)
    _check(info, room, size, most, lambda: len(session.prompt_ids([message.turn() for message in messages])),
           "messages")


def check_text(session: Session, prompt: str | list[int]) -> None:
    """The same for a prompt without a template."""
    info = session.info
    if info is None:
        return
    if isinstance(prompt, list):
        _check(info, info.ctx_tokens - 1, 0, len(prompt), lambda: len(prompt), "prompt")
        return
    size = len(prompt.encode("utf-8", "replace"))
    _check(info, info.ctx_tokens - 1, size, size + 1, lambda: len(session.encode(prompt)) + 1, "prompt")


def _check(info: ModelInfo, room: int, size: int, most: int, count: Callable[[], int], param: str) -> None:
    """size: bytes of text; most: what the prompt can have at most in tokens. Counts only where it may matter."""
    if most <= room:
        return
    if size > info.ctx_tokens * LONGEST_TOKEN:
        raise _too_long(f"{size:,} bytes", info, param)
    tokens = count()
    if tokens > room:
        raise _too_long(f"{tokens:,} tokens", info, param)


def _too_long(much: str, info: ModelInfo, param: str) -> ApiError:
    return ApiError(400, f"The prompt has {much}; the model's context holds {info.ctx_tokens:,} tokens, the answer "
                    "included. Shorten the prompt, or load the model with a longer context.",
                    param=param, code="context_length_exceeded")

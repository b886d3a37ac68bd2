"""What the endpoints of /v1 send, field by field."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from runtime.messages import End

Finish = Literal["stop", "length"]


class PromptDetails(TypedDict):
    cached_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class TopLogprob(TypedDict):
    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(TypedDict):
    content: list[TokenLogprob]
    refusal: None


class TextLogprobs(TypedDict):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class AnswerMessage(TypedDict):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(TypedDict):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: Finish


class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(TypedDict):
    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]


class ChunkChoice(TypedDict):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: Finish | None


class ChatChunk(TypedDict):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]


class TextChoice(TypedDict):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Finish | None


class TextCompletion(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: NotRequired[Usage | None]


class EmbeddingItem(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


class ModelItem(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelItem]


def finish(end: End) -> Finish:
    """Why an answer ended."""
    return "length" if end.finish_reason == "length" else "stop"


def usage_of(ends: list[End]) -> Usage:
    """The figures of some answers together."""
    prompt, made = sum(end.prompt_tokens for end in ends), sum(end.generated_tokens for end in ends)
    return Usage(prompt_tokens=prompt, completion_tokens=made, total_tokens=prompt + made,
                 prompt_tokens_details=PromptDetails(cached_tokens=sum(end.cached_tokens for end in ends)))


def top_logprob(text: str, logprob: float) -> TopLogprob:
    """One token; its bytes are unknown where it is a part of a character."""
    return TopLogprob(token=text, logprob=logprob, bytes=None if "\ufffd" in text else list(text.encode()))


def chat_logprobs(tokens: list[dict[str, Any]]) -> ChatLogprobs:
    """Of a part of an answer; tokens as runtime/scheduler.py's TokenLogprob."""
    return ChatLogprobs(refusal=None, content=[
        TokenLogprob(**top_logprob(one["text"], one["logprob"]),
                     top_logprobs=[top_logprob(text, value) for _, text, value in one["top"]]) for one in tokens])


def text_logprobs(tokens: list[dict[str, Any]], offset: int) -> TextLogprobs:
    """The same for a text completion; offset: where the part begins in the whole text."""
    offsets = []
    for one in tokens:
        offsets.append(offset)
        offset += len(one["text"])
    return TextLogprobs(tokens=[one["text"] for one in tokens], text_offset=offsets,
                        token_logprobs=[one["logprob"] for one in tokens],
                        top_logprobs=[{text: value for _, text, value in reversed(one["top"])} for one in tokens])

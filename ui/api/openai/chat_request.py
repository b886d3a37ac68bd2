"""What a client may ask of /v1/chat/completions, and what it is in the runtime's words."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from models.errors import UserError
from runtime.schema import schema_grammar
from ui.api.openai.errors import ApiError
from ui.api.openai.fields import LABEL, STRICT, Fields, Name, Sampling, without_idle

MAX_MESSAGES, MAX_PARTS = 2048, 1024
MAX_SCHEMA_CHARACTERS = 200_000
MAX_TOP_LOGPROBS = 20
ANY_OBJECT = '{"type": "object"}'

IDLE: Fields = {
    "n": (1,), "tools": ([],), "functions": ([],), "tool_choice": ("none", "auto"), "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False), "logit_bias": ({},), "presence_penalty": (0,), "frequency_penalty": (0,),
    "audio": (), "modalities": (["text"],), "prediction": (), "store": (False,), "metadata": ({},), "moderation": (),
    "service_tier": ("auto", "default"), "reasoning_effort": ("none",), "verbosity": ("medium",),
    "web_search_options": (), "prompt_cache_options": (), "prompt_cache_retention": ("in_memory",),
}
IDLE_OF_MESSAGE: Fields = {"name": (), "tool_calls": ([],), "function_call": (), "tool_call_id": (), "audio": (),
                           "refusal": (), "annotations": ([],)}
IDLE_OF_PICTURE: Fields = {"detail": ("auto",)}


class ImageUrl(BaseModel):
    """A picture as a data: address."""
    model_config = STRICT
    url: str = Field(pattern="^data:", description="data:image/png;base64,... or a JPEG; nothing is fetched")

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        return without_idle(given, IDLE_OF_PICTURE)


class TextPart(BaseModel):
    model_config = STRICT
    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    model_config = STRICT
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(BaseModel):
    """One turn. Pictures: in a user's turns, for a model that sees."""
    model_config = STRICT
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(min_length=1, max_length=MAX_PARTS)]

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        return without_idle(given, IDLE_OF_MESSAGE)

    @property
    def pictures(self) -> int:
        """How many it holds."""
        return 0 if isinstance(self.content, str) else sum(isinstance(part, ImagePart) for part in self.content)

    @property
    def characters(self) -> int:
        """Of its text, in bytes of UTF-8."""
        texts = [self.content] if isinstance(self.content, str) else [
            part.text for part in self.content if isinstance(part, TextPart)]
        return sum(len(text.encode("utf-8", "replace")) for text in texts)

    def turn(self) -> dict[str, Any]:
        """As tasks/prompt.py takes it."""
        role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, str):
            return {"role": role, "content": self.content}
        return {"role": role, "content": [part.model_dump() for part in self.content]}


class NamedSchema(BaseModel):
    """A JSON schema of the answer. It is always followed to the letter, strict or not."""
    model_config = STRICT
    name: str = Field(pattern="^[a-zA-Z0-9_-]+$", max_length=64)
    description: Name | None = None
    schema_: dict[str, Any] = Field(default_factory=lambda: {"type": "object"}, alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What the answer looks like: text, any JSON object, or JSON by a schema."""
    model_config = STRICT
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError("value_error", "a json_schema goes with the type json_schema, and only there.")
        return self

    def schema_text(self) -> str:
        """The schema of the answer as JSON, "" for plain text. Raises ApiError for one that can not be followed."""
        if self.type == "text":
            return ""
        text = json.dumps(self.json_schema.schema_) if self.json_schema else ANY_OBJECT
        try:
            if len(text) > MAX_SCHEMA_CHARACTERS:
                raise UserError(f"The JSON schema has {len(text):,} characters; use {MAX_SCHEMA_CHARACTERS:,} at most.")
            schema_grammar(text)
        except UserError as error:
            raise ApiError(400, f"response_format: {error}", param="response_format", code="invalid_value") from error
        return text


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1, le=1 << 20, description="The same as max_tokens")
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    response_format: ResponseFormat | None = None
    safety_identifier: Name | None = Field(None, description=LABEL)
    prompt_cache_key: Name | None = Field(None, description=LABEL)

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        return without_idle(given, IDLE)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("not_supported", "only allowed when logprobs is true.", {"field": "top_logprobs"})
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise PydanticCustomError("not_supported", "another number than max_tokens; send one of the two.",
                                      {"field": "max_completion_tokens"})
        return self

    def answer_form(self) -> dict[str, Any]:
        """What of the sampling hangs on the answer's form. Raises ApiError for a schema that can not be followed."""
        longest = {"max_tokens": self.max_completion_tokens} if self.max_completion_tokens else {}
        schema = self.response_format.schema_text() if self.response_format else ""
        return {"json_schema": schema, "logprobs": (self.top_logprobs or 0) if self.logprobs else -1, **longest}

    def turns(self) -> list[dict[str, Any]]:
        """The conversation as the runtime takes it."""
        return [message.turn() for message in self.messages]

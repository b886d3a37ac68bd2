"""What the requests have in common: fields that are obeyed by every endpoint, and those that are none of ours."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from runtime.config import SampleConfig
from runtime.session import ModelInfo

SEEDS = (1 << 32) - 1                           # what the runtime tells apart
MAX_STOPS, LONGEST_STOP = 16, 512
MAX_NAME = 1024
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
LABEL = "A label of the caller's own; it changes no answer, in the protocol neither."

Name = Annotated[str, Field(max_length=MAX_NAME)]
Stop = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]
Fields = Mapping[str, tuple[Any, ...]]          # of the protocol, not obeyed -> the values that ask for nothing


def without_idle(given: Any, idle: Fields) -> Any:
    """given without the fields that ask for what happens anyway; null asks for nothing, everywhere.

    Raises PydanticCustomError for one that asks for what Galen does not do.
    """
    if not isinstance(given, dict):
        return given
    for name, values in idle.items():
        value = given.get(name)
        if value is not None and not any(_is_same(value, one) for one in values):
            accepted = f"leave it out{''.join(f', or send {one!r}' for one in values[:1])}"
            raise PydanticCustomError("not_supported", "Galen does not do this; {accepted}.",
                                      {"field": name, "accepted": accepted})
    return {name: value for name, value in given.items() if value is not None and name not in idle}


def _is_same(a: Any, b: Any) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


class StreamOptions(BaseModel):
    """What comes with a stream."""
    model_config = STRICT
    include_usage: bool = Field(False, description="One more chunk at the end, with the usage")

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        return without_idle(given, {"include_obfuscation": (False,)})


class Sampling(BaseModel):
    """How an answer is drawn, and sent; what is left out is the model's own."""
    model_config = STRICT
    model: Name = Field(description="The id of a model of /v1/models")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(1 << 63), lt=1 << 63, description="The same text again, alone on the model")
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = Field(
        None, description="The answer ends before any of these")
    max_tokens: int | None = Field(None, ge=1, le=1 << 20, description="The longest answer")
    stream: bool = Field(False, description="Piece by piece, as Server-Sent Events")
    stream_options: StreamOptions | None = None
    user: Name | None = Field(None, description=LABEL)

    @property
    def has_usage(self) -> bool:
        """True if a stream's last chunk is to hold the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sample(self, info: ModelInfo | None, **more: Any) -> SampleConfig:
        """The values that were given, over the model's own."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        seed = None if self.seed is None else self.seed % SEEDS
        given = {"temperature": self.temperature, "top_p": self.top_p, "seed": seed,
                 "max_tokens": self.max_tokens, "stop": tuple(stop) if stop else None, **more}
        own: dict[str, Any] = info.sampling if info else {}
        return SampleConfig(**{**own, **{name: value for name, value in given.items() if value is not None}})

    @model_validator(mode="after")
    def _check_stream_options(self) -> Self:
        if self.stream_options and not self.stream:
            raise PydanticCustomError("not_supported", "only allowed when stream is true.", {"field": "stream_options"})
        return self

"""How a model is loaded and how an answer is sampled: every knob of the runtime, once."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import UserError
from models.knobs import check

# of a SampleConfig -> the key of a GGUF's header that holds the model's own value (llama.cpp's gguf-py, constants.py)
OWN_SAMPLING = {"temperature": "general.sampling.temp", "top_k": "general.sampling.top_k",
                "top_p": "general.sampling.top_p", "min_p": "general.sampling.min_p",
                "repeat_penalty": "general.sampling.penalty_repeat"}


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """How a GGUF is put into memory."""
    ctx_tokens: int = field(default=0, metadata=dict(
        label="Context", unit="tokens of one conversation (0: chosen)", min=0, max=1 << 20))
    slots: int = field(default=8, metadata=dict(label="Answers at once", min=1, max=40))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: chosen)", min=0, max=512))
    device: str = field(default="", metadata=dict(label="Device", unit="(empty: chosen; cpu: no GPU; or its name)"))
    gpu_layers: int = field(default=-1, metadata=dict(label="Layers on the GPU", unit="(-1: all that fit)", min=-1,
                                                      max=1000))
    projector: str = field(default="", metadata=dict(
        label="Projector", unit="a mmproj file for pictures (empty: the one beside the model that belongs to it)"))
    batch_tokens: int = field(default=0, metadata=dict(label="Prompt tokens computed at once",
                                                       unit="(0: chosen)", min=0, max=4096))
    exact: bool = field(default=False, metadata=dict(label="Exact (float32 cache and GELU, no flash attention)"))
    idle_minutes: float = field(default=0.0, metadata=dict(label="Unload when idle for", unit="minutes (0: never)",
                                                           min=0.0, max=1e6))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How the next token is drawn."""
    temperature: float = field(default=0.7, metadata=dict(label="Temperature", min=0.0, max=5.0))
    top_k: int = field(default=64, metadata=dict(label="Top k", unit="(0: off)", min=0, max=1 << 20))
    top_p: float = field(default=0.95, metadata=dict(label="Top p", min=0.0, max=1.0))
    min_p: float = field(default=0.0, metadata=dict(label="Min p", min=0.0, max=1.0))
    repeat_penalty: float = field(default=1.0, metadata=dict(label="Repeat penalty", min=0.1, max=5.0))
    seed: int = field(default=-1, metadata=dict(label="Seed", unit="(-1: a new one each time)", min=-1,
                                                max=(1 << 32) - 2))
    max_tokens: int = field(default=1024, metadata=dict(label="Longest answer", unit="tokens", min=1, max=1 << 20))
    stop: tuple[str, ...] = field(default=(), metadata=dict(label="Stop strings"))
    json_schema: str = field(default="", metadata=dict(label="JSON schema of the answer"))
    grammar: str = field(default="", metadata=dict(label="GBNF grammar of the answer"))
    logprobs: int = field(default=-1, metadata=dict(label="Log-probabilities", min=-1, max=20,
                                                    unit="(-1: none; n: of each token and of the n likeliest)"))

    def __post_init__(self) -> None:
        check(self)


def own_sampling(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Fields of SampleConfig as a model's header states them, for answers where nobody says otherwise.

    A value of another type, or out of our limits, counts as none.
    """
    own: dict[str, float] = {}
    for name, key in OWN_SAMPLING.items():
        value = metadata.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(UserError, ValueError, OverflowError):     # NaN and infinity are no whole numbers
                said: dict[str, Any] = {name: int(value) if name == "top_k" else float(value)}
                own[name] = getattr(SampleConfig(**said), name)
    return own

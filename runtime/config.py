"""How a model is loaded and how an answer is sampled: every knob of the runtime, once."""

from dataclasses import dataclass, field

from models.knobs import check


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """How a GGUF is put into memory."""
    ctx_tokens: int = field(default=0, metadata=dict(
        label="Context", unit="tokens (0: the model's own, at most 8,192)", min=0, max=1 << 20))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: one for each core)", min=0, max=512))
    gpu_layers: int = field(default=-1, metadata=dict(label="Layers on the GPU", unit="(-1: all)", min=-1, max=1000))
    exact: bool = field(default=False, metadata=dict(label="Exact (float32 cache, no flash attention)"))

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

    def __post_init__(self) -> None:
        check(self)

"""What a comparison measures: every knob of it, once."""

from dataclasses import dataclass, field

from models.knobs import check


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Base, base + adapter and GGUFs, on the same held-out rows."""
    base: str = field(metadata=dict(label="Base model folder"))
    adapter: str = field(default="", metadata=dict(label="Adapter folder"))
    ggufs: tuple[str, ...] = field(default=(), metadata=dict(label="GGUF files"))
    rows: str = field(metadata=dict(label="Held-out rows (JSON lines)"))
    max_tokens: int = field(default=96, metadata=dict(label="Longest answer", unit="tokens", min=1, max=4096))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: one for each core)", min=0, max=512))

    def __post_init__(self) -> None:
        check(self)

"""Every knob of an export, once."""

from dataclasses import dataclass, field

from models.knobs import check

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_0",
         "IQ4_XS", "IQ4_NL", "Q3_K_M", "Q2_K")    # the keys of runtime/quantize.py's TYPES (tested)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """A trained run, an adapter or a Hugging Face folder -> checked GGUF files."""
    source: str = field(metadata=dict(label="Source", unit="run, adapter or model folder"))
    base: str = field(default="", metadata=dict(label="Base model", unit="(empty: the one the adapter names)"))
    types: tuple[str, ...] = field(default=("Q8_0",), metadata=dict(label="Type", choices=TYPES))
    out: str = field(default="", metadata=dict(label="Output folder", unit="(empty: in the run's own folder)"))
    name: str = field(default="", metadata=dict(label="Name", unit="(empty: the source folder's)"))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: one for each core)", min=0, max=512))

    def __post_init__(self) -> None:
        check(self)

"""Every knob of an export, once."""

from dataclasses import dataclass, field

from models.errors import UserError
from models.knobs import check

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_0",
         "IQ4_XS", "IQ4_NL", "Q3_K_M", "Q2_K")    # the keys of runtime/quantize.py's TYPES (tested)
ADAPTER, SAFETENSORS = "adapter", "safetensors"   # what else can come out: a LoRA GGUF; merged weights for vLLM
EXPORT_KINDS = (*TYPES, ADAPTER, SAFETENSORS)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """A trained run, an adapter or a Hugging Face folder -> checked GGUF files."""
    source: str = field(metadata=dict(label="Source", unit="run, adapter or model folder"))
    more: tuple[str, ...] = field(default=(), metadata=dict(
        label="Further adapters", unit="runs or adapters, in order"))
    base: str = field(default="", metadata=dict(label="Base model", unit="(empty: the one the adapter names)"))
    types: tuple[str, ...] = field(default=("Q8_0",), metadata=dict(
        label="Type", choices=EXPORT_KINDS))
    out: str = field(default="", metadata=dict(label="Output folder", unit="(empty: in the run's own folder)"))
    name: str = field(default="", metadata=dict(label="Name", unit="(empty: the source folder's)"))
    compare: bool = field(default=True, metadata=dict(label="Compare with the reference"))
    importance: bool = field(default=True, metadata=dict(label="Importance matrix from the held-out rows"))
    force: bool = field(default=False, metadata=dict(label="Publish a file that failed its check"))
    ollama: str = field(default="", metadata=dict(label="Name in Ollama", unit="(empty: not sent)"))
    push: str = field(default="", metadata=dict(label="Hub repository", unit="owner/name (empty: not sent)"))
    public: bool = field(default=False, metadata=dict(label="Anybody may see the hub repository"))
    allow_identifiers: bool = field(default=False, metadata=dict(label="Push texts that look like personal data"))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: one for each core)", min=0, max=512))

    def __post_init__(self) -> None:
        check(self)
        if not self.types:
            raise UserError("No type is named; use one or more of those that `export --help` lists.")

    @property
    def gguf_types(self) -> list[str]:
        """The types of GGUF files asked for, each once, in order."""
        return [name for name in dict.fromkeys(self.types) if name in TYPES]

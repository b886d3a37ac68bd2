"""What a comparison and an evaluation measure: every knob of them, once."""

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


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """One benchmark, on one model or on two.

    model, against: a GGUF, a listed model, or the folder of a Hugging Face model, a run or an adapter. guard: a run
    folder, or its training files, whose rows mark the items that they overlap. fast and limit draw items at random.
    """

    benchmark: str = field(metadata=dict(label="Benchmark"))
    model: str = field(default="demo", metadata=dict(label="Model"))
    against: str = field(default="", metadata=dict(label="Second model, to compare with"))
    file: str = field(default="", metadata=dict(label="File, folder or hf:OWNER/NAME (empty = the benchmark's own)"))
    split: str = field(default="", metadata=dict(label="Split of the source (empty = the benchmark's own)"))
    layout: str = field(default="", metadata=dict(label="Layout of a file of your own (empty = recognised)"))
    columns: tuple[str, ...] = field(default=(), metadata=dict(label="Columns by hand, as field=column"))
    sheet: str = field(default="", metadata=dict(label="Sheet of a workbook"))
    dev: str = field(default="", metadata=dict(label="Development rows that probabilities are calibrated on"))
    calibration: str = field(default="", metadata=dict(label="A calibration that was fitted before"))
    guard: str = field(default="", metadata=dict(label="Run folder or file whose training rows are looked for"))
    limit: int = field(default=0, metadata=dict(label="Most items (0 = all)", unit="items", min=0, max=10_000_000))
    fast: bool = field(default=False, metadata=dict(label="A sample of 100 items"))
    seed: int = field(default=0, metadata=dict(label="Seed", min=0, max=2**31 - 1))
    by: str = field(default="letters", metadata=dict(
        label="Options are told apart by the likelihood of", choices=("letters", "texts")))
    per_token: bool = field(default=False, metadata=dict(label="Likelihoods are means over the tokens"))
    is_prior_corrected: bool = field(default=False, metadata=dict(
        label="What the model would choose without a question is taken out"))
    threshold: float = field(default=0.0, metadata=dict(
        label="No answer below this probability", min=0, max=1))
    headers: str = field(default="given", metadata=dict(
        label="Section headers are", choices=("given", "predicted")))
    max_tokens: int = field(default=256, metadata=dict(label="Longest answer", unit="tokens", min=1, max=8192))
    labels_by: str = field(default="sets", metadata=dict(
        label="Labels are asked for in one answer, or each by itself", choices=("sets", "each")))
    classifier: str = field(default="", metadata=dict(label="Folder of a fitted classifier, which decides"))
    labels: tuple[str, ...] = field(default=(), metadata=dict(label="Labels to choose from (empty = the file's)"))
    ctx_tokens: int = field(default=0, metadata=dict(
        label="Context (0 = as usual)", unit="tokens", min=0, max=1_048_576))
    exact: bool = field(default=False, metadata=dict(label="32-bit cache, no flash attention"))
    threads: int = field(default=0, metadata=dict(label="Threads", unit="(0: one for each core)", min=0, max=512))

    def __post_init__(self) -> None:
        check(self)

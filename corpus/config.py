"""What can be said of a person's data: DataConfig, which every training configuration begins with."""

from dataclasses import dataclass, field

from models import knobs
from models.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which rows, read how, cleaned how, guarded against what, split how.

    data, eval, guard: files, folders, or "hf:OWNER/NAME" for a dataset of the hub. Identifier kinds are those of
    tasks/phi, or "all".
    """

    data: tuple[str, ...] = field(default=(), metadata=dict(label="Training files"))
    eval: tuple[str, ...] = field(default=(), metadata=dict(label="Validation files"))
    guard: tuple[str, ...] = field(default=(), metadata=dict(
        label="Further test files whose rows training must not see"))
    layout: str = field(default="", metadata=dict(label="Layout (empty = recognised)"))
    columns: tuple[str, ...] = field(default=(), metadata=dict(label="Columns by hand, as field=column"))
    sheet: str = field(default="", metadata=dict(label="Sheet of a workbook"))
    dataset_split: str = field(default="", metadata=dict(label="Split of a dataset"))
    limit_rows: int = field(default=0, metadata=dict(
        label="Most rows read of each file (0 = all)", unit="rows", min=0, max=100_000_000))

    min_chars: int = field(default=10, metadata=dict(
        label="Shortest field", unit="characters", min=0, max=100_000))
    max_words: int = field(default=500, metadata=dict(
        label="Longest field (0 = any)", unit="words", min=0, max=10_000_000))
    exact_duplicates: str = field(default="drop", metadata=dict(
        label="Rows that repeat another one", choices=("drop", "keep")))
    near_duplicates: str = field(default="drop", metadata=dict(
        label="Rows that nearly repeat another one", choices=("drop", "keep")))
    similarity: float = field(default=0.85, metadata=dict(
        label="Similarity from which two texts are near duplicates", min=0.5, max=1))
    conflicts: str = field(default="keep", metadata=dict(
        label="Rows with the same input and different answers", choices=("keep", "first", "drop")))
    empty_answers: str = field(default="drop", metadata=dict(
        label="Empty and boilerplate answers", choices=("drop", "keep")))
    leaks: str = field(default="drop", metadata=dict(
        label="Training rows that also stand in an evaluation set", choices=("drop", "keep")))
    mask: tuple[str, ...] = field(default=(), metadata=dict(label="Kinds of identifiers to mask"))
    drop: tuple[str, ...] = field(default=(), metadata=dict(label="Kinds of identifiers whose rows are dropped"))

    eval_share: float = field(default=0.15, metadata=dict(
        label="Share of rows set aside for validation when no file is given", min=0.01, max=0.5))
    test_share: float = field(default=0.15, metadata=dict(
        label="Share of rows set aside for the end when no file is given", min=0, max=0.4))
    seed: int = field(default=0, metadata=dict(label="Seed", min=0, max=2**31 - 1))

    def __post_init__(self) -> None:
        knobs.check(self)
        for pair in self.columns:
            if not all(part.strip() for part in pair.partition("=")):
                raise UserError(f"Columns by hand has {pair!r}; write field=column, as question=Frage.")
        self._check_columns()

    def column_of(self) -> dict[str, str]:
        """{field of the layout: column of the table}, as mapped by hand."""
        pairs = (pair.partition("=") for pair in self.columns)
        return {name.strip(): column.strip() for name, _, column in pairs}

    def _check_columns(self) -> None:
        """Raises UserError if a field is mapped twice, or a column is two fields."""
        pairs = [(name.strip(), column.strip()) for name, _, column in (pair.partition("=") for pair in self.columns)]
        for k, (name, column) in enumerate(pairs):
            for other, its_column in pairs[:k]:
                if other.casefold() == name.casefold():
                    raise UserError(f"Columns by hand has {name} twice, as {its_column!r} and as {column!r}; give "
                                    "one of them.")
                if its_column == column != "-":
                    raise UserError(f"Columns by hand has the column {column!r} twice, as {other} and as {name}; give "
                                    "one of them.")

"""What `summarise` does: consultations of a file -> sections of notes, in a job of its own."""

from collections.abc import Sequence

from evaluation.batch.config import SummariseConfig
from models.errors import UserError
from tasks.sections import NOTE
from ui.actions import batch
from ui.actions.batch import Wishes
from ui.actions.summaries import NOTE_TOKENS, SECTION_TOKENS, SECTIONS, WHOLE


def config_of(wishes: Wishes, *, header: str = "", sections: str = "",
              max_tokens: int | None = None) -> SummariseConfig:
    """The task that is wished for. sections: "subjective,plan". Raises UserError for what does not fit."""
    return batch.config_of(SummariseConfig, wishes, {
        "header": header, "sections": tuple(part.strip() for part in sections.split(",") if part.strip()),
        "max_tokens": max_tokens})


def page_config(file: str, model: str, columns: Sequence[str], section: str) -> SummariseConfig:
    """The task as the page says it; section: one of SECTIONS. Raises UserError for what does not fit."""
    if section not in SECTIONS:
        raise UserError(f"There is no section {section!r}; choose one of the list.")
    is_whole = section == WHOLE
    return batch.config_of(SummariseConfig, Wishes(file=file, model=model, columns=columns), {
        "header": "" if is_whole else section, "sections": NOTE if is_whole else (),
        "max_tokens": NOTE_TOKENS if is_whole else SECTION_TOKENS})

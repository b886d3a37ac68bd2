"""One pasted dialogue -> a section of a note, or a whole one: what the summarise page asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from corpus.read import whole_text
from models.errors import UserError
from tasks import summarise
from tasks.engine import Engine, TooLong
from tasks.headers import HEADERS
from tasks.sections import NOTE
from tasks.summarise import Consultation, Summary
from ui.actions.model import CurrentModel
from ui.actions.single import Single

LIKELIEST, WHOLE = "", "whole note"
SECTIONS: Mapping[str, str] = {LIKELIEST: "The likeliest section", WHOLE: "The whole note",
                               **HEADERS}
SECTION_TOKENS, NOTE_TOKENS = 256, 1024
MOST_CHARS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be summarised; section: one of SECTIONS."""

    dialogue: str
    section: str


class Summaries(Single[Wanted, Summary]):
    """The dialogue that is being summarised, or was last."""

    def __init__(self, model: CurrentModel):
        super().__init__(model, summarised)

    def begin(self, dialogue: str, section: str) -> None:
        """Summarise a dialogue. Raises UserError for an empty one, an unknown section, or while another is written."""
        if not dialogue.strip():
            raise UserError("There is no conversation yet; paste one, or take the example.")
        if len(dialogue) > MOST_CHARS:
            raise UserError(f"The conversation has {len(dialogue):,} characters, and {MOST_CHARS:,} are taken at once; "
                            "leave some of it out.")
        if section not in SECTIONS:
            raise UserError(f"There is no section {section!r}; choose one of the list.")
        self.ask(Wanted(dialogue=whole_text(dialogue.strip()), section=section))


def summarised(wanted: Wanted, opened: Callable[[], Engine]) -> Summary:
    """The section, or the note. Raises UserError where the model's context is too short for any part of it."""
    engine = opened()
    if wanted.section == WHOLE:
        [found] = summarise.whole_note(engine, [wanted.dialogue], NOTE, min(NOTE_TOKENS, engine.ctx_tokens // 2))
    else:
        [found] = summarise.sections(engine, [Consultation(wanted.dialogue, wanted.section)],
                                     min(SECTION_TOKENS, engine.ctx_tokens // 2))
    if isinstance(found, TooLong):
        raise UserError(f"The conversation is too long for this model ({found}); choose a model with a longer context.")
    return found

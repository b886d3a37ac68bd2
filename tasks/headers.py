"""Which section of a clinical note a conversation belongs to: read from the likelihood of each header."""

from collections.abc import Mapping, Sequence

from models.errors import UserError
from tasks import readout
from tasks.engine import Engine, TooLong
from tasks.readout import Asked, Reading

HEADERS: Mapping[str, str] = {                  # of MTS-Dialog, and what they stand for
    "FAM/SOCHX": "Family and social history",
    "GENHX": "History of the present illness",
    "PASTMEDICALHX": "Past medical history",
    "CC": "Chief complaint",
    "PASTSURGICAL": "Past surgical history",
    "ALLERGY": "Allergies",
    "ROS": "Review of systems",
    "MEDICATIONS": "Medications",
    "ASSESSMENT": "Assessment",
    "EXAM": "Physical examination",
    "DIAGNOSIS": "Diagnosis",
    "DISPOSITION": "Disposition",
    "PLAN": "Plan of treatment",
    "EDCOURSE": "Emergency department course",
    "IMMUNIZATIONS": "Immunizations",
    "IMAGING": "Imaging",
    "GYNHX": "Gynecologic history",
    "PROCEDURES": "Procedures",
    "OTHER_HISTORY": "Other history",
    "LABS": "Laboratory results",
}
NOTHING = "N/A"


def check(headers: Mapping[str, str]) -> None:
    """Raise UserError for headers that no answer can tell apart."""
    said: dict[str, str] = {}                   # words -> header
    for header, words in headers.items():
        if not header.strip() or not words.strip():
            raise UserError(f"The header {header!r} is described as {words!r}; give each header a name and words.")
        other = said.setdefault(" ".join(words.casefold().split()), header)
        if other != header:
            raise UserError(f"The headers {other!r} and {header!r} are both described as {words!r}; word them apart.")


def request(dialogue: str, headers: Mapping[str, str]) -> str:
    """The user message that asks for the section that a dialogue belongs to."""
    listed = "; ".join(headers.values())
    return (f"Which section of a clinical note is this conversation for? Answer with one of: {listed}."
            f"\n\n{dialogue.strip()}")


def likelihoods(engine: Engine, dialogues: Sequence[str], headers: Mapping[str, str],
                is_prior_corrected: bool = False) -> list[dict[str, float] | TooLong]:
    """{header: log p, in nats} behind each dialogue, in order; TooLong for one that the context does not hold.

    is_prior_corrected: what the model would answer without a dialogue is taken out.
    """
    neutral = _prompt(engine, NOTHING, headers) if is_prior_corrected else None
    forms = {header: (words,) for header, words in headers.items()}
    asked = [Asked(_prompt(engine, dialogue, headers), forms, neutral) for dialogue in dialogues]
    return readout.read(engine, asked, Reading(until=readout.TEXT))


def longest(engine: Engine, headers: Mapping[str, str]) -> int:
    """Tokens that the longest answer takes, the end of its turn included."""
    return max(len(engine.encode(words)) for words in headers.values()) + 1


def _prompt(engine: Engine, dialogue: str, headers: Mapping[str, str]) -> list[int]:
    return engine.prompt_ids([{"role": "user", "content": request(dialogue, headers)}])

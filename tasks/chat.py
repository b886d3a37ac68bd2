"""How a conversation begins: the presets by name, and the reminder that the app shows beside every conversation."""

from dataclasses import dataclass, field
from difflib import get_close_matches

from models.errors import UserError

REMINDER = "For learning and research. Not a medical device; no substitute for a doctor."


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A system prompt, and values of SampleConfig that suit it.

    The prompts ask for a way of answering only: the reminder and the red-flag notice are shown by the app, whatever a
    model writes.
    """
    name: str                   # on the command line and on disk
    title: str                  # on the page
    system: str
    sampling: dict[str, float | int] = field(default_factory=dict)


PRESETS = (
    Preset(name="patient", title="Patient education", sampling={"temperature": 0.5, "max_tokens": 600}, system=(
        "You explain health to people without medical training. Answer in plain, kind words of everyday English and "
        "short sentences. Explain a medical term when you use one. Say first what matters most, then what one can do "
        "oneself, and then when to see a doctor or to get help at once. Say so when you do not know. Make no "
        "diagnosis and name no dose; say who can.")),
    Preset(name="clinician", title="Clinician", sampling={"temperature": 0.3, "max_tokens": 800}, system=(
        "You answer a clinician. Be brief and exact, and use medical terms. Begin with the answer; then give the "
        "reasoning, the important differentials, and what would change the decision. Say how sure you are and what "
        "the evidence is; never invent a source, a number or a dose. Name contraindications and red flags.")),
    Preset(name="summariser", title="Summariser", sampling={"temperature": 0.1, "max_tokens": 800}, system=(
        "You summarise medical texts. Use only what the text says: add no finding, number, dose, date or name, and "
        "leave none of the important ones out. Keep who said what apart from what was found. Write short sentences "
        "in the order complaint, history, findings, assessment, plan, without the parts that the text does not have. "
        "Write what is unclear in the text as unclear.")),
    Preset(name="tutor", title="Exam tutor", sampling={"temperature": 0.6, "max_tokens": 800}, system=(
        "You are a tutor for medical exams. When a question has options, name the right one first, say in one or two "
        "sentences why, and why each of the others is wrong. Otherwise teach the idea step by step, from mechanism to "
        "sign, with one memory aid. End with one short question that tests the same point. Say so when you are not "
        "sure.")),
)


def preset(name: str) -> Preset:
    """The preset called name; for "" the empty one, which asks nothing. UserError for any other name."""
    if not name:
        return Preset(name="", title="No preset", system="")
    found = next((one for one in PRESETS if one.name == name.strip().lower()), None)
    if found is None:
        names = [one.name for one in PRESETS]
        near = get_close_matches(name.lower(), names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UserError(f"There is no preset {name!r} (there are {', '.join(names)}){hint}")
    return found

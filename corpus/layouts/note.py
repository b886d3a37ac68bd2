"""The layout of consultations: a dialogue, the note or the section of one that was written from it, its header."""

from collections.abc import Mapping
from typing import Any

from corpus.layouts.layout import GROUP_ID, Field, Layout, Row, structure, text_of, turn
from tasks.summarise import request

SPEAKERS, SPOKEN = ("speaker", "role", "from"), ("text", "utterance", "content", "value")


def _build(row: Row, _: Any) -> dict[str, Any]:
    header, dialogue = row["section_header"], _dialogue(row["dialogue"])
    return {"messages": turn(request(dialogue, header), row["section_text"]), "section": header, "input": dialogue,
            "group": row["group_id"]}


def _dialogue(given: Any) -> str:
    """A dialogue as text; one in turns as a line for each turn, "doctor: ..."."""
    turns = structure(given)
    if not isinstance(turns, list):
        return text_of("dialogue", turns)
    return "\n".join(_line(one) if isinstance(one, dict) else text_of("dialogue", one) for one in turns)


def _line(one: Mapping[str, Any]) -> str:
    speaker, spoken = (next((text_of(name, one[name]) for name in names if name in one), "")
                       for names in (SPEAKERS, SPOKEN))
    return f"{speaker}: {spoken}" if speaker else spoken


DIALOGUE = Layout(name="dialogue/section_text", target="section_text", build=_build, fields=(
    Field(name="dialogue", names=("dialog", "conversation", "transcript"), is_text=False),
    Field(name="section_text", names=("note", "clinical_note", "soap_note", "soap", "summary")),
    Field(name="section_header", names=("section", "header", "section_name"), is_needed=False), GROUP_ID))

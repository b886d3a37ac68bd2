"""Consultation -> section of a note: how the request is worded, in training, evaluation and use alike."""


def request(dialogue: str, header: str = "") -> str:
    """The user message that asks for the note section named header ("" = any summary) of a dialogue."""
    section = f'the section "{header.strip()}" of the clinical note' if header.strip() else "a short clinical note"
    return f"Write {section} for this conversation.\n\n{dialogue.strip()}"

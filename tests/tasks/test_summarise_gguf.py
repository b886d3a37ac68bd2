"""Summaries by the embedded model's own GGUF: the grammar, the context and the batch as they really are."""

from collections.abc import Iterator

import pytest

from runtime.engines import GgufEngine, open_engine
from tasks import sections
from tasks.summarise import Consultation, Summary, whole_note
from tasks.summarise import sections as write_sections

DIALOGUE = "Doctor: What brings you here?\nPatient: My knee hurts. It began two weeks ago.\nDoctor: Rest it."


@pytest.fixture(scope="module")
def engine() -> Iterator[GgufEngine]:
    found = open_engine("demo", threads=1, ctx_tokens=512)
    assert isinstance(found, GgufEngine)
    with found:
        yield found


def test_every_section_stands_in_a_whole_note(engine: GgufEngine):
    names = ("CHIEF COMPLAINT", "A \"quoted\\\" name", "PLAN")
    notes = whole_note(engine, [DIALOGUE, "Doctor: Hi."], names, 90)
    for note in notes:
        assert isinstance(note, Summary)
        assert list(note.sections) == list(names) and all(note.sections.values())
        assert sections.read(note.text, names) == list(note.sections.values())
        assert len(engine.encode(note.text)) <= 100
    assert whole_note(engine, [DIALOGUE, "Doctor: Hi."], names, 90) == notes


def test_sections_of_short_and_long_dialogues(engine: GgufEngine):
    long = "\n".join(f"Doctor: And point {n}?\nPatient: It hurts there too, {n} times." for n in range(60))
    found = write_sections(engine, [Consultation(DIALOGUE, "CC"), Consultation(long, "CC"), Consultation(DIALOGUE)], 24)
    short, parted, guessed = found
    assert isinstance(short, Summary) and isinstance(parted, Summary) and isinstance(guessed, Summary)
    assert len(short.parts) == 1 and len(parted.parts) > 2
    assert "\n".join(part.dialogue for part in parted.parts) == long
    assert guessed.header and sum(guessed.header_probabilities.values()) == pytest.approx(1)

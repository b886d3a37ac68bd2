"""What the summarise page asks: refused with a reason, worded as training words it, too long said as such."""

import pytest

from models.errors import UserError
from tasks.sections import NOTE, joined
from tests.tasks.fake_engine import FakeEngine
from tests.ui.actions.test_single import WritingSession
from ui.actions import summarise
from ui.actions.model import CurrentModel
from ui.actions.summaries import MOST_CHARS, SECTIONS, WHOLE, Summaries, Wanted, summarised
from ui.settings import SettingsFile

DIALOGUE = "Doctor: How long?\nPatient: Two weeks. I take forty milligrams of lisinopril."


@pytest.fixture
def summaries(galen_home):
    return Summaries(CurrentModel(WritingSession(), SettingsFile(galen_home)))


@pytest.mark.parametrize(("dialogue", "section", "told"), [
    (" \n", "", "no conversation yet"), ("x" * (MOST_CHARS + 1), "", "1,000,001 characters"),
    ("Hi.", "NONSENSE", "no section 'NONSENSE'")])
def test_what_can_not_be_summarised_is_refused(summaries, dialogue, section, told):
    with pytest.raises(UserError, match=told):
        summaries.begin(dialogue, section)
    assert summaries.state.asked is None


def test_a_section_is_written_and_marked():
    engine = FakeEngine(says={'the section "MEDICATIONS"': "Lisinopril 80 mg."})
    found = summarised(Wanted(dialogue=DIALOGUE, section="MEDICATIONS"), lambda: engine)
    assert found.text == "Lisinopril 80 mg." and [mark.text for mark in found.marks] == ["80 mg"]


def test_the_whole_note_has_every_section():
    note = joined(["One.", "Two.", "Three.", "Four.", "Five.", "Six."], NOTE)
    found = summarised(Wanted(dialogue=DIALOGUE, section=WHOLE), lambda: FakeEngine(says={"sections": note}))
    assert tuple(found.sections) == NOTE and found.text == note


def test_a_model_without_room_for_anything_says_so():
    with pytest.raises(UserError, match="too long for this model .*longer context"):
        summarised(Wanted(dialogue=DIALOGUE * 9, section="PLAN"), lambda: FakeEngine(ctx_tokens=120))


@pytest.mark.parametrize(("section", "header", "sections"), [
    ("", "", ()), ("PLAN", "PLAN", ()), (WHOLE, "", NOTE)])
def test_a_file_is_asked_for_the_same_section(tmp_path, galen_home, section, header, sections):
    path = tmp_path / "a.csv"
    path.write_text("dialogue\nhi\n")
    config = summarise.page_config(str(path), "demo", ("dialogue=dialogue",), section)
    assert (config.header, config.sections, config.columns) == (header, sections, ("dialogue=dialogue",))
    assert config.max_tokens == (1024 if sections else 256)


def test_an_unknown_section_of_a_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no section 'X'"):
        summarise.page_config(str(tmp_path), "demo", (), "X")
    assert {"", WHOLE, "PLAN"} < set(SECTIONS)

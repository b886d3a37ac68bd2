import json
import stat
from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.identifiers import KEPT, MASKED, mask_example, mask_reasons, mask_rows, scan, write_audit
from corpus.layouts import Example
from corpus.table import Unusable
from models.errors import UserError
from tasks.phi import KINDS
from tests.corpus.rows import row

NOTE = "Write the note.\n\nDoctor: Hi, Mr. Okafor.\nPatient: Call 555-123-4567, I turned ninety one in November."
ASKED = NOTE.removeprefix("Write the note.\n\n")


def rows() -> list[Example]:
    return [row(1, NOTE, "Mr. Okafor, 91 years old, called.", input=ASKED, section="GENHX"),
            row(2, "Why does it itch?", "Skin may be dry in winter.")]


def test_without_a_word_everything_is_kept_and_counted():
    result = scan(rows(), DataConfig())
    assert result.kept == tuple(rows()) and not result.left_out
    assert [(hit.line, hit.where, hit.kind, hit.text) for hit in result.hits] == [
        (1, "user 1", "name", "Okafor"), (1, "user 1", "telephone", "555-123-4567"),
        (1, "user 1", "age over 89", "ninety one"), (1, "user 1", "date", "November"),
        (1, "assistant 2", "name", "Okafor"), (1, "assistant 2", "age over 89", "91")]
    assert {hit.done for hit in result.hits} == {KEPT}
    assert "Doctor: Hi, Mr. Okafor. Patient:" in result.hits[0].context
    (found,) = result.findings
    assert found.count == 1 and found.step == "identifiers" and len(found.rows) == 6
    assert "1 row holds what looks like identifiers of persons: name 2, age over 89 2" in found.text
    assert "Masked 0, kept 6; 0 rows dropped" in found.text and "certifies nothing" in found.text
    json.dumps(found.rows)


def test_masked_are_the_messages_and_the_input_alike():
    result = scan(rows(), DataConfig(mask=("name", "telephone")))
    kept = result.kept[0]
    assert kept.messages[0]["content"] == NOTE.replace("Okafor", "[NAME]").replace("555-123-4567", "[TELEPHONE]")
    assert kept.messages[1]["content"] == "Mr. [NAME], 91 years old, called."
    assert kept.input == ASKED.replace("Okafor", "[NAME]").replace("555-123-4567", "[TELEPHONE]")
    assert kept.input in kept.messages[0]["content"] and kept.section == "GENHX"
    assert [hit.done for hit in result.hits].count(MASKED) == 3 and result.kept[1] == rows()[1]


def test_an_input_that_begins_within_a_hit_still_stands_in_its_message():
    given = row(1, "Seen by Grace Mutua today, she is well.", input="Mutua today, she is well.")
    kept = mask_example(given, KINDS)
    assert kept.messages[0]["content"] == "Seen by [NAME] today, she is well."
    assert kept.input == "[NAME] today, she is well."


def test_a_label_is_masked_as_in_its_answer():
    given = row(1, "Which one is it?", "B. Seen by Dr. Okafor", label="B")
    assert mask_example(given, KINDS).label == "B"
    assert mask_example(row(1, "Who?", "Dr. Okafor", label="Dr. Okafor"), KINDS).label == "Dr. [NAME]"


@pytest.mark.parametrize("asked, answer, masked", [
    ("My name is Oluwaseun Adeyemi. I saw Dr. Zywicki.", "Adeyemi reports pain. Plan by ZYWICKI, for Oluwaseun.",
     "[NAME] reports pain. Plan by [NAME], for [NAME]."),
    ("Your record number is MRN 48213977, yes?", "File 48213977 was read.", "File [RECORD NUMBER] was read."),
    ("I live at 12 Bremerton Street, mail jo@x.org.", "Lives at 12 bremerton street (JO@X.ORG).",
     "Lives at [PLACE] ([E-MAIL])."),
    ("Hello Mr. White, what is it?", "The white count is 12, Zywickian signs absent.",
     "The white count is 12, Zywickian signs absent."),
    ("Seen by Dr. Mark Zywicki in 1951?", "Zywickian signs; mark the site; 1951 mg.",
     "Zywickian signs; mark the site; 1951 mg."),
])
def test_what_one_message_says_is_masked_in_the_whole_row(asked: str, answer: str, masked: str):
    assert mask_example(row(1, asked, answer), KINDS).messages[1]["content"] == masked
    back = mask_example(row(1, answer, asked), KINDS)
    assert back.messages[0]["content"] == masked


def test_the_id_of_a_patient_is_a_digest_and_is_looked_for():
    given = row(1, "What does Jane have?", "File 48213977 says gout.", group="Jane Doe MRN48213977")
    kept = mask_example(given, KINDS)
    assert [m["content"] for m in kept.messages] == ["What does [NAME] have?", "File [RECORD NUMBER] says gout."]
    assert kept.group.startswith("case ") and len(kept.group) == 17
    other = row(2, "Why does it itch?", group=given.group)
    assert [one.group for one in scan([other], DataConfig(drop=("fax",))).kept] == [kept.group]
    assert mask_rows([other], DataConfig(mask=("fax",)))[0].group == kept.group
    assert scan([other], DataConfig()).kept == (other,) and not mask_example(row(1, "Why?"), KINDS).group


def test_rows_are_counted_and_not_lines():
    given = [row(1, f"Call 555-123-45{k:02d}, is it?", "Skin may be dry.") for k in range(20)]
    assert scan(given, DataConfig()).findings[0].count == 20


def test_what_a_finding_shows_is_masked_around_other_hits_too():
    given = row(1, "Dear Dr. Zywicki, " + "so " * 9 + "call 555-123-4567 please, Zywicki.", "Rest.")
    shown = json.dumps(scan([given], DataConfig(mask=("all",))).findings[0].rows)
    assert "ywicki" not in shown and "4567" not in shown and "[TELEPHONE] please, [NAME]." in shown
    some = scan([given], DataConfig(mask=("name",))).findings[0].rows
    assert "ywicki" not in json.dumps(some) and some[1]["text"] == "555-123-4567"


def test_reasons_of_reading_quote_no_values():
    given = [Unusable(file="a", line=1, reason="a message has the role 'John Smith, MRN 48213977', not one of user"),
             Unusable(file="a", line=2, reason="it must hold a user's message and end with the assistant's answer")]
    assert [one.reason for one in mask_reasons(given, DataConfig(mask=("all",)))] == [
        "a message has the role [...], not one of user", given[1].reason]
    assert mask_reasons(given, DataConfig()) == tuple(given)


def test_rows_of_a_kind_are_dropped_with_the_reason():
    result = scan(rows(), DataConfig(drop=("Telephone", "fax"), mask=("all",)))
    assert [one.line for one in result.kept] == [2]
    assert [(out.line, out.reason) for out in result.left_out] == [(1, "it holds: telephone")]
    assert {hit.done for hit in result.hits} == {"row dropped"}


def test_all_masks_every_kind():
    kept = scan(rows(), DataConfig(mask=("all",))).kept
    assert not scan(kept, DataConfig()).hits
    assert mask_rows(rows(), DataConfig(mask=("all",))) == list(kept) and mask_rows(rows(), DataConfig()) == rows()


@pytest.mark.parametrize("knob", ["mask", "drop"])
def test_a_kind_that_is_none(knob: str):
    with pytest.raises(UserError, match=f"'names' is no kind of identifier to {knob}; use all, or of these: name, "):
        scan(rows(), DataConfig(**{knob: ("names",)}))


def test_the_audit_says_what_it_is_and_only_its_owner_reads_it(tmp_path: Path):
    hits = scan(rows(), DataConfig()).hits
    for _ in range(2):                          # also over an older one
        write_audit(tmp_path / "identifiers.jsonl", hits)
    lines = [json.loads(line) for line in (tmp_path / "identifiers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "English" in lines[0]["about"] and "certifies nothing" in lines[0]["about"] and len(lines) == 7
    assert lines[1] == {"file": "a.csv", "line": 1, "where": "user 1", "kind": "name", "text": "Okafor",
                        "context": hits[0].context, "done": "kept"}
    assert stat.S_IMODE((tmp_path / "identifiers.jsonl").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["identifiers.jsonl"]


def test_every_word_of_the_shared_dialogues_passes(shared_data: Path):
    from corpus.layouts import load
    loaded = load([str(shared_data / "mts-dialog" / "validation.csv")])
    result = scan(loaded.examples, DataConfig(mask=("all",)))
    assert len(result.kept) == len(loaded.examples)
    for one in result.kept:
        assert not one.input or any(one.input in message["content"] for message in one.messages)

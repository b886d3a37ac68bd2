import json
from pathlib import Path

import pytest

from tests.corpus.layouts.tables import loaded, reasons, turns

MESSAGES = [{"role": "system", "content": "Be brief."}, *turns("Hi", "Yes?", "Bye", "Bye.")]
GOOD = {"messages": list(turns("Hi", "Yes?"))}


@pytest.mark.parametrize("cell", [MESSAGES, json.dumps(MESSAGES), str(MESSAGES)], ids=["list", "json", "python"])
def test_messages_are_taken_as_they_are(cell: object, tmp_path: Path):
    found = loaded(tmp_path, {"messages": cell}, GOOD)
    assert found.examples[0].messages == tuple(MESSAGES)
    assert found.recognised[0].layout == "messages" and not found.unusable


def test_a_conversation_of_sharegpt_speaks_with_our_roles(tmp_path: Path):
    said = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": " Hi "},
            {"from": "gpt", "value": "Yes?"}, {"from": "Human", "value": "Bye"}, {"from": "gpt", "value": "Bye."}]
    found = loaded(tmp_path, {"conversations": said, "id": "x1"}, {"conversations": said[1:3], "system": ""})
    assert found.examples[0].messages == tuple(MESSAGES)
    assert found.examples[1].messages == turns("Hi", "Yes?")
    assert found.recognised[0].layout == "ShareGPT"
    assert found.recognised[0].columns == {"messages": "conversations", "system": "system"}


def test_a_first_cell_that_is_no_json_does_not_hide_the_others(tmp_path: Path):
    said = json.dumps([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}])
    found = loaded(tmp_path, {"log": "[{'from'"}, {"log": said}, columns=("conversations=log",))
    assert found.examples[0].messages == turns("Hi", "Yes?") and found.recognised[0].layout == "ShareGPT"
    assert reasons(found) == [(1, "messages is not JSON")]


def test_a_system_prompt_in_its_own_column_comes_first_unless_there_is_one(tmp_path: Path):
    found = loaded(tmp_path, {"system": "Be kind.", **GOOD}, {"system": "Be kind.", "messages": MESSAGES})
    assert found.examples[0].messages[0] == {"role": "system", "content": "Be kind."}
    assert found.examples[1].messages == tuple(MESSAGES)


@pytest.mark.parametrize("row", [
    {"conversation": list(turns("Hi", "Yes?")), "turn": 1},
    {"chat": list(turns("Hi", "Yes?"))},
    {"messages": {"role": ["user", "assistant"], "content": ["Hi", "Yes?"]}},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "model", "content": "Yes?"}]},
    {"utterances": ["patient: Hi", "doctor: Yes?"]},
    {"prompt": list(turns("Hi")), "completion": [{"role": "assistant", "content": "Yes?"}]},
])
def test_other_spellings_of_a_conversation(row: dict, tmp_path: Path):
    found = loaded(tmp_path, row, row)
    assert [example.messages for example in found.examples] == [turns("Hi", "Yes?")] * 2


@pytest.mark.parametrize("messages, reason", [
    ("no json", "messages is not JSON"),
    ("[" * 100_000 + "]", "messages is not JSON"),
    ("[" + "-" * 100_000 + "1]", "messages is not JSON"),
    ([], "messages is empty"),
    (None, "messages is empty"),
    (["hi"], "a message has the role 'hi'"),
    ([1], "messages is not a list of {role, content}"),
    (MESSAGES[:2], "must hold a user's message and end with the assistant's answer"),
    ([MESSAGES[1], {"role": "assistant", "content": "Yes?", "weight": 0}], "an answer of it has the weight 0"),
    (MESSAGES[2:3], "must hold a user's message"),
    ([MESSAGES[1], MESSAGES[0], MESSAGES[2]], "a system message that is not the first one"),
    ([{"role": "robot", "content": "x"}], "the role 'robot', not one of system, user, assistant"),
    ([{"content": "x"}], "the role None"),
    ([MESSAGES[1], {"role": "assistant", "content": ""}], "a message of the assistant is empty"),
    ([MESSAGES[1], {"role": "assistant", "content": None}], "a message of the assistant is empty"),
    ([MESSAGES[1], {"role": "assistant", "content": [1]}], "content holds a list, not text"),
    ([MESSAGES[1], {"role": "assistant", "content": {"a": 1}}], "content holds an object, not text"),
    ([MESSAGES[1], {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}], "calls or answers a tool"),
    ([MESSAGES[1], {"role": "tool", "content": "22 C"}, MESSAGES[2]], "a message of the tool calls or answers a tool"),
    ([{"from": "function_call", "value": "x"}, MESSAGES[2]], "a message of the function_call calls or answers a tool"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, MESSAGES[2]], "holds a picture"),
])
def test_messages_that_can_not_be_learned_say_why(messages: object, reason: str, tmp_path: Path):
    found = loaded(tmp_path, GOOD, {"messages": messages}, GOOD)
    assert len(found.examples) == 2
    [(line, why)] = reasons(found)
    assert line == 2 and reason in why


def test_a_last_turn_of_the_user_is_left_out_and_counted(tmp_path: Path):
    found = loaded(tmp_path, {"messages": MESSAGES[:-1]}, GOOD)
    assert found.examples[0].messages == tuple(MESSAGES[:3])
    assert "rows.jsonl: conversations whose last turn is the user's: 1;" in found.notes[0]


def test_two_turns_of_one_speaker_in_a_row_are_one(tmp_path: Path):
    said = [*turns("Hi"), {"role": "user", "content": "There?"}, {"role": "assistant", "content": "Yes?"}]
    assert loaded(tmp_path, {"messages": said}, GOOD).examples[0].messages == turns("Hi\n\nThere?", "Yes?")

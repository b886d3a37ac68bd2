"""A file of the user's own is asked as what it holds, its unusable rows listed."""

import json

import pytest

from evaluation.benchmarks.catalog import find
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tests.tasks.fake_engine import FakeEngine

OWN = find("own")
CONFIG = EvaluateConfig(benchmark="own", max_tokens=40)


def opened(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return OWN.open(str(path), CONFIG)


def test_free_answers_are_held_against_the_reference(tmp_path):
    found = opened(tmp_path / "a.jsonl", [{"question": "What is gout?", "answer": "Crystals of urate in a joint."},
                                          {"question": "What is scurvy?", "answer": "A lack of vitamin C."}])
    engine = FakeEngine(says={"gout": "Crystals in joints.", "scurvy": "x" * 60})
    first, second = found.benchmark.score(engine, found.cases, CONFIG)
    assert found.benchmark.kind == "mean" and found.benchmark.metric == "rouge_1" and found.benchmark.is_english_only
    assert first.value == first.values["rouge_1"] == pytest.approx(2 * 3 / 9, abs=1e-6) and first.values["ended"] == 1
    assert second.answer == "x" * 40 and second.values["ended"] == 0 and second.value == 0
    assert first.baselines == {"the question itself": 0.0}
    assert set(first.values) == set(found.benchmark.metrics)


def test_a_conversation_is_asked_up_to_its_last_answer(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
             {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "My knee."},
             {"role": "assistant", "content": "Rest it."}]
    found = opened(tmp_path / "a.jsonl", [{"messages": turns}])
    engine = FakeEngine()
    found.benchmark.score(engine, found.cases, CONFIG)
    assert engine.asked == ["system: Be brief.\nuser: Hello\nassistant: Yes?\nuser: My knee.\nassistant: "]
    assert found.cases[0].gold == "Rest it."


def test_yes_no_answers_and_choices_are_decided(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Question;Answer\nIs gout painful?;Yes\nIs scurvy new?;no\n", encoding="utf-8-sig")
    found = OWN.open(str(path), CONFIG)
    one, other = found.benchmark.score(FakeEngine(prefers={"gout": "Yes", "scurvy": "Yes"}), found.cases, CONFIG)
    assert found.benchmark.kind == "accuracy" and (one.right, other.right) == (True, False)
    assert found.benchmark.calibrate is not None and not found.benchmark.is_english_only


def test_rows_that_can_not_be_used_are_listed_not_refused(tmp_path):
    found = opened(tmp_path / "a.jsonl", [{"question": "What is gout?", "answer": "Pain."}, {"question": "And?"},
                                          {"question": "What is scurvy?", "answer": ""}])
    assert len(found.cases) == 1
    assert found.left_out == ("a.jsonl, line 2: answer is missing", "a.jsonl, line 3: answer is empty")


def test_rows_of_several_kinds_are_refused(tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps({"question": "What is gout?", "answer": "Pain."}))
    (folder / "b.jsonl").write_text(json.dumps({"question": "Which?", "options": ["x", "y"], "answer": "A"}))
    with pytest.raises(UserError, match="questions with free answers and questions with one right choice"):
        OWN.open(str(folder), CONFIG)


def test_it_needs_a_file():
    with pytest.raises(UserError, match="needs its file"):
        OWN.open("", CONFIG)


def test_an_item_longer_than_the_context_is_listed(tmp_path):
    found = opened(tmp_path / "a.jsonl", [{"question": "What is gout? " * 20, "answer": "Pain."},
                                          {"question": "What is scurvy?", "answer": "Weakness."}])
    engine = FakeEngine(ctx_tokens=200)
    first, second = found.benchmark.score(engine, found.cases, CONFIG)
    assert first.skipped.startswith("too long") and first.value is None and not second.skipped
    assert len(engine.asked) == 1


def test_answers_that_are_all_yes_are_decisions_too(tmp_path):
    found = opened(tmp_path / "a.jsonl", [{"question": "Is gout painful?", "answer": "Yes."},
                                          {"question": "Is scurvy old?", "answer": "yes"}])
    assert found.benchmark.kind == "accuracy" and [case.gold for case in found.cases] == ["yes", "yes"]
    assert found.cases[0].prompt.startswith("Answer the question. Begin your answer with yes, no or maybe.")
    assert found.cases[0].baselines["always yes"] == 1


def test_columns_are_mapped_by_hand(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Nr,Frage,Antwort\n1,What is gout?,Pain.\n2,What is scurvy?,Weakness.\n")
    found = OWN.open(str(path), EvaluateConfig(benchmark="own", columns=("question=Frage", "answer=Antwort")))
    assert [case.prompt for case in found.cases] == ["What is gout?", "What is scurvy?"]
    with pytest.raises(UserError, match="fit no known layout"):
        OWN.open(str(path), CONFIG)

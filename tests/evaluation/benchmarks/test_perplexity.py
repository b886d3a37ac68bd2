"""Perplexity counts every token of a text once, and of a table the answers with their ends."""

import json
import math

import pytest

from evaluation.benchmarks.benchmark import Case
from evaluation.benchmarks.perplexity import BENCHMARK, PASSAGE_CHARS, Said, passages
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tests.tasks.fake_engine import BOS, END, FakeEngine

CONFIG = EvaluateConfig(benchmark="perplexity")


@pytest.mark.parametrize("text", ["One line.", "a\n" * 5000, "word " * 3000, "x" * 5001, "\n\n" + "a b\n\n" * 900,
                                  "short\n" + "long " * 900 + "\nend"])
def test_nothing_of_a_text_is_left_out_and_no_passage_is_too_long(text):
    found = passages(text)
    assert "".join("".join(piece.split()) for _, piece in found) == "".join(text.split())
    assert all(0 < len(piece) <= PASSAGE_CHARS + 1 for _, piece in found)
    lines = text.split("\n")
    assert all(piece.split("\n")[0].split()[0] in lines[number - 1] or number == 1 for number, piece in found)


def test_a_text_is_scored_behind_what_texts_begin_with(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("The lungs are clear.\n" * 150, encoding="utf-8")
    cases = BENCHMARK.open(str(path), CONFIG).cases
    engine = FakeEngine()
    found = BENCHMARK.score(engine, cases, CONFIG)
    assert len(cases) == 2 and cases[1].id == f"notes.txt, line {1 + cases[0].gold.count('clear')}"
    assert [prompt for prompt, _ in engine.scored] == [[BOS], [BOS]]
    assert all(one.values["tokens"] == one.values["bytes"] == len(case.gold)
               for one, case in zip(found, cases, strict=True))
    assert all(one.value == pytest.approx(one.values["nats"] / one.values["tokens"]) for one in found)
    assert 0 < cases[0].baselines["xz of the text"] < 1


def test_a_uniform_model_wavers_between_as_many_as_there_are():
    class Uniform(FakeEngine):
        def score(self, items):
            return [[[-math.log(7)] * len(one) for one in candidates] for _, candidates in items]

    case = case_of("abc")
    found, = BENCHMARK.score(Uniform(), [case], CONFIG)
    assert math.exp(found.values["nats"] / found.values["tokens"]) == pytest.approx(7)


def case_of(text):
    return Case(id="x", prompt="", gold=text, task=Said(text=text))


def test_a_model_that_begins_with_nothing_is_given_the_end_of_a_turn():
    class Bare(FakeEngine):
        def start(self):
            return []

    engine = Bare()
    BENCHMARK.score(engine, [case_of("abc")], CONFIG)
    assert engine.scored[0][0] == [END]


def test_of_a_table_the_answers_count_with_their_ends(tmp_path):
    path = tmp_path / "qa.jsonl"
    path.write_text("".join(json.dumps({"question": f"What is {k}?", "answer": "A thing."}) + "\n" for k in range(3)))
    cases = BENCHMARK.open(str(path), CONFIG).cases
    engine = FakeEngine()
    found = BENCHMARK.score(engine, cases, CONFIG)
    assert [one.values["tokens"] for one in found] == [len("A thing.") + 1] * 3
    assert engine.scored[1][1][0][-1] == END and "What is 1?" in engine.text(engine.scored[1][0])


def test_a_text_longer_than_the_context_is_listed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("short\n" + "x" * 1500)
    cases = BENCHMARK.open(str(path), CONFIG).cases
    found, = BENCHMARK.score(FakeEngine(ctx_tokens=100), cases, CONFIG)
    assert found.skipped.startswith("too long") and found.value is None


@pytest.mark.parametrize(("name", "content", "words"), [
    ("", None, "needs a text"), ("none.txt", None, "does not exist"), ("a.txt", " \n", "is empty")])
def test_what_is_no_text_gets_a_sentence(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words):
        BENCHMARK.open(str(tmp_path / name) if name else "", CONFIG)


def test_rows_of_a_table_without_an_answer_are_listed(tmp_path):
    path = tmp_path / "qa.jsonl"
    path.write_text(json.dumps({"question": "What is gout?", "answer": "Pain."}) + "\n" + json.dumps({"question": "?"}))
    found = BENCHMARK.open(str(path), CONFIG)
    assert len(found.cases) == 1 and found.left_out == ("qa.jsonl, line 2: answer is missing",)

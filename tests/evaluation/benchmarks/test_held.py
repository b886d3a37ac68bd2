"""Rows that a training set aside: labels and decisions read as the likeliest answer, free text by its words."""

from pathlib import Path

import pytest

from corpus.layouts import Example
from corpus.layouts.example import write_examples
from evaluation.benchmarks import own
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tests.tasks.fake_engine import FakeEngine


def rows(place: Path, *pairs: tuple[str, str, str]) -> str:
    """A file as a run writes it: (asked, answer, label)."""
    write_examples(place / "test.jsonl", [
        Example(file="a.csv", line=number, label=label,
                messages=({"role": "user", "content": asked}, {"role": "assistant", "content": answer}))
        for number, (asked, answer, label) in enumerate(pairs, 2)])
    return str(place / "test.jsonl")


def config(source: str) -> EvaluateConfig:
    return EvaluateConfig(benchmark="own", model="demo", file=source)


def test_sets_of_labels_are_read_as_the_likeliest_of_the_file(tmp_path: Path):
    source = rows(tmp_path, ("Heart?", "cardio", "cardio"), ("Both?", "cardio | neuro", "cardio | neuro"),
                  ("Head?", "neuro", "neuro"))
    opened = own.open_cases(source, config(source))
    assert opened.benchmark and (opened.benchmark.kind, opened.benchmark.metric) == ("labels", "subset_accuracy")
    engine = FakeEngine(prefers={"Heart?": "cardio", "Both?": "cardio | neuro", "Head?": "cardio"})
    found = opened.benchmark.score(engine, opened.cases, config(source))
    assert [one.answer for one in found] == ["cardio", "cardio | neuro", "cardio"]
    assert [one.right for one in found] == [True, True, False]
    assert dict(found[2].values) == {"shared": 0, "missed": 1, "wrong": 1}
    assert set(found[1].probabilities) == {"cardio", "neuro"} and min(found[1].probabilities.values()) > 0.5
    assert [case.baselines for case in opened.cases] == [{"always cardio": 1.0}, *[{"always cardio": 0.0}] * 2]


@pytest.mark.parametrize(("labels", "wanted"), [(("yes", "no"), "no"), (("A", "C"), "C")])
def test_decisions_and_letters_are_read_before_their_reasons(tmp_path: Path, labels: tuple[str, str], wanted: str):
    says = {label: f"{label.capitalize()}. Because." for label in labels}
    source = rows(tmp_path, *[(f"Case {label}?", says[label], label) for label in labels])
    opened = own.open_cases(source, config(source))
    assert opened.benchmark and opened.benchmark.kind == "accuracy"
    engine = FakeEngine(prefers={"Case": wanted.capitalize()})
    found = opened.benchmark.score(engine, opened.cases, config(source))
    assert [(one.answer, one.right) for one in found] == [(wanted, label == wanted) for label in labels]


def test_free_answers_are_held_against_their_words_and_a_mixture_is_refused(tmp_path: Path):
    source = rows(tmp_path, ("What is it?", "It is the flu.", ""))
    opened = own.open_cases(source, config(source))
    assert opened.benchmark and (opened.benchmark.kind, opened.cases[0].gold) == ("mean", "It is the flu.")
    source = rows(tmp_path, ("What is it?", "It is the flu.", ""), ("Heart?", "cardio", "cardio"))
    with pytest.raises(UserError, match=r"test\.jsonl, line 1: it has no label, others have; evaluate on one kind"):
        own.open_cases(source, config(source))

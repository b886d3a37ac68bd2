"""An evaluation asks each item once, in fixed groups, goes on where it ended, and refuses what has changed."""

import dataclasses
import json
from contextlib import nullcontext

import pytest

from evaluation.benchmarks.catalog import find
from evaluation.config import EvaluateConfig
from evaluation.items import read_items, read_stated
from evaluation.run import Stopped, draw, evaluate, sample_words
from models import runs
from models.errors import UserError
from models.job import Job
from tests.tasks.fake_engine import FakeEngine

GROUP = find("pubmedqa").group
ROWS = 3 * GROUP + 5


@pytest.fixture
def rows(tmp_path):
    """A PubMedQA file of 101 questions."""
    path = tmp_path / "pqal.json"
    path.write_text(json.dumps({str(k): {
        "QUESTION": f"Does drug {k} help?", "CONTEXTS": [f"Trial {k} found something."],
        "final_decision": ("yes", "no", "maybe", "yes")[k % 4]} for k in range(10_001_000, 10_001_000 + ROWS)}))
    return path


def config(rows, **values):
    return EvaluateConfig(**{**dict(benchmark="pubmedqa", model="a", file=str(rows)), **values})


class Engines:
    """Opens fake engines and remembers which."""

    def __init__(self, job=None, stop_at=0):
        self.opened, self.groups = [], []
        self.job, self.stop_at = job, stop_at

    def __call__(self, source):
        self.opened.append(source)
        engine = FakeEngine(name=source)
        score = engine.score

        def counted(items):
            if self.stop_at == len(self.groups) + 1:
                raise KeyboardInterrupt
            self.groups.append(len(items))
            return score(items)

        engine.score = counted
        return nullcontext(engine)


def whole(config, folder):
    folder.mkdir()
    engines = Engines()
    evaluate(config, Job(folder), engines)
    return engines, folder / runs.ITEMS


def test_every_item_is_asked_once_in_groups(rows, tmp_path):
    engines, path = whole(config(rows), tmp_path / "run")
    items = read_items(path)
    assert [one.number for one in items] == list(range(ROWS))
    assert engines.groups == [GROUP] * 3 + [5] and engines.opened == ["a"]
    assert {one.model for one in items} == {FakeEngine(name="a").fingerprint}
    assert all(one.right == (one.answer == one.gold) and one.value == float(one.right) for one in items)
    assert items[1].gold == "no" and "Does drug 10001001 help?" in items[1].prompt and items[1].id.endswith("10001001")
    assert sum(items[0].probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_second_model_that_can_not_be_used_is_found_before_the_first_is_asked(rows, tmp_path):
    engines = Engines()

    def opened(source):
        if source == "b":
            raise UserError("b is no GGUF model.")
        return engines(source)

    with pytest.raises(UserError, match="b is no GGUF model"):
        evaluate(config(rows, against="b"), Job(tmp_path), opened)
    assert engines.groups == [] and not (tmp_path / runs.ITEMS).exists()


def test_two_models_answer_the_same_items(rows, tmp_path):
    _, path = whole(config(rows, against="b", limit=40), tmp_path / "run")
    first, second = read_items(path, "model"), read_items(path, "against")
    assert [one.number for one in first] == [one.number for one in second] and len(first) == 40
    assert first[0].model != second[0].model and first[0].prompt == second[0].prompt
    stated = read_stated(path.with_name(runs.STATED))
    assert [one["name"] for one in stated.models] == ["a", "b"] and stated.drawn == 40 and stated.total == ROWS


@pytest.mark.parametrize("stop_at", [1, 2, 4, 5, 8])
def test_what_was_killed_goes_on_to_the_same_bytes(rows, tmp_path, stop_at):
    asked = config(rows, against="b")
    _, unbroken = whole(asked, tmp_path / "unbroken")
    folder = tmp_path / "broken"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        evaluate(asked, Job(folder), Engines(stop_at=stop_at))
    engines = Engines()
    evaluate(asked, Job(folder), engines)
    assert (folder / runs.ITEMS).read_bytes() == unbroken.read_bytes()
    assert (folder / runs.STATED).read_bytes() == unbroken.with_name(runs.STATED).read_bytes()
    assert len(engines.groups) == 8 - (stop_at - 1)


@pytest.mark.parametrize("cut", [1, 200, 5000, 60_000])
def test_the_torn_end_of_a_group_is_asked_again(rows, tmp_path, cut):
    asked = config(rows)
    _, path = whole(asked, tmp_path / "run")
    data = path.read_bytes()
    path.write_bytes(data[:max(0, len(data) - cut)])
    evaluate(asked, Job(path.parent), Engines())
    assert path.read_bytes() == data


def test_a_finished_evaluation_opens_no_model(rows, tmp_path):
    asked = config(rows)
    _, path = whole(asked, tmp_path / "run")
    engines = Engines()
    evaluate(asked, Job(path.parent), engines)
    assert engines.opened == []


def test_a_stop_is_obeyed_between_groups(rows, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / runs.STOP).touch()
    engines = Engines()
    with pytest.raises(Stopped):
        evaluate(config(rows), Job(folder), engines)
    assert engines.groups == [] and not (folder / runs.STATED).exists()


def test_what_has_changed_since_is_refused(rows, tmp_path):
    asked = config(rows)
    _, path = whole(asked, tmp_path / "run")
    job = Job(path.parent)
    with pytest.raises(UserError, match="The setting seed was 0 .* and is 1 now"):
        evaluate(config(rows, seed=1), job, Engines())
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:GROUP]))

    with pytest.raises(UserError, match="The context holds 999 tokens now, and held 65536"):
        evaluate(asked, job, lambda source: nullcontext(FakeEngine(name=source, ctx_tokens=999)))

    def other(source):
        return nullcontext(FakeEngine(name="another"))

    with pytest.raises(UserError, match="no longer the model"):
        evaluate(asked, job, other)
    rows.write_text(rows.read_text().replace("Trial 10001000", "Trial 2000"))
    with pytest.raises(UserError, match="The items changed"):
        evaluate(asked, job, Engines())


def test_items_of_an_unknown_evaluation_are_not_touched(rows, tmp_path):
    (tmp_path / runs.ITEMS).write_text("something\n")
    with pytest.raises(UserError, match="unknown evaluation"):
        evaluate(config(rows), Job(tmp_path), Engines())
    assert (tmp_path / runs.ITEMS).read_text() == "something\n"


def test_more_threads_are_no_other_evaluation(rows, tmp_path):
    _, path = whole(config(rows), tmp_path / "run")
    evaluate(config(rows, threads=2), Job(path.parent), Engines())


def test_a_sample_is_stated_and_follows_the_seed():
    asked = EvaluateConfig(benchmark="pubmedqa", fast=True)
    numbers = draw(500, asked)
    assert len(set(numbers)) == 100 == len(numbers) and list(numbers) == sorted(numbers)
    assert numbers == draw(500, asked) != draw(500, dataclasses.replace(asked, seed=1))
    assert sample_words(500, numbers, asked) == "100 of 500 items, drawn at random with seed 0."
    assert draw(80, asked) == tuple(range(80)) and sample_words(80, draw(80, asked), asked) == "All 80 items."
    assert len(draw(500, dataclasses.replace(asked, limit=7))) == 7
    assert len(draw(500, dataclasses.replace(asked, limit=300))) == 100


def test_an_item_longer_than_the_context_is_listed_not_scored(rows, tmp_path):
    values = json.loads(rows.read_text())
    values["10001002"]["CONTEXTS"] = ["long " * 200]
    rows.write_text(json.dumps(values))
    evaluate(config(rows, limit=0), Job(tmp_path), lambda source: nullcontext(FakeEngine(ctx_tokens=600)))
    items = read_items(tmp_path / runs.ITEMS)
    assert [one.id for one in items if one.skipped] == [items[2].id]
    assert items[2].skipped.startswith("too long: 1,") and "600" in items[2].skipped
    assert items[2].value is None and items[2].right is None and items[2].probabilities == {}


def test_training_rows_are_marked(rows, tmp_path):
    values = json.loads(rows.read_text())
    seen = tmp_path / "train.jsonl"
    seen.write_text("\n".join(json.dumps({"question": one["QUESTION"], "contexts": one["CONTEXTS"],
                                          "final_decision": one["final_decision"]})
                              for one in list(values.values())[5:8]))
    stated = evaluate(config(rows, guard=str(seen)), Job(tmp_path), Engines())
    items = read_items(tmp_path / runs.ITEMS)
    assert [one.number for one in items if one.leak] == [5, 6, 7]
    assert "train.jsonl, line 2: the same input" in items[6].leak
    assert stated.guard == f"3 of {ROWS} items are also among the rows of train.jsonl (3 rows)."


def development(rows, of_items=0):
    """A file of 101 other questions, and so many of the items."""
    values = json.loads(rows.read_text())
    other = {str(int(key) + 5000): {**row, "QUESTION": f"Is it known of {key}?", "CONTEXTS": [f"Study {key} at last."]}
             for key, row in values.items()}
    path = rows.with_name("dev.json")
    path.write_text(json.dumps({**other, **dict(list(values.items())[:of_items])}))
    return path


def test_probabilities_are_calibrated_on_development_rows_that_are_no_items(rows, tmp_path):
    dev = development(rows, 4)
    folder = tmp_path / "run"
    folder.mkdir()
    engines = Engines()
    stated = evaluate(config(rows, dev=str(dev)), Job(folder), engines)
    fitted = runs.read_json(folder / "calibration-model.json")
    assert fitted["rows"] == ROWS and fitted["is_kept"] and stated.notes[-1] == f"Calibration: {fitted['why']}"
    assert sum(engines.groups) == 2 * ROWS
    confident = [max(one.probabilities.values()) for one in read_items(folder / runs.ITEMS)]
    assert sum(confident) / ROWS < 0.7          # the fake model is sure of whatever it says, and says nonsense
    _, plain = whole(config(rows), tmp_path / "plain")
    assert sum(max(one.probabilities.values()) for one in read_items(plain)) / ROWS > 0.9


def test_development_rows_that_the_model_learned_from_are_said(rows, tmp_path):
    dev = development(rows)
    folder = tmp_path / "run"
    folder.mkdir()
    stated = evaluate(config(rows, dev=str(dev), guard=str(dev)), Job(folder), Engines())
    assert stated.notes[-1].endswith(f" The model has learned from {ROWS} of these {ROWS} rows, and is surer of them "
                                     "than of others: fit it on rows that it has not seen.")


@pytest.mark.parametrize("kind", ["calibration", "classifier"])
def test_what_was_fitted_before_may_not_change_while_an_evaluation_is_broken_off(rows, tmp_path, kind):
    dev, given = development(rows), tmp_path / "given"
    _, path = whole(config(rows, dev=str(dev)), tmp_path / "before")
    if kind == "classifier":                        # which PubMedQA does not read, and the settings name all the same
        given.mkdir()
    fitted = given / "classifier.json" if kind == "classifier" else given
    values = runs.read_json(path.with_name("calibration-model.json"))
    runs.write_json(fitted, values)
    asked = config(rows, **{kind: str(given)})
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        evaluate(asked, Job(folder), Engines(stop_at=2))
    runs.write_json(fitted, {**values, "temperature": 9.0})
    with pytest.raises(UserError, match="The calibration or the classifier changed since the evaluation"):
        evaluate(asked, Job(folder), Engines())
    runs.write_json(fitted, values)
    evaluate(asked, Job(folder), Engines())


def test_a_calibration_that_was_made_before_a_kill_is_not_made_again(rows, tmp_path):
    dev = development(rows)
    asked = config(rows, dev=str(dev))
    _, unbroken = whole(asked, tmp_path / "unbroken")
    folder = tmp_path / "broken"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        evaluate(asked, Job(folder), Engines(stop_at=6))        # 4 groups of development rows, and one of items
    engines = Engines()
    evaluate(asked, Job(folder), engines)
    assert len(engines.groups) == 3 and (folder / runs.ITEMS).read_bytes() == unbroken.read_bytes()


def test_development_rows_that_are_all_items_are_refused(rows, tmp_path):
    with pytest.raises(UserError, match="Every development row is also among the items"):
        evaluate(config(rows, dev=str(rows)), Job(tmp_path), Engines())


def test_what_has_no_choices_is_not_calibrated(rows, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("A text.")
    asked = EvaluateConfig(benchmark="perplexity", file=str(text), dev=str(text))
    with pytest.raises(UserError, match="no choices whose probabilities"):
        evaluate(asked, Job(tmp_path), Engines())

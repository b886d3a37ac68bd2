"""The guard marks each item that a model was trained on: by the run's own rows, found from the model."""

import json

import pytest

from corpus.config import DataConfig
from corpus.gather import gather
from corpus.layouts import load
from evaluation import leaks
from models import knobs, runs
from models.errors import UserError

TOPICS = ("asthma", "gout", "migraine", "scurvy", "anaemia", "measles", "rickets", "mumps", "cholera", "tetanus",
          "psoriasis", "glaucoma", "sciatica", "eczema", "lupus", "malaria", "rabies", "sepsis", "angina", "hernia")


def row(topic):
    return {"question": f"Which signs of {topic} matter most to a general practitioner?",
            "answer": f"The usual signs of {topic}, as every textbook of {topic} lists them in its first chapter."}


def jsonl(path, topics):
    path.write_text("".join(json.dumps(row(topic)) + "\n" for topic in topics))
    return str(path)


@pytest.fixture
def trained(tmp_path):
    """A run folder, with an export, of a training on 20 rows."""
    folder = tmp_path / "signs"
    (folder / runs.EXPORT).mkdir(parents=True)
    (folder / runs.EXPORT / "signs-Q8_0.gguf").touch()
    (folder / runs.EVENTS).touch()
    config = DataConfig(data=(jsonl(tmp_path / "train.jsonl", TOPICS),))
    runs.write_json(folder / runs.CONFIG, {**knobs.to_json(config), "rank": 8, "stages": []})
    return folder


def silent(text):
    raise AssertionError(text)


def items(tmp_path, topics):
    return dict(enumerate(load([jsonl(tmp_path / "items.jsonl", topics)]).examples))


def test_the_run_is_found_from_what_came_of_it(trained, galen_home, tmp_path):
    for source in (trained, trained / runs.EXPORT, trained / runs.EXPORT / "signs-Q8_0.gguf"):
        assert leaks.run_of(str(source)) == trained
    (galen_home / "runs").mkdir()
    trained.rename(galen_home / "runs" / "signs")
    assert leaks.run_of("signs") == galen_home / "runs" / "signs"
    assert leaks.run_of("demo") is None and leaks.run_of(str(tmp_path)) is None


def test_only_rows_that_were_learned_from_are_leaks(trained, tmp_path):
    gathered = gather(leaks.data_configs(runs.read_json(trained / runs.CONFIG))[0], lambda text: None)
    assert gathered.validation and gathered.test
    examples = items(tmp_path, [*TOPICS, "dropsy"])
    found = leaks.guard(examples, str(trained), silent)
    learned = {example.messages[0]["content"] for example in gathered.training}
    assert found.leaks.keys() == {k for k, example in examples.items() if example.messages[0]["content"] in learned}
    assert 0 < len(found.leaks) < len(TOPICS)
    assert all("train.jsonl, line" in why and "the same input" in why for why in found.leaks.values())
    assert found.text == (f"{len(found.leaks)} of 21 items are also among the training rows of signs "
                          f"({len(gathered.training)} rows).")


def test_two_items_that_are_one_training_row_are_both_marked(tmp_path):
    seen = jsonl(tmp_path / "train.jsonl", ["gout"])
    found = leaks.guard(items(tmp_path, ["gout", "asthma", "gout"]), seen, silent)
    assert list(found.leaks) == [0, 2]


def test_the_rows_of_every_stage_are_looked_for(trained, tmp_path):
    values = runs.read_json(trained / runs.CONFIG)
    more = jsonl(tmp_path / "more.jsonl", [f"{topic} in children" for topic in TOPICS])
    runs.write_json(trained / runs.CONFIG, {**values, "stages": [
        {"name": "first"}, {"name": "second", "data": [more], "eval_share": 0.1, "test_share": 0.0}]})
    found = leaks.guard(items(tmp_path, [*TOPICS, *(f"{topic} in children" for topic in TOPICS)]), str(trained), silent)
    assert min(found.leaks) < len(TOPICS) <= max(found.leaks)


def test_a_stage_did_not_learn_from_what_another_is_validated_on(trained, tmp_path):
    values = runs.read_json(trained / runs.CONFIG)
    more = jsonl(tmp_path / "more.jsonl", [f"{topic} in children" for topic in TOPICS])
    judged = jsonl(tmp_path / "judged.jsonl", TOPICS[:9])
    runs.write_json(trained / runs.CONFIG, {**values, "stages": [
        {"name": "first", "eval_share": 0.01, "test_share": 0.0},
        {"name": "second", "data": [more], "eval": [judged]}]})
    found = leaks.guard(items(tmp_path, TOPICS), str(trained), silent)
    assert min(found.leaks) >= 9 and len(found.leaks) >= 9


def test_training_files_that_changed_are_said(trained, tmp_path):
    runs.write_json(trained / runs.RESULT, {"fingerprints": {str(tmp_path / "train.jsonl"): "0" * 64}})
    said = []
    leaks.guard(items(tmp_path, ["gout"]), str(trained), said.append)
    assert len(said) == 1 and "has changed since signs was trained" in said[0]


def test_training_files_that_are_gone_are_an_error_that_says_what_follows(trained, tmp_path):
    examples = items(tmp_path, ["gout"])
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(UserError, match="nobody can say which items it has seen: The data file .* does not exist"):
        leaks.guard(examples, str(trained), silent)


def test_of_a_file_with_splits_its_training_rows_count(tmp_path):
    path = tmp_path / "both.jsonl"
    path.write_text("".join(json.dumps({**row(topic), "split": split}) + "\n"
                            for topic, split in (("gout", "train"), ("asthma", "test"))))
    found = leaks.guard(items(tmp_path, ["asthma", "gout"]), str(path), silent)
    assert list(found.leaks) == [1]


def test_real_consultations_that_stand_in_both_splits_are_found(shared_data):
    folder = shared_data / "mts-dialog"
    examples = dict(enumerate(load([str(folder / "test1.csv")]).examples))
    found = leaks.guard(examples, str(folder / "train.csv"), silent)
    assert 2 <= len(found.leaks) <= 10

"""The items that the embedded model was made from are known, and those it never saw are not."""

import pytest

from corpus.layouts import Example, load
from evaluation import embedded, leaks
from models import runs, tuned
from models.errors import UserError
from tests.evaluation.test_leaks import silent


def test_what_is_embedded_is_known_by_its_name_its_folder_and_its_run(tmp_path, demo_gguf):
    for source in ("demo", str(runs.DEMO_BASE), str(demo_gguf)):
        assert embedded.is_embedded(source)
    assert not embedded.is_embedded("a model that is not here")


ROW = Example(file="a.csv", line=1, messages=({"role": "user", "content": "Which signs of gout matter most?"},
                                              {"role": "assistant", "content": "Pain."}))


@pytest.mark.parametrize(("base", "is_it"), [("demo", True), (str(runs.DEMO_BASE), True), ("nowhere", False)])
@pytest.mark.parametrize("kind", ["run", "run on a run", "adapter without its run"])
def test_what_was_tuned_from_the_embedded_model_is_known(tmp_path, kind, base, is_it):
    if kind == "adapter without its run":
        (tmp_path / "one").mkdir()
        runs.write_json(tmp_path / "one" / tuned.CONFIG, {"base_model_name_or_path": base})
    else:
        a_run(tmp_path / "one", base)
    model = tmp_path / "one"
    if kind == "run on a run":
        a_run(tmp_path / "two", str(tmp_path / "one" / "export" / "merged"))
        (tmp_path / "one" / "export" / "merged").mkdir(parents=True)
        model = tmp_path / "two"
    _, text = leaks.look({0: ROW}, [str(model)], "", lambda text: None)
    assert ("what the embedded model was made from" in text) is is_it


def a_run(folder, base):
    """A run folder of a training on a base, on rows that are no longer there."""
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, {"base": base, "data": [str(folder / "gone.jsonl")]})
    (folder / runs.EVENTS).touch()


def test_a_run_whose_rows_are_gone_is_said_and_stops_nothing_unless_it_was_named(tmp_path):
    a_run(tmp_path / "one", "nowhere")
    told = []
    found, text = leaks.look({0: ROW}, [str(tmp_path / "one")], "", told.append)
    assert found == {} and "gone.jsonl does not exist" in told[0]
    assert text == "The training rows of one can not be read any more, so nobody can say which items it has seen."
    with pytest.raises(UserError, match="nobody can say"):
        leaks.look({0: ROW}, ["elsewhere"], str(tmp_path / "one"), silent)


@pytest.mark.parametrize(("file", "low", "high"), [
    ("pubmedqa/pqal_dev500.json", 480, 480), ("mts-dialog/train.csv", 1100, 1197), ("mts-dialog/validation.csv", 0, 0),
    ("mts-dialog/test1.csv", 0, 0), ("mcq/medqa_dev150.jsonl", 0, 0)])
def test_what_it_was_made_from_is_marked_and_nothing_else(shared_data, file, low, high):
    found = embedded.learned(dict(enumerate(load([str(shared_data / file)]).examples)))
    assert low <= len(found) <= high


def test_both_sources_of_what_was_learned_are_looked_for_and_said(tmp_path):
    train = tmp_path / "train.jsonl"
    train.write_text('{"question": "Which signs of gout matter most?", "answer": "Pain."}\n')
    found, text = leaks.look({4: ROW}, ["demo"], str(train), silent)
    assert list(found) == [4] and text == ("0 of 1 items are also among what the embedded model was made from. "
                                           "1 of 1 items is also among the rows of train.jsonl (1 row).")
    assert leaks.look({4: ROW}, ["a model that is not here"], "", silent) == ({}, "")

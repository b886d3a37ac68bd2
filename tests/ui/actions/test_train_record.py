"""What the events of a training say, read on from where one was."""

import json

import pytest

from models import runs
from ui import jobs
from ui.actions.train_record import Reader


@pytest.fixture
def events(tmp_path):
    """Appends events to a run's file."""
    def write(*made):
        with (tmp_path / runs.EVENTS).open("a") as file:
            file.writelines(json.dumps({"t": 1.0, **one}) + "\n" for one in made)
    return write


def step(number, loss):
    return {"kind": "step", "step": number, "steps": 8, "loss": loss}


def evaluation(number, loss):
    return {"kind": "eval", "step": number, "loss": loss}


def sample(number, answer, row=0):
    return {"kind": "sample", "step": number, "row": row, "question": f"q{row}", "reference": "r", "answer": answer}


def test_a_run_is_followed(tmp_path, events):
    asked = []

    def read(folder, position):
        asked.append(position)
        return jobs.read_from(folder / runs.EVENTS, position)

    reader = Reader(read)
    assert reader.record(tmp_path).best() is None and asked == []
    events(evaluation(0, 5.0), sample(0, "un"), step(1, 4.5), {"kind": "note", "text": "a note"})
    first = reader.record(tmp_path)
    assert first.best() is None and first.notes == ("a note",) and first.steps == 8
    events(step(2, 4.0), evaluation(2, 4.2), sample(2, "two"), evaluation(4, 4.4), {"kind": "row", "line": 3})
    second = reader.record(tmp_path)
    assert second.best() == 4.2 and second.stages[0].points("step", "loss") == [(1, 4.5), (2, 4.0)]
    assert second.answers[0].by_step == ((0, "un"), (2, "two")) and second.left_out[0]["line"] == 3
    reader.record(tmp_path)
    assert len(asked) == 2 and asked[1] > 0             # only what was new, and nothing where nothing was
    assert first.answers[0].by_step == ((0, "un"),)     # what was given to one page does not change under it


def test_what_came_after_the_step_of_a_resume_never_was(tmp_path, events):
    events(step(1, 4.0), evaluation(1, 3.9), sample(1, "one"), step(2, 3.0), evaluation(2, 2.0), sample(2, "two"),
           {"kind": "resume", "step": 1}, step(2, 3.5))
    record = Reader(lambda folder, at: jobs.read_from(folder / runs.EVENTS, at)).record(tmp_path)
    assert record.best() == 3.9 and record.answers[0].by_step == ((1, "one"),)
    assert record.stages[0].points("step", "loss") == [(1, 4.0), (2, 3.5)]


def test_another_run_by_the_same_name_is_read_anew(tmp_path, events):
    reader = Reader(lambda folder, at: jobs.read_from(folder / runs.EVENTS, at))
    events(*(step(k, 1.0) for k in range(9)))
    reader.record(tmp_path)
    (tmp_path / runs.EVENTS).unlink()
    events(step(1, 2.0))
    assert reader.record(tmp_path).stages[0].points("step", "loss") == [(1, 2.0)]


def test_damaged_files_beside_it_do_not_stop_the_page(tmp_path):
    (tmp_path / runs.RESULT).write_text("{")
    (tmp_path / runs.ESTIMATE).write_text("[1]")
    record = Reader(lambda folder, at: ([], at)).record(tmp_path)
    assert record.result == {} and record.promise == {}

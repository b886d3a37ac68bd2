"""A task over a file: no row lost, none twice, and the same bytes however often it was killed."""

import json
import multiprocessing
import random
import sys
import time
from contextlib import nullcontext

import pytest

from evaluation.batch import worker
from evaluation.batch.config import AnswerConfig, ClassifyConfig
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from tests.tasks.fake_engine import FakeEngine

ROWS = 900
KILLS = 10


def begun(folder, config):
    """A run folder for the config; the job that it is."""
    runs.make_folder(folder)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    return Job(folder)


def done(folder, config, engine=None):
    """Do the task in this process; returns (result, events)."""
    worker.work(begun(folder, config), lambda wanted: nullcontext(engine or FakeEngine()))
    events = [json.loads(line) for line in (folder / runs.EVENTS).read_text().splitlines()]
    return (runs.read_json(folder / runs.RESULT) if (folder / runs.RESULT).exists() else {}), events


@pytest.fixture
def questions(tmp_path):
    """Questions with right answers, some of them with nothing asked, one too long for the context."""
    path = tmp_path / "questions.csv"
    lines = ["id;question;final_decision;contexts"]
    for k in range(ROWS):
        text = "" if k % 50 == 7 else f"Does substance {k} help against illness {k % 17}?"
        context = "long " * 1200 if k == 33 else f"We looked at {k * 7} people."
        lines.append(f'{k};"{text}";{("yes", "no", "maybe")[k % 3]};"{context}"')
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    return path


class SlowEngine(FakeEngine):
    """As a FakeEngine, and a row takes its time."""

    def score(self, items):
        time.sleep(0.002 * len(items))
        return super().score(items)


def slow_batch(folder):
    """The job in a process of its own, to be killed."""
    def work():
        worker.work(Job(folder), lambda config: nullcontext(SlowEngine(ctx_tokens=4000)))
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="a process is not forked there")
@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".json", ".parquet"])
def test_ten_kills_at_random_leave_the_same_bytes(questions, tmp_path, suffix):
    whole, broken = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    done(tmp_path / "one", AnswerConfig(file=str(questions), out=str(whole)), FakeEngine(ctx_tokens=4000))
    folder = tmp_path / "other"
    begun(folder, AnswerConfig(file=str(questions), out=str(broken)))
    moments = random.Random(suffix)
    killed, sizes_then = 0, set()
    while not (folder / runs.RESULT).exists():
        process = slow_batch(folder)
        if killed < KILLS:                  # some while it starts, some after one or two more groups, within the next
            grown = journal_bytes(folder) + moments.choice((0, 1, 4000))
            while journal_bytes(folder) < grown and process.is_alive():
                time.sleep(0.002)
            time.sleep(moments.uniform(0.0, 0.1))
            process.kill()
        process.join(60)
        killed += process.exitcode == -9
        sizes_then.add(journal_bytes(folder))
        assert process.exitcode in (0, -9)
    assert killed == KILLS and len(sizes_then) > 4
    assert broken.read_bytes() == whole.read_bytes()
    groups = [json.loads(line)["group"] for line in (folder / runs.ROWS).read_text().splitlines()]
    assert groups == list(range(-(-ROWS // 32)))


def journal_bytes(folder):
    path = folder / runs.ROWS
    return path.stat().st_size if path.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="a process is not forked there")
def test_two_processes_of_one_run_do_not_do_a_row_twice(questions, tmp_path):
    done(tmp_path / "one", AnswerConfig(file=str(questions), out=str(tmp_path / "whole.csv")),
         FakeEngine(ctx_tokens=4000))
    begun(tmp_path / "other", AnswerConfig(file=str(questions), out=str(tmp_path / "out.csv")))
    processes = [slow_batch(tmp_path / "other") for _ in range(3)]
    time.sleep(0.3)
    processes[0].kill()
    for process in processes:
        process.join(60)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    groups = [json.loads(line)["group"] for line in (tmp_path / "other" / runs.ROWS).read_text().splitlines()]
    assert groups == list(range(-(-ROWS // 32)))


def test_a_kill_while_the_file_was_written(questions, tmp_path):
    out = tmp_path / "out.xlsx"
    done(tmp_path / "run", AnswerConfig(file=str(questions), out=str(out)))
    whole = out.read_bytes()
    (tmp_path / "run" / runs.RESULT).unlink()
    out.unlink()
    out.with_name("out.xlsx.part").write_bytes(whole[:999])

    def never(wanted):
        raise AssertionError("a model was loaded")
    worker.work(Job(tmp_path / "run"), never)
    assert out.read_bytes() == whole and not out.with_name("out.xlsx.part").exists()


def test_every_row_stays_and_those_that_can_not_be_done_say_why(questions, tmp_path):
    out = tmp_path / "out.jsonl"
    result, events = done(tmp_path / "run", AnswerConfig(file=str(questions), out=str(out)),
                          FakeEngine(ctx_tokens=4000))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [str(k) for k in range(ROWS)]
    assert rows[7]["problem"] == "question is empty" and rows[7]["answer"] is None
    assert "tokens, and the context holds 4,000" in rows[33]["problem"]
    assert rows[0]["answer"] in ("yes", "no", "maybe") and rows[0]["problem"] == ""
    assert result["not_done"] == 19 == len(result["problems"])
    assert result["problems"][0] == {"row": 8, "line": 9, "problem": "question is empty"}
    assert result["scores"]["n"] == ROWS - 19
    phases = [event for event in events if event["kind"] == "phase"]
    assert phases[-1]["done"] == phases[-1]["of"] == ROWS and phases[-1]["left_s"] == 0
    assert phases[0]["left_s"] > 0


def test_a_row_is_asked_for_once_over_a_stop(questions, tmp_path):
    config = AnswerConfig(file=str(questions), out=str(tmp_path / "out.csv"))
    folder, engine = tmp_path / "run", FakeEngine(ctx_tokens=4000)
    job = begun(folder, config)
    score = engine.score

    def scored(items):
        if len(engine.scored) > 100:
            (folder / runs.STOP).touch()
        return score(items)
    engine.score = scored
    worker.work(job, lambda wanted: nullcontext(engine))
    assert not (tmp_path / "out.csv").exists() and not (folder / runs.RESULT).exists()
    (folder / runs.STOP).unlink()
    engine.score = score
    worker.work(Job(folder), lambda wanted: nullcontext(engine))
    prompts = [engine.text(prompt) for prompt, _ in engine.scored]
    assert len(prompts) == len(set(prompts)) == ROWS - 19


@pytest.mark.parametrize("damage", [b"AGAIN", b'{"group": 3, "ro', b"\0" * 50 + b"\n",
                                    b'{"group": 9, "rows": []}\n', b"{}\n"])
def test_what_a_kill_or_a_power_cut_left_is_cut_off(questions, tmp_path, damage):
    config = AnswerConfig(file=str(questions), out=str(tmp_path / "out.csv"))
    done(tmp_path / "one", config)
    whole = (tmp_path / "out.csv").read_bytes()
    journal = tmp_path / "one" / runs.ROWS
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + damage.replace(b"AGAIN", lines[1]))
    (tmp_path / "one" / runs.RESULT).unlink()
    (tmp_path / "out.csv").unlink()
    worker.work(Job(tmp_path / "one"), lambda wanted: nullcontext(FakeEngine()))
    assert (tmp_path / "out.csv").read_bytes() == whole and journal.read_bytes() == b"".join(lines)


def test_another_file_or_model_is_not_mixed_in(questions, tmp_path):
    config = AnswerConfig(file=str(questions), out=str(tmp_path / "out.csv"))
    done(tmp_path / "run", config)
    journal = tmp_path / "run" / runs.ROWS
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match="other is no longer the model that run began with .fake"):
        done(tmp_path / "run", config, FakeEngine(name="other"))
    with pytest.raises(UserError, match="The settings changed since run began"):
        done(tmp_path / "run", AnswerConfig(file=str(questions), threshold=0.5))
    questions.write_text(questions.read_text(encoding="utf-8").replace("substance 5 ", "substance 6 "))
    with pytest.raises(UserError, match="questions.csv changed since run began"):
        done(tmp_path / "run", config)


def test_the_context_of_the_first_start_is_asked_for_again(questions, tmp_path):
    config = AnswerConfig(file=str(questions), out=str(tmp_path / "out.csv"))
    done(tmp_path / "run", config, FakeEngine(ctx_tokens=4000))
    journal = tmp_path / "run" / runs.ROWS
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    worker.work(Job(tmp_path / "run"), lambda wanted: nullcontext(FakeEngine(ctx_tokens=wanted.ctx_tokens)))


def test_no_model_is_loaded_for_rows_that_are_done_or_can_not_be(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("question,id\n,1\n,2\n")

    def never(wanted):
        raise AssertionError("a model was loaded")
    worker.work(begun(tmp_path / "run", AnswerConfig(file=str(path))), never)
    assert (tmp_path / "empty-answered.csv").read_text() == (
        "question,id,answer,is_cut,problem\n,1,,,question is empty\n,2,,,question is empty\n")


def test_a_column_that_is_there_already_is_kept(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("question,problem,answer\nWhy?,headache,no idea\n")
    done(tmp_path / "run", AnswerConfig(file=str(path), kind="free"), FakeEngine(says={"Why": "Because."}))
    assert (tmp_path / "twice-answered.csv").read_text() == (
        "question,problem,answer,answer 2,is_cut,problem 2\nWhy?,headache,no idea,Because.,false,\n")


@pytest.mark.parametrize(("config", "words"), [
    (dict(file="none.csv"), "There is no file none.csv"),
    (dict(file="."), "is a folder; name one file in it"),
    (dict(file="here.csv", out="here.csv"), "here.csv would be written over the file that is read"),
    (dict(file="here.csv", out="out.docx"), "out.docx ends in .docx, which is no kind of table"),
    (dict(file="here.csv", columns=("abstract=Text",)), "has no column 'Text'; it has name, age"),
    (dict(file="here.csv", columns=("colour=name",)), "has the field 'colour'; there are title, abstract, group"),
    (dict(file="here.csv"), "has the columns name, age; none of them is the abstract. Name it, as --map abstract="),
])
def test_one_clear_line(config, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.csv").write_text("name,age\nx,1\n")
    with pytest.raises(UserError, match=words):
        done(tmp_path / "run", ClassifyConfig(**config))

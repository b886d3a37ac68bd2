"""classify, summarise, answer and evaluate at the command line: bad input in one line, and no row lost to a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from models import runs
from tests.ui.test_commands import environment, galen, interrupted, refused

QUESTIONS = "id;question;final_decision;contexts\n" + "".join(
    f"{k};Does substance {k} help?;{('yes', 'no', 'maybe')[k % 3]};We saw {k} people who took it for {k + 2} weeks.\n"
    for k in range(160))
PAPERS = "title,abstract,group\n" + "".join(
    f"t,{('The heart and its vessels', 'The brain and its nerves')[k % 2]} of case {k}.,{('cardio', 'neuro')[k % 2]}\n"
    for k in range(24))


@pytest.mark.parametrize(("words", "expected"), [
    (["classify"], "Name the file with the rows, as --in FILE."),
    (["classify", "--in", "none.csv"], "There is no file none.csv."),
    (["classify", "--in", "."], "is a folder; name one file in it"),
    (["classify", "--in", "papers.csv", "--out", "x.doc"], "x.doc ends in .doc, which is no kind of table"),
    (["classify", "--in", "papers.csv", "--out", "papers.csv"], "would be written over the file that is read"),
    (["classify", "--in", "papers.csv", "--train", "none.csv"], "There is no file none.csv."),
    (["classify", "--in", "papers.csv", "--set", "shots=-1"], "Training rows shown before each text as examples is -1"),
    (["classify", "--in", "papers.csv", "--set", "shot=1"], "did you mean 'shots'"),
    (["classify", "--in", "papers.csv", "--map", "abstract"], "write field=column"),
    (["classify", "--in", "plain.csv"], "plain.csv has no column of labels, and no --labels are named"),
    (["classify", "--in", "one.csv"], "There is only the label 'cardio' to choose from"),
    (["classify", "--in", "papers.csv", "--model", "no-such"], "There is no model 'no-such' here"),
    (["classify", "--in", "empty.csv"], "empty.csv is empty"),
    (["classify", "--in", "papers.csv", "--map", "abstract=Text"], "has no column 'Text'; it has title, abstract"),
    (["classify", "--resume", "/no/such/run"], "There is no run folder /no/such/run"),
    (["answer", "--in", "papers.csv"], "has the columns title, abstract, group; none of them is the question"),
    (["answer", "--in", "questions.csv", "--kind", "odd"], "Questions are is 'odd'; use one of auto, choice"),
    (["answer", "--in", "questions.csv", "--threshold", "2"], "No answer below this probability is 2; use 0 to 1"),
    (["summarise", "--in", "questions.csv"], "none of them is the dialogue"),
    (["evaluate", "pubmedq"], "There is no benchmark 'pubmedq'; did you mean 'pubmedqa'?"),
    (["evaluate", "pubmedqa", "--file", "none.json"], "There is no file none.json."),
    (["evaluate", "pubmedqa", "--limit", "-1"], "Most items (0 = all) is -1"),
    (["evaluate", "own"], "A benchmark of your own needs its file; name it with --file."),
    (["evaluate", "pubmedqa", "--file", "keys.json"], "final_decision"),
])
def test_one_clear_line(words, expected, table, tmp_path):
    table("papers.csv", PAPERS)
    table("questions.csv", QUESTIONS)
    table("plain.csv", "id,abstract\n1,The heart.\n2,The brain.\n")
    table("one.csv", "abstract,group\nThe heart.,cardio\nHearts.,cardio\n")
    table("empty.csv", "")
    table("keys.json", '{"1": {"QUESTION": "Why?", "CONTEXTS": ["x"]}}')
    assert expected in refused(*words, home=tmp_path, cwd=tmp_path)


def test_a_command_that_was_killed_goes_on_when_it_is_given_again(table, tmp_path):
    words = ["answer", "--in", table("questions.csv", QUESTIONS), "--set", "threads=1"]
    done = galen(*words, "--out", tmp_path / "whole.csv", home=tmp_path / "one")
    assert done.returncode == 0 and "accuracy" in done.stdout, done.stderr
    broken = tmp_path / "broken.csv"
    starts = 0
    while not broken.exists():
        starts += 1
        process = subprocess.Popen([sys.executable, "-m", "ui.commands", *map(str, words), "--out", str(broken)],
                                   env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if starts <= 3:
            journal, before = run_folder(tmp_path, process), 0
            before = size(journal)
            while process.poll() is None and size(journal) == before:
                time.sleep(0.02)
            os.kill(runs.read_json(journal.parent / runs.PID)["pid"], signal.SIGKILL)
            said = process.communicate(timeout=60)[1]
            assert process.returncode == 2 and f"answer --resume {journal.parent}" in said.splitlines()[-1], said
        else:
            assert process.wait(120) == 0
    assert starts == 4 and broken.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert len(list((tmp_path / "runs").iterdir())) == 1
    lines = journal.read_text().splitlines()
    assert [json.loads(line)["group"] for line in lines] == [0, 1, 2, 3, 4]


def run_folder(home, process):
    """The journal of the one run, once its worker lives."""
    while process.poll() is None:
        found = list((home / "runs").glob(f"*/{runs.PID}")) if (home / "runs").is_dir() else []
        if found and size(found[0].parent / runs.STARTED):
            return found[0].parent / runs.ROWS
        time.sleep(0.02)
    raise AssertionError(process.communicate())


def size(path):
    return path.stat().st_size if path.exists() else 0


def test_a_finished_run_is_told_and_another_file_to_write_costs_nothing(table, tmp_path):
    papers, train = table("papers.csv", PAPERS), table("train.csv", PAPERS.replace("case", "patient"))
    words = ["classify", "--in", papers, "--train", train, "--fast", "--run", tmp_path / "run"]
    done = galen(*words, "--out", tmp_path / "out.xlsx", "--json", home=tmp_path)
    result = json.loads(done.stdout)
    assert result["rows"] == 24 and result["scores"]["subset_accuracy"] == 1 and result["run"] == str(tmp_path / "run")
    assert f"is finished; its rows are in {tmp_path / 'out.xlsx'}" in refused("classify", "--resume", tmp_path / "run",
                                                                             home=tmp_path)
    again = galen("classify", "--resume", tmp_path / "run", "--out", tmp_path / "out.jsonl", home=tmp_path)
    assert again.returncode == 0 and len((tmp_path / "out.jsonl").read_text().splitlines()) == 24, again.stderr
    assert "Learning from" not in again.stderr


def test_stopped_by_hand_it_keeps_what_is_done(table, tmp_path):
    status, said = interrupted("Rows (32", "answer", "--in", table("questions.csv", QUESTIONS), "--kind", "decision",
                               "--out", tmp_path / "out.csv", home=tmp_path)
    assert status == 130 and "Stopped, as asked." in said and "answer --resume" in said
    assert not (tmp_path / "out.csv").exists()


def test_summaries_of_a_file(table, tmp_path):
    talk = "dialogue,section_header\n" + "".join(
        f'"Doctor: What is it? Patient: My knee {k} hurts.",PLAN\n' for k in range(3)) + ",PLAN\n"
    done = galen("summarise", "--in", table("talk.csv", talk), "--max-tokens", "12", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 rows in" in done.stdout and "line 5: dialogue is empty" in done.stdout
    written = (tmp_path / "talk-summarised.csv").read_text(encoding="utf-8")
    assert written.splitlines()[0] == "dialogue,section_header,header,summary,marks,parts,note,problem"


def test_a_benchmark_is_scored_with_its_interval(table, tmp_path):
    rows = {str(k): {"QUESTION": f"Does substance {k} help?", "CONTEXTS": [f"We saw {k} people."], "YEAR": "2012",
                     "LABELS": ["RESULTS"], "MESHES": [], "final_decision": ("yes", "no", "maybe")[k % 3],
                     "LONG_ANSWER": "It does."} for k in range(40)}
    words = ["evaluate", "pubmedqa", "--file", table("rows.json", json.dumps(rows)), "--limit", "30",
             "--out", tmp_path / "out"]
    done = galen(*words, home=tmp_path)
    assert done.returncode == 0 and "30" in done.stdout, done.stderr
    assert (tmp_path / "out" / runs.REPORT).is_file() and (tmp_path / "out" / runs.REPORT_PAGE).is_file()
    assert "another setting: limit is 30 there, and 20 now" in refused(
        *words[:5], "20", *words[6:], home=tmp_path).replace("another setting: Limit", "another setting: limit")


def test_benchmarks_are_listed(tmp_path):
    done = galen("evaluate", home=tmp_path)
    assert done.returncode == 0 and "pubmedqa" in done.stdout and "licence: MIT" in done.stdout
    listed = json.loads(galen("evaluate", "--json", home=tmp_path).stdout)
    assert listed[0].keys() == {"name", "title", "licence", "about"}

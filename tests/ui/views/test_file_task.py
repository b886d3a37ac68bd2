"""A task over a file as HTML: the look, the job, its rows and scores; nothing of it is markup."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ui.actions.file_task import Look, Seen
from ui.job_list import JobView
from ui.views import evaluate
from ui.views import file_task as views

HOSTILE = '<img src=x onerror=alert(1)>'
FOLDER = Path("/home/runs/classify-1")
VIEW = JobView(folder=FOLDER, kind="classify", title="papers.csv", state="running", share=0.25, left_s=75.0,
               words="Rows (50 of 200)", started=0.0)
SEEN = Seen(view=VIEW, texts=(), rows=(), notes=(), result={})
SCORES = {"n": 200, "subset_accuracy": 0.91, "macro_f1": 0.9, "micro_f1": 0.92,
          "intervals": {"subset_accuracy": [0.86, 0.94], "macro_f1": [None, None], "micro_f1": [0.88, 0.95]},
          "labels": {"a": {"precision": 0.5, "recall": 0.6, "f1": 0.55, "n": 7}},
          "baseline": {"name": "always a", "subset_accuracy": 0.3}}
RESULT = {"out": str(FOLDER / "x.csv"), "rows": 200, "not_done": 0, "problems": [], "scores": SCORES,
          "learned_from": 0, "scores_of_others": {}}


def test_a_look_shows_rows_and_what_was_recognised():
    html = views.look(Look(name="a.csv", columns=("id", "text"), rows=(("1", "word " * 40),) * 9,
                           used={"abstract": "text"}))
    assert html.count("<tr>") == 1 + views.LOOK_ROWS and "Recognised: text." in html and "…" in html
    assert 'class="problem">Choose.' in views.look(Look(name="a.csv", columns=("x",), rows=(), used={},
                                                        problem="Choose."))


def test_an_evaluation_can_be_stopped_then_ended_and_later_resumed():
    def labels(view: JobView) -> list[str]:
        return re.findall(r'data-act="(\w+)" data-run="classify-1">([^<]*)<', evaluate.progress(view))
    assert labels(VIEW) == [("stop", "Stop")]
    assert labels(replace(VIEW, is_deaf=True)) == [("stop", "Stop"), ("end", "End it now")]
    assert labels(replace(VIEW, state="stopped")) == [("resume", "Resume")]


def test_progress_has_a_bar_a_share_and_the_time_left():
    html = views.job(replace(SEEN, notes=("One.", "Two.")))
    assert 'aria-valuenow="25"' in html and "width: 25.0%" in html
    assert "25% · 1 min 15 s left · Rows (50 of 200)" in html
    assert "<li>One.</li><li>Two.</li>" in html


@pytest.mark.parametrize("state", ["done", "stopped", "error", "interrupted"])
def test_what_is_over_has_no_bar(state):
    html = views.job(replace(SEEN, view=replace(VIEW, state=state, left_s=None, share=1.0, words="The end.")))
    assert "progressbar" not in html and "The end." in html and (views.STATES[state] in html) == (state != "done")


def test_a_job_whose_share_is_not_known_says_nothing_of_it():
    html = views.job(replace(SEEN, view=replace(VIEW, share=None, left_s=None)))
    assert "aria-valuenow" not in html and "%<" not in html and "None" not in html


def test_a_file_that_lies_elsewhere_is_named():
    assert "Its rows are in /data/out.csv." in views.job(replace(SEEN, result={**RESULT, "out": "/data/out.csv"}))
    assert "Its rows" not in views.job(replace(SEEN, result=RESULT))


def test_rows_stand_beside_their_texts():
    rows = ({"predicted_labels": "a | b", "confidence": 0.5, "by": "linear model", "problem": ""},
            {"problem": "too long: 9 tokens"})
    html = views.rows(replace(SEEN, rows=rows, texts=("First text",)), "classify")
    assert "First text" in html and "a | b" in html and "50%" in html
    assert 'colspan="3" class="problem">too long: 9 tokens' in html and "The first 2 rows" in html
    assert views.rows(SEEN, "classify") == ""
    note = {"header": "CC", "summary": "Pain. " * 99, "marks": "80 mg (dose)", "problem": ""}
    html = views.rows(replace(SEEN, rows=(note,)), "summarise")
    assert "80 mg (dose)" in html and html.count("Pain.") <= 50 and "…" in html      # the file has the whole of it


def test_scores_stand_with_intervals_and_the_trivial_answer():
    html = views.scores(RESULT)
    assert "Against the file&#x27;s own answers, 200 rows" in html
    assert '<th scope="row">all labels right</th><td>0.910</td><td>0.860 to 0.940</td><td>0.300</td>' in html
    assert '<th scope="row">macro F1</th><td>0.900</td><td>none can be given</td><td></td>' in html
    assert '<th scope="row">a</th><td>0.550</td><td>0.500</td><td>0.600</td><td>7</td>' in html
    assert views.scores({}) == "" and views.scores({**RESULT, "scores": {}}) == ""


def test_what_was_learned_from_and_what_could_not_be_done_is_said():
    problems = [{"row": 3, "line": 4, "problem": "empty"}]
    html = views.scores({**RESULT, "not_done": 1, "problems": problems, "learned_from": 150,
                         "scores_of_others": {**SCORES, "n": 50}})
    assert "1 of 200 rows could not be done" in html and "Row 3, line 4: empty" in html
    assert "Without the 150 rows that were learned from, 50 rows" in html
    assert "says nothing" in views.scores({**RESULT, "learned_from": 200, "scores_of_others": {}})
    assert "by heart" in views.scores({**RESULT, "learned_from": None})


def test_jobs_before_are_links():
    html = views.earlier([VIEW, replace(VIEW, folder=Path("/home/runs/classify-0"), state="done")], "/classify",
                         "classify-1")
    assert '<a href="/classify?run=classify-1" aria-current="true">papers.csv</a>' in html
    assert '<a href="/classify?run=classify-0">' in html and "Done" in html
    assert views.earlier([], "/classify", "") == ""
    many = views.earlier([VIEW] * (views.MOST_LISTED + 3), "/classify", "")
    assert many.count("<li>") == views.MOST_LISTED and "3 older ones" in many


def test_nothing_written_is_markup():
    view = replace(VIEW, title=HOSTILE, words=HOSTILE, folder=Path("/runs") / '"><img src=x>')
    row = dict.fromkeys(("predicted_labels", "by", "problem"), HOSTILE)
    seen = replace(SEEN, view=view, texts=(HOSTILE,), rows=(row, {**row, "problem": ""}), notes=(HOSTILE,),
                   result={**RESULT, "out": HOSTILE})
    scores = {**SCORES, "labels": {HOSTILE: SCORES["labels"]["a"]}, "baseline": {"name": HOSTILE}}
    for html in (views.look(Look(name=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE,),), used={"x": HOSTILE})),
                 views.job(seen), views.rows(seen, "classify"), views.earlier([view], "/classify", ""),
                 views.scores({**RESULT, "scores": scores, "not_done": 1,
                               "problems": [{"row": 1, "line": 1, "problem": HOSTILE}]})):
        assert "<img" not in html and "&lt;img" in html


def test_a_file_in_the_runs_folder_is_told_by_its_name():
    view = replace(VIEW, state="error", words=f"{VIEW.folder}/data/my rows.csv is no table; see {VIEW.folder}/log.txt.")
    assert views.own_words(view) == "my rows.csv is no table; see log.txt."
    assert str(VIEW.folder) not in views.job(replace(SEEN, view=view)) + evaluate.progress(view)

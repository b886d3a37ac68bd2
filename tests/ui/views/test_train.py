"""The train page's HTML: what data or a model wrote is text in it, and each state of a run says what it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from train.config import TrainConfig
from train.curve import stages_of
from ui.actions.train_draft import Draft
from ui.actions.train_record import Answers, Record
from ui.actions.train_tables import Mapped, Seen
from ui.actions.train_view import Prepared, RunLine, RunView
from ui.job_list import JobView
from ui.views import train as views
from ui.views import train_data

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
PIECES = [{"kind": kind, "text": HOSTILE, "ids": [1, 2]} for kind in ("context", "control", "learned", "end", "cut")]
STAGE = {"name": HOSTILE, "max_len": 8, "rows": 9, "validation_rows": 2, "test_rows": 1, "left_out": 3, "cut": 1,
         "cut_words": HOSTILE, "tokens": 100, "learned": 25, "lengths": {"step": 4, "counts": [3, 6]},
         "tables": [HOSTILE], "findings": [], "too_long": [], "samples": [
             {"why": [HOSTILE], "file": HOSTILE, "line": 3, "tokens": 5, "whole_tokens": 7, "learned": 2,
              "pieces": PIECES}]}
FINDING = {"step": "x", "count": 2, "text": HOSTILE, "rows": [
    {"file": f"/home/me/{HOSTILE}", "line": 2, "why": HOSTILE}]}
PROMISE = {"seconds": 130.0, "steps": 40, "peak_rss_mb": 5800, "memory_mb": 4000, "peak_disk_mb": 20,
           "disk_free_mb": 9000, "fits": False, "parts": {"steps": 100.0, "checkpoints": 0.2}, "notes": [HOSTILE],
           "measured_steps": 12, "measured_s": 20.0, "machine": HOSTILE}
SEEN = Seen(file=f"/x/{HOSTILE}", name=HOSTILE, role="data", stage="", bytes=1000, layout="question/answer",
            columns=("question", HOSTILE), problem=HOSTILE, unread=(HOSTILE,), fields=(
                Mapped(field="question", column=HOSTILE, first=HOSTILE, is_needed=True, is_by_hand=True),
                Mapped(field="system", column="", first="", is_needed=False, is_by_hand=False)))
RECORD = Record(stages=tuple(stages_of([{"kind": "eval", "step": k, "loss": 5.0 - k} for k in range(3)])),
                answers=(Answers(stage=HOSTILE, question=HOSTILE, reference=HOSTILE, by_step=(
                    (0, HOSTILE), (2, HOSTILE), (4, ""))),),
                notes=(HOSTILE,), left_out=({"file": HOSTILE, "line": 3, "reason": HOSTILE},), steps=8,
                result={"base_val_loss": 5.0, "best_val_loss": 3.0, "best_step": 2, "metric": "rouge_l",
                        "best_metric": 0.4, "base_metric": 0.1, "seconds": 143.0, "peak_rss_mb": 5220.0},
                promise=PROMISE)


def job(state, words=HOSTILE):
    return JobView(folder=Path("/x"), kind="train", title=HOSTILE, state=state, share=0.5, left_s=65.0, words=words,
                   started=0.0)


def view(**values):
    plain = RunView(name="run-1", draft=Draft(), config=TrainConfig(recipe="answer"), problem="", tables=(SEEN,),
                    preview=Prepared(made={"stages": [STAGE]}, findings=(FINDING,), left_out=(
                        {"file": f"C:\\data\\{HOSTILE}", "line": 3, "reason": HOSTILE},)),
                    estimate=Prepared(made=PROMISE), job=None, record=None)
    return replace(plain, **values)


RUN = view(draft=None, job=job("running"), record=RECORD)


@pytest.mark.parametrize("html", [
    train_data.tables(view()), train_data.findings(view().preview), train_data.tokens(view().preview),
    train_data.state(Prepared(job=job("running")), ""), train_data.state(Prepared(job=job("error")), ""),
    views.heads(view(preview=Prepared()))[0], views.recipe(view(problem=HOSTILE)),
    views.stages(TrainConfig(stages=({"name": "one", "columns": [f"question={HOSTILE}"]},))),
    views.settings(view(config=TrainConfig(recipe=HOSTILE, base=HOSTILE))), views.promise(view()), views.run(RUN),
    views.run(replace(RUN, job=job("error"))), views.run(RUN, (HOSTILE, RECORD)),
    views.runs([RunLine(name=HOSTILE, state="done", recipe=HOSTILE, base=HOSTILE, best=1.0, began=0.0, bytes=5)],
               HOSTILE, ""), views.title(view(name=HOSTILE)),
], ids=lambda html: "")
def test_nothing_that_was_written_becomes_a_tag(html):
    assert "<img" not in html and "<script" not in html and 'x"><' not in html
    assert "alert(1)" in html


def test_each_step_is_told_in_one_line():
    lines = [line.split('class="said">')[1].split("<")[0] for line in views.heads(view())]
    assert lines == ["12 rows, 3 left out", "100 tokens, 25 of them learned", "demo, answer",
                     "about 2 min 10 s, 5.8 GB, does not fit", ""]
    assert views.heads(RUN)[4].endswith('running, 1 min 05 s left</span></button></h2>')
    stale = view(preview=replace(view().preview, is_stale=True), estimate=Prepared(made=PROMISE, is_stale=True))
    assert "12 rows" not in views.heads(stale)[0] and "5.8 GB" not in views.heads(stale)[3]
    assert [bool(line) for line in views.heads(None)] == [True, False, False, False, False]


def test_paths_of_this_computer_are_not_shown():
    html = train_data.findings(view().preview)
    assert "/home/me" not in html and "C:\\data" not in html


def test_a_long_finding_is_cut_and_says_so():
    rows = [{"line": k, "why": "w"} for k in range(250)]
    html = train_data.findings(Prepared(made={"stages": []}, findings=({**FINDING, "rows": rows},)))
    assert html.count("<tr>") == 101 and "and 150 more" in html


@pytest.mark.parametrize("state, words, said", [
    ("waiting", "", "Waits for its turn"), ("running", "step 3/8", "step 3/8. About 1 min 05 s left."),
    ("stopped", "", "Resume goes on where it was"), ("done", "Done in 5 s", "Done in 5 s."),
    ("error", "Because.", "Because."),
    ("interrupted", "It was killed.", "It was killed.")])
def test_every_state_of_a_run_says_what_it_is(state, words, said):
    assert said in views.run(replace(RUN, job=job(state, words)))


def test_promise_against_fact_stands_at_the_end_of_an_unbroken_run():
    html = views.run(replace(RUN, job=job("done")))
    assert "<td>2 min 10 s</td><td>2 min 23 s</td><td>+10%</td>" in html and "<td>5.8 GB</td><td>5.2 GB</td>" in html
    assert "ROUGE-L 0.100 before, 0.400 after." in html
    broken = replace(RECORD, result={**RECORD.result, "is_resumed": True})
    assert "Promise against fact" not in views.run(replace(RUN, record=broken))


def test_what_comes_next_is_offered_once_there_is_an_adapter(tmp_path):
    over = replace(job("done"), folder=tmp_path)
    assert "/export?" not in views.run(replace(RUN, job=over))
    (tmp_path / "adapter").mkdir()
    html = views.run(replace(RUN, job=over))
    assert 'href="/export?source=run-1"' in html and 'href="/evaluate?model=run-1"' in html


def test_the_list_offers_what_can_be_done():
    lines = [RunLine(name=name, state=state, recipe="r", base="demo", best=best, began=0.0, bytes=size)
             for name, state, best, size in (("a", "done", 3.0, 5_000_000), ("b", "running", 4.0, None),
                                             ("c", "draft", None, 10))]
    html = views.runs(lines, "a", "")
    assert html.count('data-act="delete"') == 2 and 'data-run="a" data-size="5 MB"' in html
    assert html.count("Lay its curve over") == 1 and 'href="/train?run=a&amp;with=b"' in html
    assert "Take its curve away" in views.runs(lines, "a", "b") and "Lay its curve" not in views.runs(lines, "c", "")
    assert "Nothing trained yet" in views.runs([], "", "")
    assert len(views.runs(lines * 67, "a", "")) < 120_000

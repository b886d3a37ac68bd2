"""Events, promises and facts as a person reads them."""

import io

from ui import terminal

PROMISE = {"seconds": 7500, "parts": {"steps": 7000.0, "evaluations": 499.6, "answers": 0.4}, "steps": 450,
           "peak_rss_mb": 5800, "memory_mb": 12000, "peak_disk_mb": 90, "disk_free_mb": 50, "measured_steps": 13,
           "measured_s": 61.0, "machine": "CPU, bfloat16 arithmetic", "notes": ["Busy."]}


def test_the_promise_in_words():
    lines = terminal.promise_lines(PROMISE)
    assert lines == [
        "About 2 h 05 min for 450 steps (steps 1 h 56 min, evaluations 8 min 20 s).",
        "5.8 GB of memory at the most; 12.0 GB are free: fits.",
        "90 MB of disk at the most; 50 MB are free: DOES NOT FIT.",
        "Measured on 13 steps of this run in 1 min 01 s, CPU, bfloat16 arithmetic.", "Busy."]
    on_gpu = terminal.promise_lines({**PROMISE, "peak_vram_mb": 900, "vram_mb": 80_000})
    assert "900 MB of GPU memory at the most; 80.0 GB are free: fits." in on_gpu


def test_promise_against_fact():
    lines = terminal.kept_lines(PROMISE, {"seconds": 7875.0, "peak_rss_mb": 5742.0, "peak_disk_mb": 90.0})
    assert [line.split() for line in lines] == [
        ["Promise", "against", "fact:"],
        ["time", "promised", "2", "h", "05", "min,", "was", "2", "h", "11", "min", "(+5%)"],
        ["memory", "promised", "5.8", "GB,", "was", "5.7", "GB", "(-1%)"],
        ["disk", "promised", "90", "MB,", "was", "90", "MB", "(+0%)"]]
    assert terminal.kept_lines(PROMISE, {"seconds": 1.0, "is_stopped": True}) == []
    assert terminal.kept_lines(PROMISE, {"seconds": 1.0, "is_resumed": True}) == []


def test_events_as_lines():
    line = terminal.event_line
    assert line({"kind": "eval", "step": 9, "loss": 1.5, "accuracy": 0.5, "stage": "one"}) == (
        "one: step 9: validation loss 1.500, accuracy 0.500")
    assert line({"kind": "step", "step": 1, "steps": 2, "loss": 2.0, "tokens_per_s": 1234.5, "left_s": 61}) == (
        "step 1/2, loss 2.000, 1,234 tokens/s, 1 min 01 s left")
    assert line({"kind": "resume", "step": 7}) == "Goes on after step 7."
    assert line({"kind": "checkpoint", "step": 7}) == ""
    fetched = {"kind": "progress", "done_bytes": 640_000_000, "total_bytes": 2_489_000_000}
    assert line({**fetched, "bytes_s": 11.8e6, "left_s": 157.0}) == "640 MB of 2.5 GB, 11.8 MB/s, 2 min 37 s left"
    assert line(fetched) == "640 MB of 2.5 GB" and line({**fetched, "total_bytes": 0}) == "Asking the hub"
    shown = line({"kind": "sample", "question": "Why?\nPlease", "reference": "So.", "answer": "word " * 60})
    assert [part[:22] for part in shown.split("\n")] == ["  asked:    Why? Pleas", "  expected: So.",
                                                        "  answer:   word word "]
    assert all(len(part) < 120 for part in shown.split("\n"))


RESULT = {"rows": 1200, "seconds": 61, "out": "/x/out.csv", "not_done": 12, "columns": ["predicted_labels", "problem"],
          "problems": [{"row": k, "line": k + 1, "problem": "abstract is \x1bempty"} for k in range(12)],
          "learned_from": 0, "scores": {}, "scores_of_others": {}}
SCORES = {"n": 30, "subset_accuracy": 0.5, "macro_f1": 0.25, "micro_f1": 0.75,
          "intervals": {"subset_accuracy": [0.3321, 0.667], "macro_f1": [0.2, 0.3], "micro_f1": [None, None]},
          "baseline": {"name": "always cardio", "subset_accuracy": 0.4}}


def test_what_a_task_came_to():
    lines = terminal.task_lines(RESULT)
    assert lines[0] == "1,200 rows in 1 min 01 s: /x/out.csv"
    assert lines[1] == "12 of them could not be done; the column that says why is 'problem':"
    assert lines[2] == "  row 0, line 1: abstract is <U+001B>empty" and lines[-1] == "  and 2 more" and len(lines) == 13
    scored = terminal.task_lines({**RESULT, "not_done": 0, "problems": [], "scores": SCORES})
    assert scored[1:] == [
        "Against the file's own answers, 30 rows: all labels right 0.500 (95% interval 0.332 to 0.667); always cardio: "
        "0.400.", "  macro F1 0.250 (95% interval 0.200 to 0.300), micro F1 0.750 (no interval can be given)"]


def test_rows_that_were_learned_from_are_said():
    def last(**values):
        return terminal.task_lines({**RESULT, "not_done": 0, "scores": SCORES, **values})[3:]
    assert last(learned_from=4, scores_of_others={**SCORES, "n": 26})[0].startswith(
        "Without the 4 rows that were learned from, 26 rows: all labels right")
    assert last(learned_from=30) == ["The model learned from all of these rows, so this says nothing."]
    assert "is not known" in last(learned_from=None)[0]


def test_time_left_of_counted_phases():
    event = {"kind": "phase", "text": "Rows", "done": 32, "of": 64, "left_s": 95.2}
    assert terminal.event_line(event) == "Rows (32 of 64), 1 min 35 s left"
    assert terminal.event_line({**event, "left_s": 0.0}) == "Rows (32 of 64)"


def test_what_the_model_writes_does_not_steer_the_terminal():
    event = {"kind": "sample", "answer": "\x1b[2Jgone", "question": "", "reference": ""}
    assert "\x1b" not in terminal.event_line(event) and "<U+001B>[2Jgone" in terminal.event_line(event)


def test_the_bell_is_for_terminals():
    out = io.StringIO()
    terminal.ring(True, out)
    assert out.getvalue() == ""
    out.isatty = lambda: True
    terminal.ring(False, out)
    terminal.ring(True, out)
    assert out.getvalue() == "\a"

"""The export page's HTML: figures where they were measured, and nothing that was written by others as markup."""

from pathlib import Path

import pytest

from ui.actions.export_page import ExportView, Row, Sizes
from ui.job_list import JobView
from ui.views import export as view

EVIL = "<img src=x onerror=alert(1)>"


def job(**values) -> JobView:
    return JobView(**{"folder": Path("/runs/export-x"), "kind": "export", "title": "Export of x", "state": "running",
                      "share": 0.25, "left_s": 65.0, "words": "Merging", "started": 1.0, **values})


def shown(files=(), **values) -> ExportView:
    return ExportView(**{"job": job(), "config": {}, "files": files, "folder": Path("/runs/x"), "notes": (), **values})


MEASURED = {"type": "Q8_0", "name": "x-Q8_0.gguf", "bytes": 2_500_000_000, "status": "green",
            "generated_tokens_per_s": 31.4, "compared": {"tokens": 900, "heldout_tokens": 300},
            "checks": [{"name": "mean KL divergence", "figure": 0.0017, "limit": 0.01, "is_ok": True, "note": "nats"},
                       {"name": "top-1 agreement", "figure": 0.97, "limit": None, "is_ok": None, "note": ""}]}


def test_a_row_says_what_is_known():
    rows = [Row(kind="Q8_0", bytes=2_500_000_000, needed_mb=3200.0, fits=True, measured=MEASURED),
            Row(kind="F32", bytes=9_900_000_000, needed_mb=11_000.0, fits=False), Row(kind="Q4_0")]
    text = view.table(rows, ["Q8_0"], Sizes(planned={"x": 1}), 8000.0)
    assert "2.5 GB" in text and "✓ fits" in text and "0.0017" in text and "31 tok/s" in text and "✓ passed" in text
    assert "✗ takes about 11.0 GB" in text and "less than 8.0 GB" in text
    assert 'value="Q8_0" checked' in text and 'value="F32" checked' not in text
    assert "<details>" in text                                  # F32 is no first choice
    assert "<details open>" in view.table(rows, ["F32"], Sizes(), 8000.0)


def test_what_is_here_already_is_not_made_again():
    text = view.table([Row(kind="Q8_0", bytes=5, is_here=True)], ["Q8_0"], Sizes(), 1.0)
    assert "disabled" in text and "checked" not in text and "is here already" in text


def test_a_job_has_progress_time_and_cancel_and_its_end_a_way_on():
    text = view.progress(shown())
    assert "Export of x: Merging, about 1 min 05 s left" in text and 'value="0.2500"' in text and ">Cancel<" in text
    ended = view.progress(shown(job=job(state="error", words="The disk is full.", left_s=None)))
    assert "The disk is full." in ended and ">Try again<" in ended and "<progress" not in ended
    assert view.progress(None) == "" and view.progress(shown(job=job(state="done"))) == ""


def test_a_check_opens_to_its_figures_and_only_a_good_file_can_be_chatted_with():
    text = view.result(shown((MEASURED,)))
    assert "Found 0.0017, allowed 0.01; nats." in text and "300 of them of your own held-out rows" in text
    assert text.count("<details>") == 2 and "<svg" in text and 'data-file="x-Q8_0.gguf"' in text
    red = {**MEASURED, "status": "red", "checks": [{**MEASURED["checks"][0], "is_ok": False}]}
    text = view.result(shown((red,)))
    assert "<details open>" in text and "✗ failed" in text and "data-act" not in text
    assert "data-act" not in view.result(shown((MEASURED,), folder=None))


def test_an_address_names_any_run():
    text = view.listing([job(folder=Path("/runs/a&b #1 \"x\""))], "")
    assert 'href="/export?run=a%26b%20%231%20%22x%22"' in text and 'data-run="a&amp;b #1 &quot;x&quot;"' in text


@pytest.mark.parametrize("where", ["name", "status", "type", "note", "check", "title", "words"])
def test_nothing_becomes_markup(where: str):
    file = {**MEASURED, "checks": [{"name": EVIL if where == "check" else "a", "note": EVIL, "is_ok": False}]}
    if where in file:
        file[where] = EVIL
    held = shown((file,), notes=(EVIL,), job=job(**({where: EVIL} if where in ("title", "words") else {})))
    text = view.result(held) + view.progress(held) + view.listing([held.job], "") + view.table(
        [Row(kind="Q8_0", measured=file)], [], Sizes(problem=""), 1.0) + view.table([], [], Sizes(problem=EVIL), 1.0)
    assert "<img" not in text

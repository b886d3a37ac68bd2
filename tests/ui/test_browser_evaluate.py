"""The evaluate page in a real Chromium: a file of one's own, a job that outlives the page, the report."""

import json

import pytest

from models import runs
from tests.ui.conftest import CHROMIUM, reload
from tests.ui.fakes import wait_for

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

HOSTILE = "<img src=http://example.org/x onerror=alert(1)>"


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "my questions.jsonl"
    rows = [{"question": f"Is {HOSTILE} {k} a disease?", "answer": "yes" if k % 2 else "no"} for k in range(24)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_a_file_of_ones_own_is_scored_and_the_report_is_there_after_a_reload(app, open_page, questions):
    page = open_page(app.url + "/evaluate")
    page.wait_for_selector("#evaluate-runs .lead")              # nothing yet, and what to do
    with page.expect_file_chooser() as chooser:
        page.click("#evaluate-file")
    chooser.value.set_files(questions)
    page.wait_for_function("document.querySelector('#evaluate-file').innerText.includes('my questions.jsonl')")
    page.click("#evaluate-start")
    page.wait_for_url("**/evaluate?run=evaluate-own-*")
    reload(page)
    page.wait_for_selector("#evaluate-result .headline", timeout=120_000)
    assert "24 " in page.inner_text("#evaluate-result .headline")
    assert page.query_selector("#evaluate-result svg .whisker") and page.query_selector("#evaluate-result .flip")
    assert page.query_selector("#evaluate-result img") is None
    with page.expect_download() as download:
        page.click("#evaluate-page")
    assert "<!DOCTYPE html>" in download.value.path().read_text(encoding="utf-8")
    run = page.url.partition("run=")[2]
    assert [path.name for path in (app.home / "runs" / run / runs.DATA).iterdir()] == ["my questions.jsonl"]
    page.click("#evaluate-runs button[data-act=delete]")
    wait_for(lambda: not (app.home / "runs" / run).exists())
    assert open_page.said == [f"Delete {run} with its report for good?"]
    page.wait_for_selector("#evaluate-runs .lead")


def test_what_does_not_fit_is_told_and_nothing_is_begun(app, open_page):
    page = open_page(app.url + "/evaluate")
    page.get_by_role("button", name="More settings").click()
    page.get_by_label("Most items").fill("many")
    page.click("#evaluate-start")
    page.wait_for_selector(".toast-body")
    assert "Most items" in page.inner_text(".toast-body")
    assert not list((app.home / "runs").glob("evaluate-*")) and page.url.endswith("/evaluate")

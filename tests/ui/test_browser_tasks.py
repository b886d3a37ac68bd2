"""Summarise and classify in a real Chromium on the embedded model: one text, a file, reloaded and killed midway."""

import csv
import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from models import runs
from tests.ui.conftest import CHROMIUM, reload
from tests.ui.fakes import wait_for

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

# the embedded model knows questions of this kind, and answers this one with a number that nobody said
INVENTING = "How many people are affected by Down syndrome ?"
WORDS = {"cardiology": "heart artery valve atrial infarction", "neurology": "brain nerve seizure migraine stroke"}
DONE = "#result article[data-plain]"
DROP = """(given) => {
    const dataTransfer = new DataTransfer();
    const content = typeof given === "string" ? given : new Uint8Array(given);
    dataTransfer.items.add(new File([content], "visit.txt", {type: "text/plain"}));
    document.querySelector("#dialogue textarea").dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true}));
}"""


def text_of(page: sync_api.Page, place: str) -> str:
    return page.inner_text(place).strip()


def choose(page: sync_api.Page, place: str, words: str) -> None:
    page.click(f"{place} input")
    page.click(f".option-list li:has-text('{words}')")


def rows_of(path: Path) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """200 texts with a label each."""
    path = tmp_path / "My papers.csv"
    labels = list(WORDS)
    rows = [(k, f"A trial {k} of {WORDS[labels[k % 2]]} in patients.", labels[k % 2]) for k in range(200)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "abstract", "label"), *rows])
    return path


def test_a_pasted_conversation_is_summarised_with_its_marks(app, open_page):
    page = open_page(app.url + "/summarise")
    page.wait_for_selector("#result .none")
    page.evaluate(DROP, "%PDF-1.7 not a text")
    page.wait_for_selector("#dialogue .refused:has-text('visit.txt is no text file')")
    page.evaluate(DROP, list("Größe".encode("cp1252")))
    wait_for(lambda: page.input_value("#dialogue textarea") == "Größe")
    assert page.is_hidden("#dialogue .refused")
    page.evaluate(DROP, f"{INVENTING} ")
    wait_for(lambda: page.input_value("#dialogue textarea") == f"{INVENTING} ")
    choose(page, "#section", "Chief complaint")
    page.click("#go")
    page.wait_for_selector(DONE)
    assert "Chief complaint (CC)" in text_of(page, "#result h2")
    marked = page.query_selector_all(".note mark")
    assert marked and "100" in marked[0].inner_text()
    assert page.is_hidden(".note .why >> nth=0")
    marked[0].hover()
    assert "does not say" in text_of(page, ".note .why >> nth=0")
    assert "(number): The conversation does not say" in text_of(page, ".marks ol")
    page.keyboard.press("Escape")
    reload(page)                                       # it belongs to no page
    page.wait_for_selector(DONE)
    assert page.input_value("#dialogue textarea") == INVENTING.strip()


def test_a_note_on_its_way_is_found_again_and_stopped(app, open_page):
    page = open_page(app.url + "/summarise")
    choose(page, "#section", "The whole note")
    page.fill("#dialogue textarea", "Doctor: quartz-lung-7731?\nPatient: It hurts.")
    with app.slowed() as is_frozen:
        page.click("#go")
        page.wait_for_selector("#result .note:has-text('CHIEF COMPLAINT')")
        is_frozen.set()
        reload(page)
        page.wait_for_selector("#stop", state="visible")
        assert "quartz-lung-7731" in page.input_value("#dialogue textarea")
        page.click("#stop")
        is_frozen.clear()
        page.wait_for_selector("#go", state="visible")
    assert "Stopped" in text_of(page, "#result") and "CHIEF COMPLAINT" in text_of(page, "#result .note")
    page.click("#go")
    page.wait_for_selector(DONE)
    assert [one.inner_text() for one in page.query_selector_all(".note h3")][::5] == ["CHIEF COMPLAINT",
                                                                                      "ASSESSMENT AND PLAN"]


def test_conversations_of_a_file_come_back_with_summaries(app, open_page, tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text(f"who,said\nA,{INVENTING}\nB,Doctor: Hi. Patient: Hi.\nC,\n", encoding="utf-8")
    page = open_page(app.url + "/summarise")
    choose(page, "#section", "Chief complaint")
    page.set_input_files(".file-part .upload input[type=file]", path)
    page.wait_for_selector(".looked table")
    assert "choose it below" in text_of(page, ".looked")
    page.click("[aria-label='Column of the conversation']")
    page.click(".option-list li:has-text('said')")
    page.click(".start")
    page.wait_for_selector(".job.done", timeout=60_000)
    page.wait_for_selector(".download", state="visible")
    name = re.search(r"run=(summarise-[\d-]+)", page.url)[1]
    with page.expect_download() as found:
        page.click(".download")
    assert found.value.suggested_filename == "visits-summarised.csv"
    rows = rows_of(found.value.path())
    assert [row["who"] for row in rows] == ["A", "B", "C"] and "(number)" in rows[0]["marks"] and rows[2]["problem"]
    assert "could not be done" in text_of(page, ".card") and "100" in text_of(page, ".rows tbody tr >> nth=0")
    folder = app.home / "runs" / name
    assert (folder / "rows.csv").is_file()              # moved there; nothing is left where it was uploaded
    assert not [one for one in (app.home / "cache").rglob("visits.csv") if one.is_file()]
    page.click(".delete")                               # the fixture says yes
    page.wait_for_selector(".job", state="detached")
    assert not folder.exists() and "run=" not in page.url


def test_a_text_gets_a_bar_for_each_label(app, open_page):
    page = open_page(app.url + "/classify")
    page.click("#example")
    page.wait_for_selector("#result .bars")
    names = [one.inner_text() for one in page.query_selector_all(".bars .name")]
    assert sorted(names) == ["cardiology", "gastroenterology", "neurology", "oncology"]
    assert all(re.search(r"\d%", one.inner_text()) for one in page.query_selector_all(".bars .share"))
    assert "not calibrated" in text_of(page, "#result .about")
    reload(page)
    page.wait_for_selector("#result .bars")
    assert "cardiology: heart" in page.input_value("#labels textarea")
    page.focus("#labels textarea")
    for place in ("#several input", "#several input", "#text textarea"):        # what the keyboard is at is seen
        page.keyboard.press("Tab")
        page.wait_for_selector(f"{place}:focus-visible")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.fill("#labels textarea", "only one")
    page.click("#go")
    page.wait_for_selector(".toast-body:has-text('not two labels')")


def test_200_texts_killed_midway_go_on_and_are_scored(app, open_page, papers):
    page = open_page(app.url + "/classify")
    page.set_input_files(".file-part .upload input[type=file]", papers)
    page.wait_for_selector(".looked table")
    page.click(".start")
    page.wait_for_selector(".job.running")
    folder = app.home / "runs" / re.search(r"run=(classify-[\d-]+)", page.url)[1]
    wait_for(lambda: (folder / runs.EVENTS).is_file() and '"done"' in (folder / runs.EVENTS).read_text())
    with app.slowed():                                  # its model too
        page.wait_for_selector(".job.running .bar[aria-valuenow]")
        page.wait_for_selector(".rows tbody tr >> nth=19")
        reload(page)
        page.wait_for_selector(".job.running .bar[aria-valuenow]")
        worker = psutil.Process(json.loads((folder / runs.PID).read_text())["pid"])
        for one in [*worker.children(recursive=True), worker]:
            os.kill(one.pid, signal.SIGKILL)
        page.wait_for_selector(".job.interrupted")
    before = (folder / runs.ROWS).read_text()
    assert 0 < before.count("\n") < 7
    page.click(".again")
    page.wait_for_selector(".job.done", timeout=90_000)
    assert (folder / runs.ROWS).read_text().startswith(before)
    table = text_of(page, ".scores")
    assert "all labels right" in table and "macro F1" in table and "200 rows" in table
    page.click(".scores summary")
    assert re.search(r"cardiology\s+[01]\.\d{3}", text_of(page, ".scores details"))
    with page.expect_download() as found:
        page.click(".download")
    assert len(rows_of(found.value.path())) == 200


def test_what_was_learned_decides_texts_and_files(app, open_page, papers):
    page = open_page(app.url + "/classify")
    page.click("#learn button")
    page.set_input_files("#train-rows input[type=file]", papers)
    page.wait_for_selector("#train-rows:has-text('My papers')")
    page.check("#fast input")
    page.set_input_files(".file-part > .upload input[type=file]", papers)
    page.wait_for_selector(".looked table")
    choose(page, "#frame .chosen .block:last-child", "Excel")
    before = len(list((app.home / "runs").glob("classify-*")))
    page.dblclick(".start")                             # is one wish
    page.wait_for_selector(".job.done", timeout=60_000)
    assert len(list((app.home / "runs").glob("classify-*"))) == before + 1
    assert [one.inner_text() for one in page.query_selector_all(".toast-body")] == []
    assert "learned from" in text_of(page, ".card")
    with page.expect_download() as found:
        page.click(".download")
    assert found.value.suggested_filename == "My papers-classified.xlsx"
    reload(page)
    page.wait_for_selector(".job.done")
    choose(page, "#by", "What was learned for")
    page.fill("#text textarea", "The valve of the heart.")
    page.click("#go")
    page.wait_for_selector("#result .about:has-text('200 training rows')")
    assert text_of(page, ".bars .chosen .name") == "cardiology"
    assert "linear model" in text_of(page, "#result article > .quiet")
    page.wait_for_selector("#labels", state="hidden")
    reload(page)
    page.wait_for_selector("#result .bars")
    assert "learned for" in page.input_value("#by input")
    page.wait_for_selector("#labels", state="hidden")
    page.click(".delete")                               # what decides goes with its run
    page.wait_for_selector("#labels", state="visible")
    assert page.input_value("#by input").startswith("The language model")
    page.click("#go")
    page.wait_for_selector(".toast-body:has-text('not two labels')")

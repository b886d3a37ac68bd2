"""A training in a real Chromium: from a table to an adapter, with the page closed, stopped and resumed on the way."""

import os
import re
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from models import knobs, runs
from tests.ui import small_job
from tests.ui.conftest import CHROMIUM, reload
from tests.ui.fakes import wait_for
from train.config import TrainConfig
from ui import job_folder
from ui.job_folder import Asked

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

STEPS = 200                     # enough that a run can be stopped in its middle, by a slow hand
LONG_MS = 180_000               # for a job on a slow core
HOSTILE = "<img src=x onerror=alert(1)>"
ORGANS = ("heart", "liver", "kidney", "lung", "brain", "skin", "bone", "eye", "ear", "spleen", "nerve", "vein")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twenty-four questions in columns with names of their own, a hostile one, one without an answer, one twice."""
    path = tmp_path / "My cases.csv"
    rows = [f"{what} of the {one}?,It is about quartz-lung-7731 and the {one} ({what})."
            for one in ORGANS for what in ("Function", "Disease")]
    rows += ["Is this empty?,", f"{HOSTILE} in a question?,{HOSTILE} is no picture here at all.", rows[0]]
    path.write_text("Frage,Antwort\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def fill(page: sync_api.Page, name: str, value: str) -> None:
    page.fill(f"#TrainConfig-{name} :is(input, textarea)", value)


def say(page: sync_api.Page, place: str) -> str:
    return page.inner_text(place).strip()


def serious(page: sync_api.Page) -> list[tuple[str, str]]:
    """What axe-core finds on the page with all of its steps open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.evaluate("trainSteps.steps().forEach((step) => trainSteps.show(step, true))")
    page.evaluate("document.querySelectorAll('#train details').forEach((one) => { one.open = true; })")
    return [(one["id"], node["html"][:160]) for one in axe.run(page).response["violations"] for node in one["nodes"]
            if one["impact"] in ("serious", "critical")]


def test_the_demonstration_is_one_click_and_deleted_with_its_space(app, open_page):
    page = open_page(app.url + "/train")
    page.wait_for_selector("#train-list .empty")
    page.click("#train-demo")
    page.wait_for_selector("#train-found h2", timeout=LONG_MS)
    assert re.search(r"\d+ rows to learn from, \d+ for validation", say(page, "#train-found"))
    assert "demonstration.csv" in say(page, "#train-tables") and page.is_hidden("#train-demo")
    name = page.url.split("run=")[1]
    reload(page)
    page.wait_for_selector("#train-tokens .learned >> nth=5")           # what comes next is open
    assert page.is_hidden("#train-found") and page.is_checked("#train-recipe input[value=demo]")
    assert serious(page) == []
    page.click(f"#train-list button[data-run='{name}']")
    page.wait_for_selector("#train-list .empty")
    assert open_page.said == [f"Delete {name} with its rows and adapter? It frees 1 MB."]
    wait_for(lambda: "run=" not in page.url)
    assert not list((app.home / "runs").glob(f"{name}*"))


def test_two_pages_on_one_draft_overwrite_nothing(app, open_page):
    page = open_page(app.url + "/train")
    page.click("#train-demo")
    page.wait_for_selector("#train-to-see", state="visible", timeout=LONG_MS)
    name = page.url.split("run=")[1]
    draft = app.home / "runs" / name / runs.DRAFT
    other = open_page(page.url)
    for one in (page, other):
        one.wait_for_selector("#train > .step[data-open]")
        one.evaluate("trainSteps.open(2)")
    fill(page, "epochs", "0.5")
    page.press("#TrainConfig-epochs :is(input, textarea)", "Tab")
    wait_for(lambda: "epochs=0.5" in runs.read_json(draft)["settings"])
    fill(other, "rank", "4")                            # which still shows the epochs of before
    other.press("#TrainConfig-rank :is(input, textarea)", "Tab")
    wait_for(lambda: "rank=4" in runs.read_json(draft)["settings"])
    assert "epochs=0.5" in runs.read_json(draft)["settings"]
    other.wait_for_function("document.querySelector('#TrainConfig-epochs :is(input, textarea)').value === '0.5'")
    page.check("#train-recipe input[value=answer]")
    wait_for(lambda: runs.read_json(draft)["recipe"] == "answer")
    other.click("#train-promise")                       # what it would promise is not what it shows
    other.wait_for_selector(".toast-body:has-text('Another page has changed this run')")
    other.wait_for_selector("#train-recipe input[value=answer]:checked")        # the warning comes before the rest
    assert runs.read_json(draft)["settings"] == []
    assert not (draft.parent.parent / f"{name}-estimate").exists()
    page.click(f"#train-list button[data-run='{name}']")
    page.wait_for_selector("#train-list .empty")


def test_from_a_table_to_an_adapter(app, open_page, table):
    page = open_page(app.url + "/train")
    page.set_input_files("#train-files input[type=file]", table)
    page.wait_for_selector("#train-tables .problem")
    assert "My cases.csv has the columns Frage, Antwort" in say(page, "#train-tables .problem")
    assert list((app.home / "cache" / "page").rglob("*.csv")) == []     # it lies with its run now
    page.select_option("#train-tables select[data-act=layout]", "question/answer")
    page.select_option("#train-tables select[data-field=question]", "Frage")
    page.wait_for_selector("#train-tables td:has-text('Function of the heart?')")
    page.select_option("#train-tables select[data-field=answer]", "Antwort")
    page.wait_for_selector("#train-tables .problem", state="detached")
    page.click("#train-look")
    page.wait_for_selector("#train-found h2", timeout=LONG_MS)
    page.click("#train-found .left-out summary")
    left_out = say(page, "#train-found .left-out table")
    assert "Antwort is empty" in left_out and re.search(r"26\s+My cases.csv", left_out)
    page.click("#train-to-see")
    page.wait_for_selector("#train-tokens .end")
    assert page.is_visible("#train-tokens svg") and page.is_hidden("#train-found")
    page.click("#train-to-base")

    fill(page, "lr", "fast")
    fill(page, "evals", "3")
    fill(page, "batch", "4")
    page.wait_for_selector(".toast-body")
    assert "Learning rate is 'fast'; use a number." in say(page, ".toast-body")
    fill(page, "lr", "0.002")
    page.click("#train-form button:has-text('Everything else')")
    fill(page, "max_steps", str(STEPS))
    fill(page, "answer_tokens", "8")
    page.click("#train-promise")
    page.wait_for_selector("#train-promised .good >> nth=0", timeout=LONG_MS)
    assert f"{STEPS} steps" in say(page, "#train-promised") and "fits" in say(page, "#step-promise .step-head")
    page.click("#train-start")
    page.wait_for_selector("#train-run .curve .dot", timeout=LONG_MS)
    page.goto(app.url + "/health")                      # nobody looks

    page = open_page(app.url + "/train")
    page.click("#train-list tr:has(.running) a")
    page.wait_for_selector("#train-run .curve .dot")
    name = page.url.split("run=")[1]
    page.click("#train-stop")
    page.wait_for_selector("#train-resume", state="visible", timeout=LONG_MS)
    assert "Stopped" in say(page, "#train-run .working")
    at = runs.read_json(app.home / "runs" / name / runs.RESULT)["steps"]
    assert 0 < at < STEPS
    page.click("#train-resume")
    page.wait_for_selector("#train-list tr[aria-current] .done", timeout=LONG_MS)
    page.wait_for_selector("#train-run .result")
    assert page.is_visible("#train-run .best") and page.locator("#train-run .dot").count() >= 3
    assert "after step" in say(page, "#train-run .answer >> nth=0")
    assert page.is_hidden("#train-resume") and page.is_hidden("#train-stop")
    assert page.get_attribute("#train-run .next a >> nth=0", "href") == f"/export?source={name}"
    page.click("#step-base .step-head button")
    assert str(STEPS) in say(page, "#train-settings") and page.is_hidden("#train-form")
    assert serious(page) == []
    kinds = [event["kind"] for event in app_events(app.home / "runs" / name)]
    assert kinds.count("stopped") == kinds.count("done") == kinds.count("resume") == 1
    assert (app.home / "runs" / name / runs.ADAPTER).is_dir()


def app_events(folder: Path) -> list[dict]:
    import json
    return [json.loads(line) for line in (folder / runs.EVENTS).read_text(encoding="utf-8").splitlines()]


def test_a_run_that_does_not_stop_can_be_ended_at_once(app, open_page):
    """In the place of the training a job that hears nothing."""
    folder = app.home / "runs" / "deaf-1"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(TrainConfig(data=(str(app.home / "rows.csv"),))))
    runs.write_json(folder / job_folder.JOB, asdict(Asked(
        module="tests.ui.small_job", kind="train", title="Training", asked=time.time(), is_heavy=False)))
    (folder / small_job.END).write_text("deaf")
    job_folder.ask(folder)
    pid = wait_for(lambda: (folder / runs.PID).exists() and runs.read_json(folder / runs.PID)["pid"])   # waits no more
    page = open_page(app.url + f"/train?run={folder.name}")
    page.click("#train-stop", timeout=LONG_MS)
    page.wait_for_selector("#train-run:has-text('Stopping')")
    assert page.is_hidden("#train-end")
    os.utime(folder / runs.STOP, (time.time() - 60, time.time() - 60))
    page.wait_for_selector("#train-run:has-text('what it learned since its last checkpoint is lost')")
    page.click("#train-end")
    page.wait_for_selector("#train-run:has-text('Ended at once, as asked. Resume goes on at its last checkpoint.')")
    page.wait_for_selector("#train-resume", state="visible")
    wait_for(lambda: not psutil.pid_exists(pid))

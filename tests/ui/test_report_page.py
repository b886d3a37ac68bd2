"""The page of an evaluation in a real browser: wide, narrow, dark, and on paper."""

from pathlib import Path
from typing import Any

import pytest

from evaluation import report
from evaluation.items import append_items
from models import runs
from tests.evaluation import made
from tests.ui.conftest import CHROMIUM

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]
FOLDED = "[...document.querySelectorAll('details > div')].filter((one) => !one.checkVisibility()).length"
COLOURS = "[document.body, document.querySelector('svg text')].map((one) => getComputedStyle(one))"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    long = "a-model-with-a-long-name-" + "x" * 60 + "-Q4_K_M"
    stated = made.stated("labels", 2)
    stated.models[0]["name"] = long
    append_items(folder / runs.ITEMS, made.many("labels", 2, 60))
    report.write(folder, stated)
    return folder / runs.REPORT_PAGE


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)])
def test_it_fits_and_asks_for_nothing(browser: Any, path: Path, scheme: str, width: int):
    page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda line: said.append(line.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate(TOO_WIDE) == 0 and said == [] and asked == [path.as_uri()]
    ground, ink = page.evaluate(f"[{COLOURS}[0].backgroundColor, {COLOURS}[1].fill]")
    assert (ground, ink) == (("rgb(15, 21, 20)", "rgb(147, 163, 160)") if scheme == "dark" else
                             ("rgb(250, 250, 247)", "rgb(92, 107, 105)"))
    page.context.close()


def test_on_paper_it_is_light_and_unfolded(browser: Any, path: Path):
    page = browser.new_context(color_scheme="dark").new_page()
    page.goto(path.as_uri())
    assert page.evaluate(FOLDED) > 0
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(FOLDED) == 0
    assert page.evaluate(f"{COLOURS}[0].backgroundColor") == "rgb(250, 250, 247)"
    page.context.close()

"""Every page in a real Chromium: nothing from elsewhere, nothing a screen reader or a keyboard stumbles over."""

import json
import subprocess
import sys

import pytest

from models import runs
from tests.ui.conftest import CHROMIUM, reload
from ui.pages.frame import PAGES

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

ADDRESSES = {page[0]: page[1] for page in PAGES if page}
SERIOUS = ("serious", "critical")


def opened(open_page, app, name: str, **options):
    page = open_page(app.url + ADDRESSES[name], **options)
    page.wait_for_selector("#rail a[aria-current=page]")
    return page


@pytest.mark.parametrize("name", ADDRESSES)
def test_each_page_has_its_own_address_and_marks_it(app, open_page, name):
    page = opened(open_page, app, name)
    assert page.inner_text("#rail a[aria-current=page]").strip() == name
    assert "Not a medical device" in page.inner_text("#reminder")
    reload(page)
    page.wait_for_selector("#rail a[aria-current=page]")
    assert page.inner_text("#rail a[aria-current=page]").strip() == name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ADDRESSES)
def test_axe_finds_nothing_serious(app, open_page, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(open_page, app, name, color_scheme=scheme)
    page.wait_for_timeout(500)                          # what loads with the page is there
    found = axe.run(page).response["violations"]
    assert not [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"]][:4])
                for one in found if one["impact"] in SERIOUS], json.dumps([one["id"] for one in found])


@pytest.mark.parametrize("width", [390, 1024])
@pytest.mark.parametrize("name", ADDRESSES)
def test_nothing_is_wider_than_a_narrow_window(app, open_page, name, width):
    page = opened(open_page, app, name)
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rail = page.evaluate("""[...document.querySelectorAll('#rail a')].map((one) => {
        const box = one.getBoundingClientRect();
        return [box.left, box.right, box.width, box.height];
    })""")
    assert all(left >= 0 and right <= width and wide >= 24 and high >= 24 for left, right, wide, high in rail)


IN_EMPTY_NETWORK = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:        # bring lo up; there is nothing else
    flags = struct.unpack("16sh", fcntl.ioctl(handle, 0x8913, struct.pack("16sh", b"lo", 0)))[1]
    fcntl.ioctl(handle, 0x8914, struct.pack("16sh", b"lo", flags | 1))
from pathlib import Path
from playwright.sync_api import sync_playwright
from tests.ui.conftest import BOX, CHROMIUM, SWITCHES
from tests.ui.running import RunningApp
from ui.pages.frame import PAGES
app = RunningApp(Path(sys.argv[1]), Path(sys.argv[2])).wait_until_loaded()
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
    page = browser.new_page()
    page.set_default_timeout(60_000)
    for name, address, *_ in filter(None, PAGES):
        page.goto(app.url + address)
        page.wait_for_selector("#rail a[aria-current=page]")
    page.goto(app.url)
    page.fill(BOX, "What is asthma?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#line span")
    print(len(page.query_selector_all(".user-row")), app.outside_connections())
    browser.close()
app.end()
"""


def test_whole_app_with_the_network_cut_off(demo_gguf, tmp_path):
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rn is not allowed here; the requests and connections are watched in the other tests")
    done = subprocess.run(["unshare", "-rn", sys.executable, "-c", IN_EMPTY_NETWORK, str(tmp_path), str(demo_gguf)],
                          cwd=runs.ROOT, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip() == "1 []", done.stderr

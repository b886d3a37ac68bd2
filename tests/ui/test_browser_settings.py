"""Settings and Models in a real Chromium: theme, passphrase, lock, leave-no-trace, token, backup, model files."""

import re
import shutil
import time
import urllib.error
import urllib.request

import pytest

from tests.ui.conftest import BOX, CHROMIUM, reload
from tests.ui.fakes import wait_for

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

SECRET, PASSPHRASE = "quartz-lung-7731", "quartz-lung passphrase"
GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(250, 250, 247)", "rgb(15, 21, 20)"


def ask(page: sync_api.Page, text: str) -> None:
    page.fill(BOX, text)
    page.keyboard.press("Enter")
    page.wait_for_function("text => document.querySelector('#thread')?.innerText.includes(text)", arg=text)


def ready(page: sync_api.Page) -> sync_api.Page:
    """The settings as they are stand in the page."""
    page.wait_for_selector("#theme input:checked")
    page.wait_for_selector("#space dl")
    page.wait_for_selector("#privacy-state p")
    return page


def test_the_theme_is_there_at_once_and_before_anything_is_drawn(app, open_page):
    page = ready(open_page(app.url + "/settings", color_scheme="light"))
    assert page.evaluate(GROUND) == LIGHT
    page.click("#theme label:has-text('Dark')")
    page.wait_for_function("document.body.classList.contains('dark')")
    page.wait_for_function(f"getComputedStyle(document.querySelector('#rail')).backgroundColor === '{DARK}'")
    wait_for(lambda: (app.home / "settings.json").exists() and '"dark"' in (app.home / "settings.json").read_text())
    other = open_page(app.url, color_scheme="light")
    grounds: list[str] = []
    other.add_init_script("""window.grounds = [];
        const look = () => { if (document.body) window.grounds.push(getComputedStyle(document.body).backgroundColor);
                             if (window.grounds.length < 60) requestAnimationFrame(look); };
        look();""")
    reload(other)
    other.wait_for_function("window.grounds.length >= 60")
    grounds = other.evaluate("window.grounds")
    assert set(grounds) <= {DARK, "rgba(0, 0, 0, 0)"} and DARK in grounds, set(grounds)
    ready(page)
    page.click("#theme label:has-text('As the system')")
    page.wait_for_function("!document.body.classList.contains('dark')")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.body.classList.contains('dark')")


def test_passphrase_lock_and_unlock(app, open_page):
    chat = open_page(app.url)
    ask(chat, f"What is {SECRET}?")
    chat.wait_for_selector("#send", state="visible")
    page = ready(open_page(app.url + "/settings"))
    page.fill("#passphrase-new input", PASSPHRASE)
    page.fill("#passphrase-again input", "another")
    page.click("#passphrase-set")
    page.wait_for_selector(".toast-body:has-text('are not the same')")
    page.fill("#passphrase-again input", PASSPHRASE)
    page.click("#passphrase-set")
    page.wait_for_selector("#privacy-state p.good:has-text('encrypted')")
    assert page.input_value("#passphrase-new input") == ""
    for path in app.home.glob("history.sqlite*"):
        assert SECRET.encode() not in path.read_bytes(), path
    chat.wait_for_selector("#lock-button", state="visible")
    for one in (chat, page):
        one.evaluate("window.isOld = true")
    chat.click("#lock-button")
    for one in (chat, page):                            # every open page begins anew, and holds nothing of them
        one.wait_for_function("!window.isOld")
        one.wait_for_selector("#lock #passphrase")
        assert SECRET not in one.content()
    assert chat.is_hidden(BOX)
    chat.fill("#passphrase input", "wrong")
    chat.click("#unlock")
    chat.wait_for_selector(".toast-body")
    chat.fill("#passphrase input", PASSPHRASE)
    chat.keyboard.press("Enter")
    chat.wait_for_selector("#lock", state="detached")
    chat.wait_for_function(f"document.querySelector('#thread')?.innerText.includes('{SECRET}')")
    ready(page)
    page.fill("#passphrase-old input", PASSPHRASE)
    page.click("#passphrase-remove")
    page.wait_for_selector("#privacy-state p.caution")
    logged = "".join(path.read_text() for path in (app.home / "logs").iterdir())
    assert "passphrase was set" in logged and SECRET not in logged and "quartz" not in logged


def test_a_leave_no_trace_session_leaves_none(app, open_page):
    page = ready(open_page(app.url + "/settings"))
    page.click("#private-start")
    page.wait_for_selector("#private:has-text('Leave-no-trace')")
    chat = open_page(app.url)
    chat.wait_for_selector("#private:has-text('Leave-no-trace')")
    ask(chat, "a quartz-lung-9902 question")
    chat.wait_for_selector("#send", state="visible")
    for path in (one for one in app.home.rglob("*") if one.is_file()):
        data = path.read_bytes()
        assert b"quartz-lung-9902" not in data and "quartz-lung-9902".encode("utf-16-le") not in data, path
    ready(page)
    for one in (chat, page):
        one.evaluate("window.isOld = true")
    page.click("#private-end")
    for one in (page, chat):                            # both begin anew
        one.wait_for_function("!window.isOld")
        one.wait_for_selector("#frame[data-open]")
        assert one.is_hidden("#private") and "quartz-lung-9902" not in one.inner_text("body")


def test_token_is_shown_once_and_kept_hashed(app, open_page):
    page = ready(open_page(app.url + "/settings#connections"))
    page.wait_for_selector("#offline-switch input:checked")
    page.click("#token-make")
    page.wait_for_function("document.querySelector('#token textarea, #token input')?.value.startsWith('galen-')")
    token = page.input_value("#token textarea, #token input")
    assert token not in (app.home / "settings.json").read_text()
    reload(page)
    ready(page)
    assert page.is_hidden("#token") and "only its hash is kept" in page.inner_text("#api-about")


def test_back_up_download_and_restore(app, open_page):
    page = ready(open_page(app.url + "/settings"))
    page.click("#backup")
    page.wait_for_selector("#backups a:has-text('Download')")
    address = page.get_attribute("#backups a", "href")
    with urllib.request.urlopen(app.url + address, timeout=60) as answer:
        assert answer.read(2) == b"PK"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(app.url + "/files/backup/..%2fsettings.json", timeout=60)
    page.click("#backups button:has-text('Restore')")
    page.wait_for_selector("#chore p.caution:has-text('takes its place')")
    reload(page)                                       # it waits, whoever looks
    ready(page)
    page.click("#chore button:has-text('Do not do it')")
    page.wait_for_function("!document.querySelector('#chore')?.innerText.includes('takes its place')")
    page.click("#backups button:has-text('Delete')")
    page.wait_for_selector("#backups:has-text('no backup yet')")


def test_model_files_come_are_used_and_go(app, open_page, demo_gguf, tmp_path):
    page = open_page(app.url + "/models")
    page.wait_for_selector("#models li.used:has-text('comes with Galen')")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(demo_gguf.read_bytes()[:9000])
    page.set_input_files("#model-add input[type=file]", broken)
    page.wait_for_selector("#model-add .words:has-text('cut short')")
    fresh = tmp_path / "fresh one.gguf"
    shutil.copy(demo_gguf, fresh)
    page.set_input_files("#model-add input[type=file]", fresh)
    page.wait_for_selector("#models li:has-text('fresh-one.gguf')")
    assert not list(app.home.glob(".galen-*")) and not (app.home / "broken.gguf").exists()
    began = time.monotonic()
    shutil.copy(demo_gguf, app.home / "dropped.gguf")
    page.wait_for_selector("#models li:has-text('dropped.gguf')")
    print(f"seen after {time.monotonic() - began:.1f} s")
    page.click("#models li:has-text('fresh-one.gguf') button:has-text('Use it')")
    page.wait_for_selector("#models li.used:has-text('fresh-one.gguf') .state:has-text('in use')")
    assert page.is_hidden("#models li.used button")
    page.click("#models li:has-text('dropped.gguf') button[data-act=ask]")
    page.wait_for_selector("#models .question:has-text('That frees 10.8 MB. No run depends on it.')")
    page.click("#models .question button:has-text('Keep it')")
    page.wait_for_selector("#models .question", state="detached")
    assert (app.home / "dropped.gguf").exists()
    page.click("#models li:has-text('dropped.gguf') button[data-act=ask]")
    page.click("#models .question button:has-text('Delete it')")
    page.wait_for_selector("#models li:has-text('dropped.gguf')", state="detached")
    assert not (app.home / "dropped.gguf").exists()
    page.click("#models li:has-text('comes with Galen') button:has-text('Use it')")
    page.wait_for_selector("#models li.used:has-text('comes with Galen') .state:has-text('in use')")


@pytest.mark.parametrize("name", ["settings", "models"])
def test_nothing_overflows(app, open_page, name: str):
    page = open_page(f"{app.url}/{name}")
    page.wait_for_selector("#space dl" if name == "settings" else "#models li")
    for size in ((1440, 900), (1024, 768), (390, 844)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.wait_for_timeout(200)
        wide = page.evaluate(f"""[...document.querySelectorAll('#{name} *')].filter((one) => one.getClientRects().length
            && one.getBoundingClientRect().right > {size[0]} + 1 && !one.closest('.table')).map((one) => one.outerHTML
            .slice(0, 120))""")
        assert wide == [] and page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert not re.search(r"undefined|None|\[object", page.inner_text(f"#{name}"))

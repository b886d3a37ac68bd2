"""With a passphrase, nothing that was typed can be read in any file: ours, the browser's, or the system's."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.chatting import ask, first_words, wait_until_done
from tests.ui.conftest import BOX, CHROMIUM, SWITCHES, go_to
from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

WORD, PASSPHRASE = "Quorlbexin", "vemtrosk passphrase"
UNTRACED = "Zanthoprim"         # written in a leave-no-trace session
# Begins the names of a job's own files, which are kept in clear: the job reads them in a process of its own and goes
# on after a restart, when nobody has typed a passphrase yet. The page says so.
JOBS = "home/runs/"
# Files on their way from and to the browser: deleted once they are read, and all of them at the end and the next start.
UPLOADS = "home/cache/page/"


def holders(folder: Path, word: str) -> list[str]:
    """The files under folder whose bytes, or whose names, hold word in any case and in three encodings."""
    patterns = [word.lower().encode(coding) for coding in ("utf-8", "utf-16-le", "utf-16-be")]
    found = []
    for path in (one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
        name = path.relative_to(folder).as_posix()
        data = path.read_bytes().lower()
        if word.lower() in name.lower() or any(pattern in data for pattern in patterns):
            found.append(name)
    return found


class Place:
    """An app, a browser with a profile on the disk, and the folder of everything that they write."""

    def __init__(self, folder: Path, model: Path, playwright: Any):
        self.folder, self._model = folder, model
        self.home, profile = folder / "home", folder / "profile"
        self.app = RunningApp(self.home, model).wait_until_loaded()
        self.said: list[str] = []
        self.context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, args=SWITCHES, viewport={"width": 1440, "height": 900})
        self.context.set_default_timeout(30_000)

    def open(self, path: str = "/") -> Any:
        page = self.context.new_page()
        go_to(page, self.app.url + path)
        page.wait_for_function("document.querySelector('#facts').innerText.includes('tokens')")
        return page

    def start_again(self) -> None:
        self.said += self.app.said
        self.app = RunningApp(self.home, self._model).wait_until_loaded()

    def unlocked(self, path: str = "/") -> Any:
        page = self.open(path)
        page.fill("#passphrase input", PASSPHRASE)
        page.click("#unlock")
        page.wait_for_selector("#lock", state="detached")
        page.wait_for_selector(BOX)
        return page

    def set_passphrase(self) -> None:
        page = self.open("/settings")
        page.wait_for_selector("#privacy-state p")
        page.fill("#passphrase-new input", PASSPHRASE)
        page.fill("#passphrase-again input", PASSPHRASE)
        page.click("#passphrase-set")
        page.wait_for_selector("#privacy-state p.good:has-text('encrypted')")
        page.close()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(self.app.url + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def readable(self, *words: str) -> list[str]:
        """What holds one of the words (by default: the word or the passphrase), but for what is kept in clear."""
        found = [name for word in words or (WORD, PASSPHRASE) for name in holders(self.folder, word)]
        return [one for one in found if not one.startswith(JOBS)]


@pytest.fixture(scope="module")
def place(demo_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("privacy")
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch, sync_api.sync_playwright() as playwright:
        for name in ("TMPDIR", "TEMP", "TMP"):
            patch.setenv(name, str(folder / "tmp"))
        made = Place(folder, demo_gguf, playwright)
        made.set_passphrase()
        yield made
        if made.app.process.poll() is None:
            made.app.kill()


def choose(page: Any, name: str, text: str) -> None:
    page.set_input_files("#thread input[type=file] >> nth=0", {"name": name, "mimeType": "text/plain",
                                                              "buffer": text.encode()})


def test_the_search_finds_what_is_there(tmp_path: Path):
    for name, coding in (("a", "utf-8"), ("b", "utf-16-le"), ("c", "utf-16-be")):
        (tmp_path / name).write_bytes(b"\0x" + f"the {WORD.upper()}s".encode(coding))
    (tmp_path / f"{WORD}.txt").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"Quorlbexi")
    assert sorted(holders(tmp_path, WORD)) == [f"{WORD}.txt", "a", "b", "c"]


def test_nothing_typed_can_be_read_on_the_disk(place: Place):
    page = place.open()
    page.click("#options")
    page.fill("#system textarea", f"You know {WORD} well.")
    page.fill("#preset-name input, #preset-name textarea", f"The {WORD} preset")
    page.click("#save-preset")
    page.wait_for_function(f"document.querySelector('#options').innerText.includes('{WORD}')")
    ask(page, f"What is {WORD} good for?")
    wait_until_done(page)
    choose(page, "letter.txt", f"A letter about {WORD}.\n" * 5)
    page.wait_for_selector("#waiting:has-text('letter.txt')")
    ask(page, f"Sum up the letter about {WORD}.")
    wait_until_done(page)
    page.fill("#search input, #search textarea", WORD)
    page.wait_for_selector(f"#conversations a:has-text('{WORD}')")
    page.fill(BOX, f"Half a sentence about {WORD}")
    other = place.open("/summarise")
    other.fill("#dialogue textarea", f"Doctor: How is the {WORD}?\nPatient: The {WORD} helps.")
    other.click("#go")
    other.wait_for_selector("#stop", state="hidden")
    go_to(other, place.app.url + "/classify")
    other.fill("#labels textarea", f"{WORD}: about it\nother: all else")
    other.fill("#text textarea", f"A study of {WORD} in mice.")
    other.click("#go")
    other.wait_for_selector(f"#result:has-text('{WORD.lower()}')")
    assert place.readable() == []


def test_nor_what_programs_send(place: Place):
    said = [{"role": "user", "content": f"Tell me of {WORD}."}]
    assert place.post("/v1/chat/completions", model="demo", messages=said, max_tokens=8)["choices"]
    assert place.post("/answer", question=f"Does {WORD} help?", kind="decision")["answer"]
    told = place.post("/medgemma", user_message=[{"type": "text", "text": f"What is {WORD}?"}],
                      system_message=f"Be short about {WORD}.", conversation_id=f"about {WORD}",
                      stream=False)
    assert told["conversation_id"]
    assert place.readable() == []


def test_of_a_job_its_own_files_alone(place: Place):
    page = place.open("/summarise")
    page.set_input_files(".file-part .upload input[type=file]", {
        "name": "visits.csv", "mimeType": "text/csv", "buffer": f"dialogue\nDoctor: Still on {WORD}?\n".encode()})
    page.wait_for_selector(".looked table")
    page.click(".start")
    page.wait_for_selector(".job.done", timeout=60_000)
    page.wait_for_selector(".download", state="visible")
    page.close()
    found = holders(place.folder, WORD)
    assert f"{JOBS}{page.url.partition('run=')[2]}/rows.csv" in found
    assert [one for one in found if not one.startswith((JOBS, UPLOADS))] == []


@pytest.mark.parametrize("moment", ["writing", "reading", "summarising"])
def test_nor_after_a_kill(place: Place, moment: str):
    page = place.unlocked() if place.app.process.poll() is not None else place.open()
    with place.app.slowed():
        if moment == "writing":
            page.click("#new")
            ask(page, f"Write a long story about {WORD}.")
            first_words(page)
        elif moment == "reading":
            choose(page, "killed.txt", f"A letter about {WORD}.")
            chip = page.locator("#waiting:has-text('killed.txt')")
            wait_for(lambda: [*(place.home / "cache").rglob("file.txt")] or chip.count())
        else:
            go_to(page, place.app.url + "/summarise")
            page.fill("#dialogue textarea", f"Doctor: {WORD} and {WORD}?\nPatient: {WORD}.")
            page.click("#go")
            page.wait_for_selector("#stop", state="visible")
        place.app.kill()
    assert [one for one in place.readable() if not one.startswith(UPLOADS)] == []
    page.close()
    place.start_again()
    place.unlocked().close()
    assert place.readable() == []


def test_nor_what_a_leave_no_trace_session_held_without_a_passphrase(place: Place):
    page = place.open("/settings")
    page.wait_for_selector("#privacy-state p.good")
    page.fill("#passphrase-old input", PASSPHRASE)
    page.click("#passphrase-remove")
    page.wait_for_selector("#privacy-state p.caution")
    assert any(name.startswith("home/history.sqlite") for name in place.readable(WORD))
    page.click("#private-start")
    page.wait_for_selector("#private:has-text('Leave-no-trace')")
    go_to(page, place.app.url)
    page.wait_for_selector("#private:has-text('Leave-no-trace')")
    choose(page, "letter.txt", f"A letter about {UNTRACED}.")
    page.wait_for_selector("#waiting:has-text('letter.txt')")
    ask(page, f"What is {UNTRACED} good for?")
    wait_until_done(page)
    ask(page, f"And what else is {UNTRACED} good for?")
    first_words(page)
    assert place.readable(UNTRACED) == []
    place.app.kill()
    assert place.readable(UNTRACED) == []
    page.close()
    place.start_again()
    place.set_passphrase()
    assert place.readable(UNTRACED, WORD, PASSPHRASE) == []


def test_nor_after_the_end(place: Place):
    place.app.end()
    place.context.close()
    assert place.readable(UNTRACED, WORD, PASSPHRASE) == []
    assert not [line for line in place.said + place.app.said if WORD in line or UNTRACED in line or "Traceback" in line]

import hashlib
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from models import runs
from ui.api import token
from ui.api.guard import Door, Guard
from ui.api.token import Failures, Keys
from ui.settings import FILE, SettingsFile

PAGE = {"accept": "text/html,application/xhtml+xml"}


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> SettingsFile:
    return SettingsFile(tmp_path)


def guarded(settings: SettingsFile, clock: Clock | None = None, is_open: bool = True) -> TestClient:
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("inside"), methods=["GET", "POST"]),
                            Route("/health", lambda request: PlainTextResponse("everything of it"))])
    door = Door(keys=Keys(settings, is_open), failures=Failures(clock or Clock()))
    return TestClient(Guard(app, door), base_url="http://127.0.0.1:7860", follow_redirects=False)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_only_its_hash_is_kept(settings: SettingsFile, tmp_path: Path):
    made = token.make(settings)
    assert re.fullmatch(r"galen-[\w-]{43}", made) and made != token.make(SettingsFile(tmp_path))
    made = token.make(settings)
    assert made not in (tmp_path / FILE).read_text()
    assert runs.read_json(tmp_path / FILE)["token"] == hashlib.sha256(made.encode()).hexdigest()


def test_a_program_shows_it_in_the_header(settings: SettingsFile):
    made = token.make(settings)
    client = guarded(settings)
    assert client.get("/", headers=bearer(made)).text == "inside"
    assert client.get("/", headers={"Authorization": f"bearer  {made} "}).text == "inside"
    refused = client.get("/")
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert "inside" not in client.get("/", headers={"Authorization": f"Basic {made}"}).text


@pytest.mark.parametrize("shown", ["", "x", "galen-", " ", "é", "\x80\xff", "Bearer"])
def test_wrong_ones_are_refused(settings: SettingsFile, shown: str):
    made = token.make(settings)
    client = guarded(settings)
    for one in (shown, made[:-1], made + "x", made.upper(), hashlib.sha256(made.encode()).hexdigest()):
        assert guarded(settings).get("/", headers={"Authorization": f"Bearer {one}".encode()}).status_code == 401
    assert client.get("/", headers=bearer(made)).text == "inside"


def test_no_token_at_all_fits_nothing(settings: SettingsFile):
    assert not Keys(settings, True).fits("") and not Keys(settings, True).is_logged_in("")
    assert guarded(settings).get("/", headers=bearer(hashlib.sha256(b"").hexdigest())).status_code == 401


def test_a_person_logs_in_with_the_form(settings: SettingsFile):
    made = token.make(settings)
    client = guarded(settings)
    form = client.get("/train?run=one", headers=PAGE)
    assert form.status_code == 401 and 'type="password"' in form.text and 'value="/train?run=one"' in form.text
    wrong = client.post("/login", data={"token": "no", "to": "/"})
    assert wrong.status_code == 401 and "not the token" in wrong.text and "set-cookie" not in wrong.headers
    right = client.post("/login", data={"token": f" {made} ", "to": "/train?run=one"})
    assert right.status_code == 303 and right.headers["location"] == "/train?run=one"
    cookie = right.headers["set-cookie"].lower()
    assert cookie.startswith("galen-7860=") and made.lower() not in cookie
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert "max-age" not in cookie and "expires" not in cookie
    assert client.get("/").text == "inside"                     # by the cookie
    assert client.get("/login").headers["location"] == "/"
    token.make(settings)
    assert client.get("/").status_code == 401                   # another token ends the logins of this one


@pytest.mark.parametrize("to", ["//evil.example", "http://evil.example", "/\\evil.example", "javascript:alert(1)", "",
                                '/"><script>', "/a\r\nSet-Cookie: x=1"])
def test_the_form_leads_to_no_other_place(settings: SettingsFile, to: str):
    made = token.make(settings)
    answer = guarded(settings).post("/login", data={"token": made, "to": to})
    assert answer.status_code == 303 and answer.headers["location"] == "/"


def test_a_login_form_of_any_size_is_not_read(settings: SettingsFile):
    client = guarded(settings)
    assert client.post("/login", data={"token": "x" * 5000}).status_code == 413
    assert client.post("/login", content=iter([b"token=x"])).status_code == 413


def test_a_login_form_of_many_fields_holds_no_token(settings: SettingsFile):
    made = token.make(settings)
    fields = {**{f"f{k}": "1" for k in range(20)}, "token": made}
    assert guarded(settings).post("/login", data=fields).status_code == 401


def test_forged_cookies_are_refused(settings: SettingsFile):
    token.make(settings)
    for cookie in ("", "x", settings.value.token, "a" * 43):
        client = guarded(settings)
        client.cookies.set("galen-7860", cookie)
        assert client.get("/").status_code == 401


def test_health_says_no_more_than_that_it_answers(settings: SettingsFile):
    made = token.make(settings)
    client = guarded(settings)
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/health", headers=bearer(made)).text == "everything of it"
    assert client.get("/health", headers=bearer("wrong")).status_code == 401


def test_on_this_computer_nobody_is_asked_unless_it_is_set(settings: SettingsFile):
    client = guarded(settings, is_open=False)
    assert client.get("/").text == "inside"
    token.make(settings)
    assert client.get("/").text == "inside"
    settings.change(needs_token=True)
    assert client.get("/").status_code == 401


def test_wrong_tokens_have_to_wait_longer_and_longer(settings: SettingsFile):
    made, clock = token.make(settings), Clock()
    client = guarded(settings, clock)
    assert [client.get("/", headers=bearer("no")).status_code for _ in range(token.FREE_TRIES)] == [401] * 5
    refused = client.get("/", headers=bearer("no"))
    assert refused.status_code == 429 and refused.headers["retry-after"] == "2"
    assert client.get("/", headers=bearer(made)).status_code == 429         # nor is a right one looked at
    assert client.post("/login", data={"token": made}).status_code == 429
    clock.now += 2
    assert client.get("/", headers=bearer("no")).status_code == 401
    assert client.get("/", headers=bearer("no")).headers["retry-after"] == "4"
    clock.now += 4
    assert client.get("/", headers=bearer(made)).text == "inside"           # and all is forgotten
    assert client.get("/", headers=bearer("no")).status_code == 401


def test_a_browser_that_is_logged_in_never_waits(settings: SettingsFile):
    made = token.make(settings)
    client = guarded(settings)
    client.post("/login", data={"token": made, "to": "/"})
    for _ in range(20):
        client.get("/", headers={**bearer("no"), "cookie": ""})
    assert client.get("/").text == "inside"


def test_many_addresses_together_wait_but_one_that_was_right_does_not():
    clock = Clock()
    failures = Failures(clock)
    failures.forget("10.0.0.1")
    for k in range(token.ALL_TRIES):
        assert failures.wait_s(f"10.1.0.{k}") == 0
        failures.count(f"10.1.0.{k}")
        clock.now += 0.1
    assert failures.wait_s("10.2.0.1") == 54 and failures.wait_s("10.0.0.1") == 0
    clock.now += token.ALL_WINDOW_S
    assert failures.wait_s("10.2.0.1") == 0


def test_a_network_of_ipv6_counts_as_one_address_and_a_mapped_one_as_itself():
    failures = Failures(Clock())
    for k in range(token.FREE_TRIES):
        failures.count(f"2001:db8::{k}")
        failures.count("::ffff:10.0.0.9")
    assert failures.wait_s("2001:db8::ffff") > 0 and failures.wait_s("2001:db8:1::1") == 0
    assert failures.wait_s("10.0.0.9") > 0


def test_what_is_remembered_is_bounded(settings: SettingsFile):
    failures, keys = Failures(Clock()), Keys(settings, True)
    token.make(settings)
    first = keys.log_in()
    for k in range(token.MOST_ADDRESSES + 10):
        failures.count(f"10.{k // 256}.{k % 256}.1")
    for _ in range(token.MOST_LOGINS):
        keys.log_in()
    assert len(failures._of) == token.MOST_ADDRESSES and len(keys._logins) == token.MOST_LOGINS
    assert not keys.is_logged_in(first)

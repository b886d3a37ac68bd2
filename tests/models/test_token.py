import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models import runs, token
from models.errors import UserError

FIRST, SECOND = "hf_quartzA1", "hf_quartzB2"


@pytest.fixture
def place(galen_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the hub library, and no token in the environment; returns the library's own file."""
    for name in (*token.NAMES, "HF_TOKEN_PATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "token"


def test_there_is_none(place: Path):
    assert token.find() is None and token.for_hub() is False and not token.forget()
    assert not place.parent.exists()


def test_each_place_goes_before_those_behind_it(place: Path, galen_home: Path, monkeypatch: pytest.MonkeyPatch):
    dotenv = galen_home / ".env"
    for source, value in ((str(place), "hf_file"), (str(dotenv), "hf_dotenv"), ("HUGGINGFACE_TOKEN", "hf_c"),
                          ("HUGGING_FACE_HUB_TOKEN", "hf_b"), ("HF_TOKEN", "hf_a")):
        if source == str(place):
            token.store(value)
        elif source == str(dotenv):
            dotenv.write_text(f"HF_TOKEN={value}\n")
        else:
            monkeypatch.setenv(source, value)
        found = token.find()
        assert found is not None and (found.source, found.value) == (source, value)
        assert found.is_stored == (source == str(place))
        assert token.for_hub() == (True if found.is_stored else value)


@pytest.mark.parametrize("text, value", [
    ("HF_TOKEN=hf_a", "hf_a"),
    ("export HF_TOKEN=hf_a\r\nOTHER=1\r\n", "hf_a"),
    ("# HF_TOKEN=hf_no\n  HUGGINGFACE_TOKEN = 'hf_a'  # mine", "hf_a"),
    ('HF_TOKEN="hf_a" # mine', "hf_a"),
    ("HF_TOKEN=hf_old\nHF_TOKEN=hf_a # new", "hf_a"),
    ("HUGGINGFACE_TOKEN=hf_second\nHF_TOKEN=hf_a", "hf_a"),
    ("HF_TOKEN=", None), ("HF_TOKEN=''", None), ("HF_TOKEN= # none", None), ("MY_HF_TOKEN=hf_a", None), ("", None),
    ("HF_TOKEN_PATH=hf_a", None),
])
def test_lines_of_a_dotenv_file(place: Path, galen_home: Path, text: str, value: str | None):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (galen_home / ".env").write_bytes(text.encode(encoding))
        found = token.find()
        assert (found and found.value) == value


def test_the_dotenv_of_the_checkout_is_read_too(place: Path, galen_home: Path, tmp_path: Path):
    """In a checkout of its own: the tests leave this one alone."""
    checkout = tmp_path / "checkout"
    (checkout / "models").mkdir(parents=True)
    for name in ("token", "runs", "errors"):
        shutil.copy(runs.ROOT / "models" / f"{name}.py", checkout / "models")
    (galen_home / ".env").write_text("HF_TOKEN=hf_second")
    (checkout / ".env").write_text("HF_TOKEN=hf_first")
    text = "from models import token; found = token.find(); print(found.source, found.value)"
    done = subprocess.run([sys.executable, "-c", text], cwd=checkout, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(checkout)})
    assert done.stdout.split() == [str(checkout / ".env"), "hf_first"]


@pytest.mark.parametrize("environment", [
    {}, {"HF_HOME": "~/hf"}, {"XDG_CACHE_HOME": "$PLACE/cache"}, {"HF_TOKEN_PATH": "$PLACE/mine", "HF_HOME": "/other"}])
def test_it_is_kept_where_the_hub_library_finds_it(tmp_path: Path, environment: dict[str, str]):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "XDG_"))}
    text = ("import json; from models import token; at = token.store(' hf_kept\\n'); import huggingface_hub as h; "
            "from huggingface_hub import constants; "
            "print(json.dumps([str(token.path()), constants.HF_TOKEN_PATH, str(at), h.get_token()]))")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path, env={
        **clean, "HOME": str(tmp_path), "PLACE": str(tmp_path), "GALEN_HOME": str(tmp_path),
        "PYTHONPATH": str(runs.ROOT), **environment})
    ours, theirs, written, read = json.loads(done.stdout)
    assert (ours, written, read) == (theirs, os.path.realpath(theirs), "hf_kept") and ours.startswith(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes; the user's own folder is his alone")
def test_only_this_user_may_read_it_from_the_first_byte_on(place: Path):
    old = os.umask(0)
    try:
        assert token.store(FIRST) == place
    finally:
        os.umask(old)
    assert place.stat().st_mode & 0o777 == 0o600 and place.parent.stat().st_mode & 0o777 == 0o700
    place.chmod(0o644)
    token.store(SECOND)
    assert place.stat().st_mode & 0o777 == 0o600 and place.read_text() == SECOND
    assert [one.name for one in place.parent.iterdir()] == ["token"]


KILLED = """
import os, signal
from models import token
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
token.store("hf_quartzA1")
"""


def test_a_killed_store_leaves_what_was_there_and_what_it_left_goes(place: Path):
    token.store(SECOND)
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=runs.ROOT)
    assert done.returncode and place.read_text() == SECOND
    left = [one for one in place.parent.iterdir() if one != place]
    assert [one.read_text() for one in left] == [FIRST] and left[0].stat().st_mode & 0o077 == 0
    assert token.find() == token.Token(value=SECOND, source=str(place), is_stored=True)
    assert token.forget() and not list(place.parent.iterdir()) and token.find() is None


def test_a_file_that_is_a_link_stays_one(place: Path, tmp_path: Path):
    (tmp_path / "secrets").write_text(FIRST)
    place.parent.mkdir()
    place.symlink_to(tmp_path / "secrets")
    token.store(SECOND)
    assert place.is_symlink() and (tmp_path / "secrets").read_text() == SECOND
    assert token.forget() and not (tmp_path / "secrets").exists()


@pytest.mark.parametrize("text, words", [
    ("", "No token was given; make one at https://huggingface.co/settings/tokens"),
    (" '' ", "No token was given"),
    ("quartz lung", "That is no token of the hub: a token is one word and begins with hf_"),
    ("quartz-password", "begins with hf_"), ("hf_quartz\nlung", "one word"), ("hf_quärtz", "one word"),
    ("hf_" + "quartz" * 1000, "one word"), ("HF_TOKEN=hf_quartz", "begins with hf_")])
def test_what_is_no_token_is_refused_without_repeating_it(place: Path, text: str, words: str):
    for refuses in (token.given, token.store):
        with pytest.raises(UserError, match=words) as error:
            refuses(text)
        assert "quartz" not in str(error.value) and "qu" not in str(error.value)
    assert not place.exists()


@pytest.mark.parametrize("text", [f" {FIRST}\r\n", f"\ufeff{FIRST}\r\n", f'"{FIRST}"', f"'{FIRST}'", FIRST])
def test_what_is_pasted_around_it_goes(text: str):
    assert token.given(text) == FIRST


def test_the_library_is_not_sent_to_a_file_that_it_can_not_read(place: Path):
    place.parent.mkdir()
    for encoding in ("utf-8-sig", "utf-16"):                    # as PowerShell writes them
        place.write_bytes(f"{FIRST}\r\n".encode(encoding))
        assert token.for_hub() == FIRST


def test_a_broken_one_is_refused_by_its_source(place: Path, galen_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_quartz lung")
    with pytest.raises(UserError, match="What HF_TOKEN holds is no token of the hub") as error:
        token.find()
    assert "quartz" not in str(error.value)
    monkeypatch.setenv("HF_TOKEN", f'"{FIRST}"')                # as `set HF_TOKEN="..."` of Windows leaves it
    assert token.for_hub() == FIRST
    monkeypatch.delenv("HF_TOKEN")
    (galen_home / ".env").mkdir()
    with pytest.raises(UserError, match=r"\.env, where a token for the hub may be, can not be read"):
        token.find()


def test_a_folder_that_can_not_be_written(place: Path, tmp_path: Path):
    (tmp_path / "hf").write_text("a file")
    with pytest.raises(UserError, match=r"The token could not be written to .*; make that folder writable") as error:
        token.store(FIRST)
    assert FIRST not in str(error.value)


def test_printing_one_does_not_show_it():
    one = token.Token(value=FIRST, source="HF_TOKEN")
    assert all(FIRST not in text for text in (repr(one), str(one), f"{one}", f"{[one]}"))
    assert pickle.loads(pickle.dumps(one)) == one


def test_what_looks_like_one_is_cut_out():
    real = "hf_" + "aB3" * 11
    assert token.hidden(f"bad words: {real}, --token={real}!") == "bad words: hf_..., --token=hf_...!"
    assert token.hidden(f"api_org_{real[3:]}.") == "api_org_...."
    assert token.hidden("hf_oauth_eyJh.eyJz-x_y.Zz said") == "hf_... said"
    assert token.hidden("hf_home and hf_datasets/token") == "hf_home and hf_datasets/token"

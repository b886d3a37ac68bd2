"""Each error of the hub, of the way to it and of the disk has a sentence of its own, with what to do next."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from models import hub_words, outside, runs
from models.errors import UserError
from tests.models.hub import Account, Hub

ASK = """
import json, sys
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from models import hub_words
from models.errors import UserError
for repo, name, revision, token in json.loads(sys.argv[1]):
    try:
        with hub_words.words(repo):
            HfApi().model_info(repo, revision=revision or None, token=token or False, timeout=10)
            get_hf_file_metadata(hf_hub_url(repo, name), token=token or False)
        print(json.dumps("fine"))
    except UserError as error:
        print(json.dumps(str(error)))
"""
CASES = [
    ("google/x", "m.gguf", "", "", "fine"),
    ("google/gated", "m.gguf", "", "hf_ada", "fine"),
    ("google/gated", "m.gguf", "", "", "accepted its licence: accept it at https://huggingface.co/google/gated"),
    ("google/gated", "m.gguf", "", "hf_bob", "You have not accepted the licence of google/gated yet: open https://hugg"),
    ("google/gated", "m.gguf", "", "hf_eve", "The owners of google/gated have not let you in yet"),
    ("google/gated", "m.gguf", "", "hf_fine", "may not read models with a licence gate: tick"),
    ("google/x", "m.gguf", "", "hf_wrong", "The hub does not accept your token"),
    ("google/none", "m.gguf", "", "", "There is no google/none on the hub, or it is private"),
    ("google/none", "m.gguf", "", "hf_ada", "There is no google/none on the hub, or your account may not see it"),
    ("google/shut", "m.gguf", "", "hf_ada", "The hub has closed google/shut for everybody"),
    ("google/x", "other.gguf", "", "", "google/x holds no other.gguf; its files are listed at https://huggingface.co/"),
    ("google/x", "m.gguf", "v9", "", "google/x has no such version"),
    ("google/busy", "m.gguf", "", "", "too many requests from here (429); try again in 7 s; with a token"),
    ("google/busy", "m.gguf", "", "hf_ada", "too many requests from here (429); try again in 7 s."),
    ("google/ill", "m.gguf", "", "", "The hub itself is in trouble (it answered 503)"),
    ("google", "m.gguf", "", "", "There is no google on the hub"),
    ("google/a b", "m.gguf", "", "", "'google/a b' is no name for a repository of the hub; write it as OWNER/NAME"),
]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the real client and our words make of each case: asked in one process."""
    with Hub() as hub:
        for name in ("x", "gated", "shut", "busy", "ill"):
            hub.add(f"google/{name}", {"m.gguf": b"GGUF"})
        hub.repos["google/gated"].gated, hub.repos["google/shut"].is_disabled = "manual", True
        hub.accounts = {"hf_ada": Account("ada", {"google/gated"}), "hf_bob": Account("bob"),
                        "hf_eve": Account("eve", pending={"google/gated"}),
                        "hf_fine": Account("fay", {"google/gated"}, "fineGrained", reads_gated=False)}
        hub.faults.status = {"google/busy": 429, "google/ill": 503}
        hub.faults.retry_after_s = 7
        done = subprocess.run([sys.executable, "-c", ASK, json.dumps([case[:4] for case in CASES])], text=True,
                              env=os.environ | hub.environment(tmp_path_factory.mktemp("words")), cwd=runs.ROOT,
                              capture_output=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{repo}-{token}-{k}" for k, (repo, _, _, token, _)
                                                         in enumerate(CASES)])
def test_what_the_hub_answers(case: int, said: list[str]):
    assert CASES[case][4] in said[case]


def test_every_sentence_is_another_one(said: list[str]):
    told = [text for text in said if text != "fine"]
    assert len(set(told)) == len(told)
    assert all("hf_ada" not in text and "127.0.0.1" not in text for text in told)


def connect_error(cause: Exception, text: str = "failed") -> Exception:
    """As httpx makes it."""
    import httpx2
    error = httpx2.ConnectError(text)
    error.__cause__ = cause
    return error


def test_what_lies_on_the_way(monkeypatch: pytest.MonkeyPatch):
    import ssl

    import httpx2
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "HF_ENDPOINT",
                 "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    refused, nameless = ConnectionRefusedError(111, "Connection refused"), socket.gaierror(-3, "no")
    cases = [
        (connect_error(nameless), "huggingface.co is not found: there is no network"),
        (connect_error(refused, "Connection refused"), "huggingface.co failed (Connection refused); connect and"),
        (httpx2.ReadTimeout("slow"), "huggingface.co does not answer in time"),
        (connect_error(ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED")), "The certificate of huggingface.co"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: google/x could not be fetched whole"),
        (PermissionError(errno.EACCES, "Permission denied", "/models"), "/models can not be written"),
        (OSError(errno.EROFS, "Read-only file system", "/models"), "/models can not be written"),
        (OSError(errno.EFBIG, "File too large"), "The disk takes no file as large as one of google/x (FAT32 takes 4"),
        (OSError(errno.EIO, "Input/output error"), "A disk failed while google/x was fetched (Input/output error)"),
        (connect_error(outside.Offline("no")), "Galen is offline, so the hub can not be asked for google/x"),
    ]
    for error, words in cases:
        told = hub_words.explained(error, "google/x")
        assert isinstance(told, UserError) and words in str(told), told
    monkeypatch.setenv("https_proxy", "http://ada:s3cret@proxy.clinic:3128/")
    for error, words in [
            (httpx2.ProxyError("407 Proxy Authentication Required"), "The proxy proxy.clinic:3128 did not let"),
            (connect_error(refused), "huggingface.co through the proxy proxy.clinic:3128 failed"),
            (connect_error(nameless), "proxy.clinic:3128 is not found"),
            (ImportError("Using SOCKS proxy, but the 'socksio' package is not installed."), "is of a kind that"),
            (ValueError("Unknown scheme for proxy URL URL('foo://ada:s3cret@proxy.clinic')"), "is of a kind that can")]:
        told = hub_words.explained(error, "google/x")
        assert words in str(told) and "s3cret" not in str(told), told


@pytest.mark.parametrize(("endpoint", "is_one"), [
    ("hf-mirror.com", False), ("http://[::1", False), ("https://", False), ("ftp://hub.clinic", False),
    ("https://hub.clinic:x", False), ("", True), ("https://hub.clinic:8443/hf/", True)])
def test_an_endpoint_that_is_no_address(endpoint: str, is_one: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    if is_one:
        hub_words.check_endpoint()
    else:
        with pytest.raises(UserError, match="which is no address of a hub; set it to https://HOST"):
            hub_words.check_endpoint()


def test_what_was_fetched_is_kept_is_said_only_where_something_can_have_been():
    refused = connect_error(ConnectionRefusedError(111, "Connection refused"))
    assert "is kept" in str(hub_words.explained(refused, "google/x"))
    assert "is kept" not in str(hub_words.explained(refused, "google/x", is_fetching=False))


def test_a_bug_of_ours_stays_one(tmp_path: Path):
    with pytest.raises(KeyError), hub_words.words("google/x"):
        raise KeyError("x")
    with pytest.raises(ValueError, match="^no number$"), hub_words.words("google/x"):
        raise ValueError("no number")

"""`models list`, `pull`, `add` and `rm` at the command line, over a local hub."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models import runs
from tests.models.hub import Hub
from tests.ui.fakes import wait_for
from ui import commands

REPO = "galen/demo-GGUF"


@pytest.fixture
def hub(demo_gguf: Path, tmp_path: Path, galen_home: Path):
    with Hub() as made:
        made.add(REPO, {"galen-demo-Q8_0.gguf": demo_gguf, "galen-demo-Q4_K_M.gguf": b"GGUF" + bytes(2000)})
        yield made


def started(hub: Hub, tmp_path: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "ui.commands", "models", *words], cwd=runs.ROOT, text=True,
                            env=os.environ | hub.environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def pull(hub: Hub, tmp_path: Path, *words: str) -> tuple[int, str, str]:
    process = started(hub, tmp_path, "pull", *words)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = commands.main(["models", *map(str, words)])
    return status, *capsys.readouterr()


def test_interrupted_it_says_how_to_go_on_and_does(hub: Hub, tmp_path: Path, demo_gguf: Path, galen_home: Path):
    hub.faults.bytes_s = 1e6
    process = started(hub, tmp_path, "pull", f"{REPO}:Q8_0")
    wait_for(lambda: any(one.stat().st_size > 0 for one in (galen_home / "cache").rglob("*.part")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "Traceback" not in err, err
    assert err.splitlines()[-1].endswith(f"python launcher.py models pull {REPO}:Q8_0")
    hub.faults.bytes_s = 0
    status, out, err = pull(hub, tmp_path, f"{REPO}:Q8_0", "--json")
    result = json.loads(out.splitlines()[-1])
    assert status == 0 and 0 < result["fetched_bytes"] < result["bytes"] == demo_gguf.stat().st_size, err
    assert Path(result["files"][0]).read_bytes() == demo_gguf.read_bytes()
    assert len(list((galen_home / "runs").iterdir())) == 1              # one job, gone on with
    status, out, err = pull(hub, tmp_path, f"{REPO}:Q8_0")
    assert status == 0 and "Talk to it: python launcher.py chat " in out


@pytest.mark.parametrize(("words", "expected"), [
    (["nope"], "There is no model 'nope' in the catalog; there are medgemma"),
    ([REPO], "holds several types; name one"), ([REPO, "--base"], "is no base model with weights")])
def test_one_clear_line_about_what_can_not_be_pulled(hub: Hub, tmp_path: Path, words: list[str], expected: str):
    status, out, err = pull(hub, tmp_path, *words)
    assert status == 2 and out == "" and expected in err.splitlines()[-1] and "Traceback" not in err, err


def test_add_list_and_remove(galen_home: Path, demo_gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine = tmp_path / "My Model.gguf"
    shutil.copy(demo_gguf, mine)
    status, out, _ = said(capsys, "add", mine, "--json")
    added = json.loads(out)
    assert status == 0 and added == {"name": "My-Model", "path": str(galen_home / "My-Model.gguf"),
                                     "bytes": demo_gguf.stat().st_size}
    for words in (["list", "--json"], ["--json"]):
        listed = json.loads(said(capsys, *words)[1])
        assert [one["name"] for one in listed] == ["demo", "My-Model"] and listed[1]["is_ours"]
    assert said(capsys)[1].splitlines()[1].split("\t")[0] == "My-Model"
    (galen_home / "runs" / "mine").mkdir(parents=True)
    (galen_home / "runs" / "mine" / "config.json").write_text('{"model": "My-Model"}')
    (galen_home / "runs" / "mine" / "events.jsonl").write_text('{"t": 1, "kind": "done"}\n')
    status, out, _ = said(capsys, "rm", "My-Model")
    assert status == 0 and out.startswith("Deleted. That frees no space: ") and mine.exists()      # it was linked
    assert out.endswith("\nThese runs name it, and can not be repeated without it: mine.\n")
    assert mine.exists() and not Path(added["path"]).exists()


@pytest.mark.parametrize(("words", "expected"), [
    (["add", "none.gguf"], "There is no file none.gguf"), (["add", __file__], "Only GGUF files"),
    (["rm", "nope"], "There is no model 'nope' here"), (["rm", "demo"], "belongs to Galen itself"),
    (["pull"], "arguments are required: ID[:TYPE]"), (["frobnicate"], "invalid choice: 'frobnicate'")])
def test_one_clear_line(galen_home: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str):
    status, out, err = said(capsys, *words)
    assert status == 2 and out == "" and expected in err and err.count("\n") == 1


def test_a_damaged_file_is_not_added(galen_home: Path, demo_gguf: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(demo_gguf.read_bytes()[:9000])
    status, _, err = said(capsys, "add", cut)
    assert status == 2 and "cut.gguf is cut short" in err and not list(galen_home.glob("cut*"))


def test_what_the_catalog_offers(galen_home: Path, capsys: pytest.CaptureFixture[str]):
    found = json.loads(said(capsys, "list", "--available", "--json")[1])
    first = next(one for one in found if one["id"] == "medgemma-1.5-4b-it")
    assert first["types"][0]["type"] == "Q4_K_M" and first["types"][0]["fits"] and first["is_gated"]

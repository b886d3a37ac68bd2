"""The report for a bug: what is in it, and that a word of the person's is nowhere in it."""

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.doctor.asked import doctor
from ui import log
from ui.doctor import bundle
from ui.doctor.finding import GOOD, Finding
from ui.doctor.impersonal import LEFT_OUT, Impersonal, code_place, places
from ui.history import History, new_id
from ui.settings import SettingsFile

SECRET = "Zweigkrebs"
SCREAM = f"""Traceback (most recent call last):
  File "{runs.ROOT}/train/loop.py", line 12, in learn
    step(rows)
  File "/home/{SECRET}/.venv/lib/python3.11/site-packages/torch/nn.py", line 7, in forward
    raise ValueError("{SECRET}")
  File "/home/{SECRET}/own.py", line 3, in <module>
ValueError: the row '{SECRET}' is
{SECRET}Error too
"""


def planted(home: Path) -> None:
    """A used folder, with the word wherever a person or a job of theirs may have put one."""
    history = History(home)
    conversation = new_id()
    history.ask(conversation, f"I was told {SECRET}.")
    history.rename(conversation, SECRET)
    SettingsFile(home).change(device=SECRET, threads=3, theme="dark")
    shutil.copy(next(runs.DEMO_BASE.glob("*.gguf")), home / f"{SECRET}-Q8_0.gguf")
    for run in (home / "runs" / f"{SECRET}-20261122", home / "runs" / "sub" / SECRET):
        (run / runs.DATA).mkdir(parents=True)
        (run / runs.DATA / f"{SECRET}.csv").write_text(f"question,answer\n{SECRET},{SECRET}\n")
        runs.write_json(run / runs.CONFIG, {"rank": 16, "lr": 2e-4, "data": [f"{SECRET}.csv"], "base": SECRET,
                                            "stages": [{"name": SECRET}]})
        runs.write_json(run / "job.json", {"module": "train.worker", "title": SECRET, "kind": SECRET})
        events = [{"t": 1.0, "kind": "note", "text": SECRET}, {"t": 1.5, "kind": SECRET, SECRET: 1},
                  {"t": 2.0, "kind": "step", "step": 3, "loss": 1.25, "stage": SECRET, "scores": {SECRET: 0.5}},
                  {"t": 3.0, "kind": "error", "text": SECRET, "is_users": False, "traceback": SCREAM}]
        (run / runs.EVENTS).write_text("".join(json.dumps(one) + "\n" for one in events) + f'{{"kind": "{SECRET}')
        (run / runs.LOG).write_text(f"Reading {SECRET}.csv\n" + SCREAM)
    log.begin(home)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.log.exception("a page handler failed")
        logging.getLogger("httpx").warning("GET %s", SECRET)
        log.log.info("loaded '%s' from /data/%s.gguf for %s@host.example in 1.25 s", SECRET, SECRET, SECRET)
    log.end()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report of a folder full of the word, and what the same run said on this computer."""
    folder = tmp_path_factory.mktemp("at") / SECRET
    home, to = folder / "home", folder / f"{SECRET}.zip"
    (folder / "tmp").mkdir(parents=True)
    home.mkdir()
    planted(home)
    done = doctor("--json", "--bundle", str(to), home=home, HOME=str(folder), TMPDIR=str(folder / "tmp"),
                  USER=SECRET, HF_HOME=str(folder / "hf"), HF_TOKEN=f"hf_{SECRET}", HTTPS_PROXY=f"http://{SECRET}:8080",
                  BROWSER=f"{folder}/{SECRET} %s")
    assert done.returncode == 0, done.stdout + done.stderr
    return to, done.stdout


def test_the_word_is_nowhere_in_the_report(report):
    to, said = report
    assert said.lower().count(SECRET.lower()) > 3           # the planting reached what is shown on this computer
    with zipfile.ZipFile(to) as archive:
        parts = [to.read_bytes(), archive.comment, *(archive.read(name) for name in archive.namelist()),
                 *(name.encode() for name in archive.namelist())]
    assert not [part for part in parts if SECRET.lower().encode() in part.lower()]
    assert f"hf_{SECRET}" not in said


def test_the_report_says_what_helps(report):
    with zipfile.ZipFile(report[0]) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    assert members.keys() == {"README.txt", "doctor.json", "versions.json", "settings.json", "jobs.json", "galen.log",
                              "setup.log"}
    assert {one["name"] for one in json.loads(members["doctor.json"])} >= {"Python", "Memory", "Smoke prompt"}
    assert json.loads(members["versions.json"])["chat"]["numpy"]
    settings = json.loads(members["settings.json"])
    assert settings["threads"] == 3 and settings["theme"] == "dark" and settings["device"].startswith("a text of")
    job, *_ = jobs = json.loads(members["jobs.json"])
    assert len(jobs) == 2 and job["module"] == "train.worker" and job["settings"] == {"rank": 16, "lr": 2e-4}
    assert job["events"][2] == {"kind": "step", "t": 2.0, "step": 3, "loss": 1.25}
    assert job["events"][3]["places"] == job["log"] == [
        "    train/loop.py:12 in learn", "    torch/nn.py:7 in forward", "    elsewhere", "  ValueError"]
    told = members["galen.log"]
    assert "error galen: a page handler failed" in told and "  builtins.ValueError" in told and "in 1.25 s" in told


def test_a_report_is_made_where_much_is_broken(tmp_path):
    to = tmp_path / "a.zip"
    done = doctor("--bundle", str(to), home=Path("/proc/galen"), HF_TOKEN="two words")
    assert done.returncode == 2 and "Token" in done.stdout and f"The report is {to}" in done.stdout
    (tmp_path / "jobs.json").mkdir()
    (tmp_path / "settings.json").write_text("[]")
    for name, text in ((runs.CONFIG, "[1]"), ("job.json", "{"), (runs.EVENTS, '[]\n{"kind": []}\n\xff\n')):
        (tmp_path / "runs" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / "a" / name).write_text(text)
    done = doctor("--bundle", str(tmp_path / "b.zip"), home=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and (tmp_path / "b.zip").is_file()


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    made = [Finding(name="A", state=GOOD, found="b")]
    with pytest.raises(UserError, match=r"is there already; give the report another name"):
        bundle.write(tmp_path, made)
    with pytest.raises(UserError, match="could not be written"):
        bundle.write(tmp_path / "none" / "a.zip", made)
    assert list(tmp_path.iterdir()) == []
    assert bundle.write(tmp_path / "a.zip", made) == tmp_path / "a.zip"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(("line", "kept"), [
    ("Collecting numpy==2.4.6 (from -r /opt/anna/requirements/chat.txt (line 9))",
     f"Collecting numpy==2.4.6 (from -r {LEFT_OUT} (line 9))"),
    ("  Downloading gradio-6.31.0-py3-none-any.whl.metadata (17 kB)",
     "Downloading gradio-6.31.0-py3-none-any.whl.metadata (17 kB)"),
    ("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl (16.9 MB)",
     "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl (16.9 MB)"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
     "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"),
    ("WARNING: HTTPSConnectionPool(host='mirror', port=443): pc-3.clinic.local 10.1.2.3 http://u:p@x/ a@b.c C:\\Anna",
     f"WARNING: HTTPSConnectionPool(host={LEFT_OUT}, port=443): {' '.join([LEFT_OUT] * 5)}"),
    ("loaded in 1.25 s, 99% of 3 files", "loaded in 1.25 s, 99% of 3 files")])
def test_of_a_programs_line_only_harmless_words_are_kept(line, kept):
    assert Impersonal().line(line) == kept


def test_names_and_folders_of_this_computer_are_taken_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/Anna Maria Berg")
    monkeypatch.setenv("LOGNAME", "ambr")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefg")
    clean = Impersonal()
    assert "Berg" not in clean.line("removed /home/Anna Maria Berg/.cache/x and hf_abcdefg of ambr")
    assert clean.named("ambrosia") == "ambrosia" and clean.named("by AMBR.") == f"by {LEFT_OUT}."


def test_what_follows_a_traceback_is_not_taken_for_a_kind_of_error():
    lines = ["BergError: no traceback", "  at", 'File "x.py", line 1, in berg', "BergError: x", "ValueError: y"]
    assert places(lines) == [
        "    elsewhere", "  an error"]
    assert code_place("ui/app.py") == "ui/app.py" and code_place("C:\\v\\site-packages\\a\\b.py") == "a/b.py"
    assert code_place("../../etc/passwd") == code_place("/etc/passwd") == "elsewhere"


def test_what_a_path_with_spaces_and_a_token_leave_behind():
    clean, value = Impersonal(), "hf_" + "aB3" * 9
    for line in ("Processing /media/Anna Maria Berg/wheels/numpy.whl (16.9 MB)",
                 "Looking in links: D:\\Anna Maria Berg\\kit\\wheels, /srv/Anna Maria", f"given {value} today"):
        assert not [word for word in ("Anna", "Maria", "Berg", value) if word in clean.line(line)], clean.line(line)
    assert clean.line("Processing /media/Anna Maria Berg/numpy.whl (16.9 MB)").endswith("(16.9 MB)")


def test_a_report_is_made_of_what_can_be_read(monkeypatch, tmp_path):
    home = tmp_path / "home"
    for name, deep in (("a", "[" * 30_000 + '\n{"kind": "done"}\n'), ("b", "")):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / runs.CONFIG).write_text("{}")
        (home / "runs" / name / runs.EVENTS).write_text(deep)
    monkeypatch.setenv("GALEN_HOME", str(home))
    with zipfile.ZipFile(bundle.write(tmp_path / "a.zip", [])) as archive:
        assert [{"kind": "done"}] in [job["events"] for job in json.loads(archive.read("jobs.json"))]
    (home / runs.MOVED_TO).write_text("{}")
    with zipfile.ZipFile(bundle.write(tmp_path / "b.zip", [])) as archive:
        assert archive.read("jobs.json") == b"could not be gathered (UserError)" and archive.read("versions.json")


def test_a_folder_of_another_account_is_passed_over(tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / runs.CONFIG).mkdir()
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs" / "loop")
    (tmp_path / "runs" / "shut").mkdir(mode=0)
    drops = ["setpriv", "--bounding-set=-dac_override,-dac_read_search",
             "--inh-caps=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    code = (f"from pathlib import Path; from ui.doctor import bundle; "
            f"bundle.write(Path({str(tmp_path / 'a.zip')!r}), [])")
    done = subprocess.run([*drops, sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True,
                          env={**os.environ, "GALEN_HOME": str(tmp_path)})
    (tmp_path / "runs" / "shut").chmod(0o700)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert json.loads(archive.read("jobs.json")) == []

"""The doctor as a whole: on a sound machine, and where something is broken."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from models import outside, runs
from tests.small_disk import mounted
from tests.ui.doctor.asked import doctor, found
from ui.doctor import checkup
from ui.doctor.finding import BAD, CAUTION, GOOD, Finding, looked

USED = {"Python", "System", "Processor", "Memory", "Packages for chat", "Your folder", "Download cache",
        "Temporary files", "Settings", "Offline", "llama.cpp", "Graphics", "Smoke prompt", "Port", "Browser", "Token"}
BREAKS = {"crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
          "illegal": "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n",
          "blocked": "raise OSError('cannot open shared object file')\n",
          "gone": "raise ModuleNotFoundError(\"No module named 'llama_cpp'\", name='llama_cpp')\n",
          "half": "import sys\nfrom types import ModuleType\n"
                  "llama_cpp = sys.modules['llama_cpp.llama_cpp'] = ModuleType('half')\n"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """The findings on this machine, and what it told of connections to others."""
    home = tmp_path_factory.mktemp("home")
    told = home / "told.jsonl"
    told.write_bytes(b"")
    code = ("import sys\nfrom models import outside\noutside.watch()\nfrom ui.commands import main\n"
            "sys.exit(main(['doctor', '--json']))")
    environment = {"PYTHONPATH": str(runs.ROOT), "GALEN_HOME": str(home), "OMP_NUM_THREADS": "1", "HOME": str(home),
                   "PATH": "/usr/bin:/bin", outside.TOLD_TO: str(told)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1]), told.read_text()


def test_a_sound_machine_has_every_finding_and_none_that_is_bad(sound):
    made = {one["name"]: one for one in sound[0]["findings"]}
    assert made.keys() >= USED and sound[0]["is_usable"]
    assert not [one for one in made.values() if one["state"] == BAD or "could not be found out" in one["found"]]
    assert all(one["advice"] and "\n" not in one["advice"] for one in made.values())
    assert made["llama.cpp"]["found"].startswith("0.") and "built for CPU" in made["llama.cpp"]["found"]
    assert "wrote 16 tokens in" in made["Smoke prompt"]["found"]


def test_nothing_outside_is_asked_without_network(sound):
    assert sound[1] == ""
    assert not {"Hub", "Package index", "Proxy"} & {one["name"] for one in sound[0]["findings"]}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without any package; the packages of this one can be put behind it."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


def test_without_any_package_it_says_what_is_missing(bare, tmp_path):
    made = found(home=tmp_path, python=bare / "bin/python", status=2)
    assert made["Packages for chat"]["found"].startswith("missing: gradio")
    assert made["Packages for chat"]["advice"] == "Start Galen with: python launcher.py"    # there is no .venv of it
    assert made["Memory"]["found"] == "not looked at: the package psutil is missing"
    assert made["Your folder"]["state"] == GOOD and made["Python"]["state"] == GOOD


@pytest.mark.parametrize(("how", "words"), [
    ("crashes", "crashes when it is asked what it can use (status -11)"),
    ("illegal", "ends at an instruction that this processor does not have"),
    ("blocked", "its library can not be loaded"), ("gone", "its library can not be loaded"),
    ("half", "crashes when it is asked what it can use")])
def test_a_broken_llama_cpp_is_one_bad_finding_and_the_others_are_made(bare, tmp_path, how, words):
    line = with_all_packages(bare)
    package = line.parent / "llama_cpp"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(BREAKS[how])
    try:
        made = found(home=tmp_path, python=bare / "bin/python", status=2)
    finally:
        (package / "__init__.py").unlink()
        line.unlink()
    assert made["llama.cpp"]["state"] == BAD and words in made["llama.cpp"]["found"]
    assert "Smoke prompt" not in made and made.keys() >= USED - {"Smoke prompt"}
    assert not [name for name in made if name != "llama.cpp" and made[name]["state"] == BAD]


@pytest.mark.parametrize(("package", "look"), [
    ("psutil", "Memory"), ("packaging", ""), ("huggingface_hub", "Download cache")])
def test_a_package_that_was_not_copied_whole_stops_nothing(bare, tmp_path, package, look):
    line = with_all_packages(bare)
    broken = line.parent / package
    (broken / "sub").mkdir(parents=True)
    (broken / "__init__.py").write_text("def (")
    details = line.parent / f"{package}-1.0.dist-info"
    details.mkdir()
    (details / "METADATA").write_bytes(b"Version: \xff")
    try:
        made = found("--bundle", str(tmp_path / "a.zip"), home=tmp_path, python=bare / "bin/python")
    finally:
        shutil.rmtree(broken)
        shutil.rmtree(details)
        line.unlink()
    assert made["Packages for chat"]["found"].startswith("missing: ") and made["Token"]["state"] == GOOD
    assert not look or (made[look]["state"], made[look]["found"]) == (
        BAD, "a package that it needs is damaged (SyntaxError)")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert "(pinned: " in archive.read("versions.json").decode()


def test_a_damaged_settings_file_and_a_token_that_is_none(tmp_path):
    (tmp_path / "settings.json").write_text('{"theme": "sys')
    made = found(home=tmp_path, status=2, HF_TOKEN="two words")
    assert made["Settings"]["found"] == "the file is damaged" and "settings.json" in made["Settings"]["advice"]
    assert made["Token"]["state"] == BAD
    assert "two words" not in json.dumps(made)


def test_a_home_that_can_not_be_written_to(tmp_path):
    made = found(home=Path("/proc/galen"), status=2, TMPDIR=str(tmp_path / "nowhere"))
    assert made["Your folder"]["state"] == BAD and "GALEN_HOME" in made["Your folder"]["advice"]
    assert made["Your folder"]["personal"] == "/proc/galen"
    assert made["Temporary files"]["state"] == CAUTION and made["Smoke prompt"]["state"] == GOOD


def test_a_home_whose_disk_is_not_there(tmp_path):
    (tmp_path / runs.MOVED_TO).write_text(json.dumps({"to": str(tmp_path / "disk")}))
    made = found(home=tmp_path, status=2)
    assert made["Your folder"]["found"] == "the disk that it was moved to is not there"
    assert made["Token"]["state"] == CAUTION            # nobody knows; nothing is wrong with a token


def test_in_its_own_environment_without_the_embedded_model(tmp_path):
    there = tmp_path / "Zweigkrebs" / "galen"
    there.mkdir(parents=True)
    for room in ("ui", "models", "runtime", "tasks", "corpus", "train", "convert", "evaluation", "requirements"):
        shutil.copytree(runs.ROOT / room, there / room, ignore=shutil.ignore_patterns("demo", "files"))
    python = own_environment(there)
    (there / ".venv/setup.log").write_text(f"Collecting numpy==2.4.6 (from -r {there}/requirements/chat.txt)\n")
    made = found("--bundle", str(tmp_path / "a.zip"), home=tmp_path / "home", root=there, python=python, status=2)
    assert made["Smoke prompt"]["state"] == BAD and made["Smoke prompt"]["found"] == "the embedded model is missing"
    assert made["llama.cpp"]["state"] == GOOD
    assert made["Set-up"]["found"] == "Galen's own environment (sets: chat; llama.cpp: vulkan)"
    log = zipfile.ZipFile(tmp_path / "a.zip").read("setup.log")
    assert log == b"Collecting numpy==2.4.6 (from -r [left-out]"
    (there / ".venv/galen-llama.json").unlink()
    made = found(home=tmp_path / "home", root=there, python=python, status=2)
    assert made["Set-up"]["state"] == BAD and made["Set-up"]["found"] == "unfinished: llama missing"


def own_environment(root: Path) -> Path:
    """root/.venv as the launcher leaves it, with the packages of this one; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    with_all_packages(root / ".venv")
    for name, mark in (("venv", {"python": "3"}), ("chat", {"sha256": "0"}), ("llama", {"backend": "vulkan"})):
        (root / ".venv" / f"galen-{name}.json").write_text(json.dumps(mark))
    return root / ".venv/bin/python"


def with_all_packages(environment: Path) -> Path:
    """Put this Python's packages behind those of an environment; the file that does it."""
    import numpy
    line = next(environment.glob("lib/python*/site-packages")) / "all.pth"
    line.write_text(str(Path(numpy.__file__).parent.parent))
    return line


def test_a_full_disk(tmp_path):
    with mounted(tmp_path / "small", 2) as small:
        (small / "fill").write_bytes(b"\0" * (2 << 20))
        made = found(home=small, status=2)
        assert made["Your folder"]["found"] == "the disk is full"
        done = doctor("--bundle", str(small / "report.zip"), home=small)
        assert done.returncode == 2 and "The disk is full" in done.stderr.splitlines()[-1]
        assert [path.name for path in small.iterdir()] == ["fill"]


def test_a_terminal_shows_each_finding_with_its_advice_and_the_status_says_what_is_bad(capsys):
    made = [Finding(name="Port", state=GOOD, found="7860 is free"),
            Finding(name="Disk", state=BAD, found="is full", advice="Make room.", personal="/a\x1b[2Jb")]
    shown = [line for one in made for line in checkup.lines(one)]
    assert shown[0].split() == ["good", "Port", "7860", "is", "free"] and len(shown) == 3
    assert shown[1].startswith("bad      Disk") and shown[2].strip() == "Make room."
    assert "\x1b" not in "".join(shown)
    assert checkup.status(made) == 2 and checkup.status(made[:1]) == 0
    assert checkup.verdict(made) == "To be mended: Disk."


def test_a_report_that_can_not_be_written_costs_no_finding(tmp_path):
    done = doctor("--json", "--bundle", str(tmp_path / "none" / "a.zip"), home=tmp_path)
    assert done.returncode == 2 and "could not be written" in done.stderr and len(done.stderr.splitlines()) == 1
    said = json.loads(done.stdout)
    assert said["report"] == "" and {one["name"] for one in said["findings"]} >= USED
    (tmp_path / "a.zip").write_bytes(b"")
    done = doctor("--bundle", str(tmp_path / "a.zip"), home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and "give the report another name" in done.stderr


def test_a_look_that_fails_is_a_finding():
    def look():
        yield Finding(name="one", state=GOOD, found="")
        raise OSError("/home/anna is gone")
    only, = looked("Two", look)
    assert only.state == CAUTION and "anna" not in only.found and "anna" in only.personal

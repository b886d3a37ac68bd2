"""The launcher, run for real in copies with small stub packages: no network, nothing of this machine's pip settings."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launcher
from setup import pip
from tests.launching import FILES, PYTHON, ROOT, Copy, fresh_copy, make_wheel, stub_wheels

posix_only = pytest.mark.skipif(os.name == "nt", reason="signals and shell scripts of POSIX")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    return stub_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def fresh(tmp_path, wheels) -> Copy:
    """A copy in which nothing is set up."""
    return fresh_copy(tmp_path / "galen copy", wheels)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Where `ready` keeps the one copy it sets up."""
    return tmp_path_factory.mktemp("prepared") / "galen copy"


@pytest.fixture
def ready(fresh, prepared) -> Copy:
    """A copy in which the chat set is set up."""
    if not prepared.exists():
        done = fresh.start("setup")
        assert done.returncode == 0, done.stderr
        shutil.copytree(fresh.folder, prepared, symlinks=True)
    else:
        shutil.rmtree(fresh.folder)
        shutil.copytree(prepared, fresh.folder, symlinks=True, copy_function=link_or_copy)
    return fresh


def link_or_copy(source: str, target: str) -> None:
    """For copytree: pip's own thousand files are only read here."""
    (os.link if "/site-packages/pip/" in source else shutil.copy2)(source, target)


def said_once(done: subprocess.CompletedProcess, pattern: str) -> None:
    """One line on stderr that matches, exit status 2."""
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(pattern, done.stderr), done.stderr


def test_an_old_python_reads_as_far_as_the_check():
    tree = ast.parse((ROOT / "launcher.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    place = next(i for i, n in enumerate(tree.body) if isinstance(n, ast.If) and "PROBLEM" in ast.unparse(n.test))
    functions = [n for n in tree.body[:place] if isinstance(n, ast.FunctionDef)]
    annotations = [ast.unparse(a.annotation) for n in functions for a in n.args.args]
    assert set(annotations) <= {"tuple", "bool"}  # list[str] and X | None fail before Python 3.9 and 3.10


@pytest.mark.parametrize(("version", "bits", "free", "found"), [
    ((3, 8), True, False, "Python 3.8 was found"), ((3, 10, 13), True, False, "Python 3.10 was found"),
    ((3, 15), True, False, "Python 3.15 was found"), ((3, 12), False, False, r"Python 3.12 \(32-bit\) was found"),
    ((3, 14), True, True, r"Python 3.14 \(free-threaded\) was found"),
    ((3, 11), True, False, "^$"), ((3, 14, 1), True, False, "^$")])
def test_python_problem(version, bits, free, found):
    assert re.search(found, launcher.python_problem(version, bits, free))


def test_an_old_python_gets_one_line():
    code = ("import sys, runpy; sys.version_info = (3, 9, 2, 'final', 0); "
            f"runpy.run_path({str(ROOT / 'launcher.py')!r}, run_name='__main__')")
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    said_once(done, r"Python 3\.9 was found; Galen needs .* 3\.11 to 3\.14: https://www\.python\.org")


@pytest.mark.parametrize(("lines", "meaning"), [
    (["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"], "the disk is full"),
    (["WARNING: Retrying, after connection broken by 'x'", "ERROR: No matching distribution"], pip.OFFLINE),
    (["WARNING: Retrying, after connection broken by 'x'", "ERROR: Failed building wheel for x"], "it did not compile"),
    (["Collecting x", "ERROR: Could not find a version", "ERROR: No matching distribution found for x"],
     "No matching distribution found for x"),
    (["Traceback", "ValueError: odd"], "ValueError: odd"), ([], "it said nothing")])
def test_the_reason_is_what_pip_said(lines, meaning):
    assert pip.reason(lines) == meaning


def test_progress_says_what_comes_and_how_far(capsys):
    progress = pip.Progress("chat set", 3)
    for line in ("Ignoring colorama: markers 'sys_platform == \"win32\"' don't match your environment",
                 "Collecting numpy==2.4.6 (from -r chat.txt (line 9))", "Requirement already satisfied: six in x",
                 "  Downloading numpy-2.4.6-py3.whl.metadata (6 kB)", "  Downloading numpy-2.4.6-py3.whl (16.9 MB)",
                 "  Building wheel for rouge_score (pyproject.toml): started", "Installing collected packages: six"):
        progress.read(line + "\n")
    assert re.sub(r", \d+ s", "", capsys.readouterr().out).splitlines() == [
        "  chat set 3/3: numpy 2.4.6 (16.9 MB)", "  chat set 3/3: compiling rouge_score", "  chat set 3/3: unpacking"]


def test_first_start_sets_up_and_the_next_ones_skip_it(fresh, tmp_path):
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/llama_cpp.py").write_text("raise RuntimeError('not the one of the environment')")
    junk = {"PYTHONPATH": str(tmp_path / "junk"), "PYTHONSTARTUP": "x.py", "PIP_TARGET": str(tmp_path / "target")}
    first = fresh.start("chat", "--model", "a b.gguf", cwd=tmp_path, **junk)
    assert "Making the environment" in first.stdout and "chat set 2/2" in first.stdout, first.stderr
    log = fresh.log()
    (tmp_path / "json.py").write_text("raise RuntimeError('the folder of the user is no place to import from')")
    second = fresh.start("chat", "--model", "a b.gguf", cwd=tmp_path, PIP_FIND_LINKS="/nowhere", STATUS="7", **junk)
    assert second.returncode == 7 and second.stderr == ""
    for said in ('"argv": ["chat", "--model", "a b.gguf"]', f'"cwd": "{tmp_path}"', '"leaked": false'):
        assert said in second.stdout
    assert "junk" not in second.stdout
    assert fresh.log() == log


def test_a_changed_requirement_file_is_installed(ready):
    (ready.folder / "requirements/chat.txt").write_text(FILES["chat"].replace("stub-chat==1.0", "stub-chat==1.1"))
    assert '"chat": "1.1"' in ready.start("chat").stdout


@pytest.mark.parametrize(("arguments", "has_torch"), [(["demo"], True), (["train", "--help"], False),
                                                      (["setup", "--all"], True), (["summarise", "train"], False)])
def test_the_training_set_comes_when_it_is_needed(ready, arguments, has_torch):
    assert ready.start(*arguments).returncode == 0
    assert (ready.folder / ".venv/galen-train.json").exists() == has_torch


def test_the_checks_run_in_order_and_stop_at_the_first_failure(ready, tmp_path):
    lines = [line for line in ready.start("test", cwd=tmp_path).stdout.splitlines() if line.startswith("ran ")]
    assert lines == [f"ran {said} {ready.folder}" for said in ("ruff ['check']", "mypy []", "pytest []")]
    failed = ready.start("test", FAIL="mypy")
    assert failed.returncode == 5 and "ran ruff" in failed.stdout and "ran pytest" not in failed.stdout
    only = ready.start("test", "-k", "a b", cwd=tmp_path)
    assert f"ran pytest ['-k', 'a b'] {tmp_path}" in only.stdout and "ran ruff" not in only.stdout


def test_a_moved_folder_goes_on(ready):
    done = Copy(ready.folder.rename(ready.folder.parent / "moved"), ready.wheels).start("chat")
    assert done.returncode == 0 and "Making" not in done.stdout and '"chat": "1.0"' in done.stdout


@posix_only
def test_what_names_the_old_place_is_written_anew(ready):
    """Galen runs PYTHON -m, which goes on in any place; people use the scripts, too."""
    before = json.loads((ready.folder / ".venv/galen-venv.json").read_text())["place"]      # `ready` is a copy
    moved = Copy(ready.folder.rename(ready.folder.parent / "moved ünï"), ready.wheels)
    assert moved.start("chat").returncode == 0
    own, scripts = str(moved.folder / ".venv"), moved.folder / ".venv/bin"
    assert own in (scripts / "activate").read_text() and own in (scripts / "pip").read_text()
    assert not [one for one in scripts.iterdir() if not one.is_symlink() and before.encode() in one.read_bytes()]
    pip_of_its_own = subprocess.run([scripts / "pip", "--version"], capture_output=True, text=True)
    assert pip_of_its_own.returncode == 0 and "moved ünï" in pip_of_its_own.stdout
    assert not list((moved.folder / ".venv").rglob("*.part"))


@posix_only
@pytest.mark.parametrize("what", ["whole", "broken", "absent"])
def test_the_doctor_comes_without_a_set_up(ready, what):
    """It is asked when the set-up does not work; so it neither waits for that nor repairs it by the way."""
    (ready.folder / "ui/commands.py").write_text("import sys; print(sys.prefix, *sys.argv[1:]); sys.exit(2)")
    python = ready.folder / ".venv/bin/python"
    python.unlink() if what == "broken" else None
    shutil.rmtree(ready.folder / ".venv") if what == "absent" else ready.forget("chat", "llama")
    done = ready.start("doctor", "--json")
    place = ready.folder / ".venv" if what == "whole" else sys.base_prefix
    assert (done.returncode, done.stdout, done.stderr) == (2, f"{place} doctor --json\n", "")
    assert python.exists() == (what == "whole") and not (ready.folder / ".venv/galen-chat.json").exists()


@posix_only
def test_an_environment_whose_python_does_not_start_is_made_anew(ready):
    python = ready.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    done = ready.start("chat")
    assert done.returncode == 0 and "Making" in done.stdout and '"chat": "1.0"' in done.stdout


@posix_only
@pytest.mark.parametrize("gone", [["lib"], ["lib/*/site-packages/stub_chat*", "lib/*/site-packages/llama*"]])
def test_an_environment_that_was_deleted_in_part_is_made_whole(ready, gone):
    for path in [one for pattern in gone for one in (ready.folder / ".venv").glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = ready.start("chat")
    assert done.returncode == 0 and '"chat": "1.0"' in done.stdout, done.stderr
    assert ("Making" in done.stdout) == (gone == ["lib"]) and "Set up" in done.stdout
    assert next((ready.folder / ".venv").rglob("site-packages/llama_cpp.py"))
    assert "Set up" not in ready.start("chat").stdout


@posix_only
def test_no_setting_of_pips_leads_astray(ready, tmp_path):
    """Another Python was given the packages, a trial installed none, and a newer pip's setting ended this one."""
    other = tmp_path / "other"
    other.write_text(f"#!/bin/sh\ntouch {tmp_path}/astray\n")
    other.chmod(0o755)
    ready.forget("chat", "llama")
    done = ready.start("setup", PIP_PYTHON=str(other), PIP_DRY_RUN="1", PIP_PROGRESS_BAR="of-a-newer-pip",
                       PIP_NO_DEPS="1", PIP_REPORT="-")
    assert done.returncode == 0 and not (tmp_path / "astray").exists(), done.stderr


@posix_only
@pytest.mark.parametrize(("name", "says"), [("a:b", "holds ':', which no environment can bear; rename the folder"),
                                            ("\udcff", "is not in UTF-8; rename the folder")])
def test_a_folder_that_can_have_no_environment_is_said(wheels, tmp_path, name, says):
    copy = fresh_copy(tmp_path / name, wheels)
    done = copy.start("setup")
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
    assert not (copy.folder / ".venv").exists()


def test_a_half_copied_package_is_copied_again(ready):
    for name in ("stub_chat.py", "stub_chat-1.0.dist-info/INSTALLER"):  # pip writes the latter after the last file
        next((ready.folder / ".venv").rglob(f"site-packages/{name}")).unlink()
    ready.forget("chat")
    assert '"chat": "1.0"' in ready.start("chat").stdout


@posix_only
@pytest.mark.parametrize(("how", "moment"), [(signal.SIGKILL, "pyvenv.cfg"), (signal.SIGINT, "setup.log")])
def test_an_interrupted_setup_is_taken_up(fresh, how, moment):
    process = fresh.popen("setup")
    while not (fresh.folder / ".venv" / moment).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, how)
    _, stderr = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 2 and stderr.endswith("Galen: stopped; start again to go on\n"), stderr
    assert not (fresh.folder / ".venv/galen-chat.json").exists()
    done = fresh.start("chat")
    assert '"chat": "1.0"' in done.stdout and ("Making" in done.stdout) == (moment == "pyvenv.cfg"), done.stderr


@posix_only
def test_a_setup_killed_again_and_again_gets_done(fresh):
    for patience in (0.3, 1.2):                 # while the environment is made, and later
        process = fresh.popen("chat")
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=patience)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = fresh.start("chat")
    assert done.returncode == 0 and '"chat": "1.0"' in done.stdout, done.stderr


WATCHED = """
import runpy, sys
def hook(event, values):
    if event in ("subprocess.Popen", "os.exec"):
        print("event", event, *values[1], flush=True)
    elif event.startswith(("socket.", "urllib.", "os.system", "os.posix_spawn")):
        print("event", event, flush=True)
sys.addaudithook(hook)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@posix_only
def test_a_start_connects_to_nothing_and_updates_nothing(ready):
    """Once set up, a start asks its own Python for its version, and becomes it: no connection, no pip, no git."""
    done = subprocess.run([PYTHON, "-c", WATCHED, str(ready.folder / "launcher.py"), "chat"], capture_output=True,
                          env=ready.environment(), text=True)
    events = [line for line in done.stdout.splitlines() if line.startswith("event ")]
    python = str(ready.folder / ".venv/bin/python")
    assert done.returncode == 0 and len(events) == 2, events
    assert events[0].startswith(f"event subprocess.Popen {python} -ISc import sys; print(")
    assert events[1] == f"event os.exec {python} -m ui.commands chat"


@posix_only
def test_a_start_after_a_killed_one_waits_for_its_pip(ready):
    ready.forget("chat", "llama")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes pip's question and never answers
        hanging = {"PIP_FIND_LINKS": f"http://127.0.0.1:{silent.getsockname()[1]}/", "no_proxy": "127.0.0.1"}
        first = ready.popen("setup", **hanging)
        with silent.accept()[0]:
            first.kill()  # not its pip
            second = ready.popen("chat")
            assert second.stdout.readline() == "Another start of Galen is setting up; waiting for it.\n"
            assert second.poll() is None
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0 and '"chat": "1.0"' in out, err


def test_two_starts_at_once_wait_for_one_another(fresh):
    both = [fresh.popen("chat"), fresh.popen("chat")]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    for words in ("Making the environment", "waiting for it"):
        assert sorted(words in out for out, _ in said) == [False, True]
    assert all('"chat": "1.0"' in out for out, _ in said)


def test_a_foreign_environment_is_left_alone(fresh):
    (fresh.folder / ".venv").write_text("a file")
    said_once(fresh.start("chat"), r"\.venv was not made by Galen; move it away")
    (fresh.folder / ".venv").unlink()
    (fresh.folder / ".venv").mkdir()
    (fresh.folder / ".venv/pyvenv.cfg").write_text("mine")
    said_once(fresh.start("chat"), r"\.venv was not made by Galen; move it away")
    assert (fresh.folder / ".venv/pyvenv.cfg").read_text() == "mine"


@posix_only
def test_no_compiler_is_said_before_compiling(ready, tmp_path):
    ready.forget("chat", "llama")
    done = ready.start("chat", PATH=str(tmp_path), PIP_FIND_LINKS=str(tmp_path))
    said_once(done, "there is no C\\+\\+ compiler; install one, start again: "
                    + re.escape(launcher.COMPILERS[launcher.platform.system()]))
    assert "compiling" not in done.stdout


@posix_only
def test_a_wheel_that_crashes_is_not_kept(ready, tmp_path):
    crashing = {"llama_cpp.py": "import os\ndef llama_backend_init(): os.abort()\n"}
    make_wheel(tmp_path / "bad", "llama-cpp-python", "0.3.36", crashing)
    ready.forget("chat", "llama")
    done = ready.start("chat", PATH=str(tmp_path), PIP_FIND_LINKS=str(tmp_path / "bad"))
    said_once(done, "no C\\+\\+ compiler")
    assert "the wheel for cpu does not load here" in done.stdout
    assert ready.start("chat").returncode == 0


def test_a_wheel_compiled_before_is_taken_from_pips_cache(ready, tmp_path, wheels):
    place = tmp_path / "cache/wheels/a/b/c"
    place.mkdir(parents=True)
    shutil.copy(wheels / "llama_cpp_python-0.3.36-py3-none-any.whl", place)
    make_wheel(tmp_path / "rest", "stub-chat", "1.0", {"stub_chat.py": "VERSION = '1.0'\n"})
    ready.forget("chat", "llama")
    done = ready.start("chat", PIP_CACHE_DIR=str(tmp_path / "cache"), PIP_FIND_LINKS=str(tmp_path / "rest"))
    assert done.returncode == 0 and '"backend": "source"' in (ready.folder / ".venv/galen-llama.json").read_text()


def test_another_back_end_is_installed_once(ready):
    before = ready.log()
    (ready.folder / ".venv/galen-llama.json").write_text("[1]")  # whatever that is, it is no mark
    assert ready.start("setup", "--backend=cpu").returncode == 0
    assert (after := ready.log()) != before
    assert ready.start("chat", GALEN_BACKEND="cpu").returncode == 0
    assert ready.start("chat").returncode == 0
    assert ready.log() == after
    ready.forget("chat")  # as a changed requirement file does
    assert ready.start("chat").returncode == 0 and ready.log().count("--force-reinstall") == 2
    said_once(ready.start("setup", "--backend", "vulkan"), "no wheel index that fits answers")
    assert ready.start("chat").returncode == 0 and ready.log().count("--force-reinstall") == 2  # nothing was lost


@pytest.mark.parametrize("arguments", [["setup", "--backend", "abacus"], ["setup", "--everything"], ["setup", "now"]])
def test_wrong_options_of_setup(ready, arguments):
    said_once(ready.start(*arguments), "setup takes --all and --backend, with one of cpu, metal")


def test_no_network_is_said(ready):
    ready.forget("chat", "llama")
    done = ready.start("chat", PIP_NO_INDEX="0", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_FIND_LINKS="")
    said_once(done, r"could not be installed: no connection to the package index; see .*setup\.log")


def test_a_short_disk_is_said_before(ready):
    text = (ready.folder / "launcher.py").read_text()
    (ready.folder / "launcher.py").write_text(text.replace('"train": ', '"train": 10**12 + '))
    said_once(ready.start("demo"), r"the train set needs 1\d+ MB, and .* has \d+ MB free; make room")


@posix_only
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's full disk")
def test_a_full_disk_is_said(ready):
    log = ready.folder / ".venv/setup.log"
    log.unlink()
    log.symlink_to("/dev/full")
    ready.forget("chat")
    said_once(ready.start("chat"), "No space left on device: ")
    assert not (ready.folder / ".venv/galen-chat.json").exists()


@posix_only
def test_waiting_for_a_child_passes_its_status_and_ctrl_c(ready):
    """The way Windows hands over, which has no exec. The child ends late: Python may lose a status that comes fast."""
    child = "import os, time, signal as s; s.signal(2, lambda *_: time.sleep(1) or os._exit(3)); print('up', flush=1)"
    code = f"import sys, launcher; sys.exit(launcher.run(['-c', {child + '; s.pause()'!r}]))"
    process = subprocess.Popen([PYTHON, "-c", code], cwd=ready.folder, env=ready.environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 3 and process.stderr.read() == ""

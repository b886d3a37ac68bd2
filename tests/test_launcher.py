"""The launcher, run for real in copies with small stub packages: no network, nothing of this machine's pip settings."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import launcher

ROOT = Path(__file__).resolve().parent.parent
PYTHON = getattr(sys, "_base_executable", sys.executable)
FILES = {"chat": "llama-cpp-python==0.3.36  # runs\nstub-chat==1.0\n", "train": "torch==2.13.0\n",
         "dev": "ruff==1.0\nmypy==1.0\npytest==1.0\n"}
CHECK = """
import os, sys
print("ran", __package__, sys.argv[1:], os.getcwd())
sys.exit(os.environ.get("FAIL") == __package__ and 5)
"""
COMMANDS = """
import json, os, sys
import stub_chat
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "chat": stub_chat.VERSION,
                  "leaked": "PYTHONSTARTUP" in os.environ, "path": sys.path}))
sys.exit(int(os.environ.get("STATUS", "0")))
"""
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals and shell scripts of POSIX")


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """A wheel of a few text files, as small as pip takes it."""
    base = name.replace("-", "_")
    info = f"{base}-{version}.dist-info"
    texts = files | {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
                     f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    texts[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*texts, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{base}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name_in_it, text in texts.items():
            archive.writestr(name_in_it, text)
    return path


class Copy:
    """A folder with the real launcher, stub requirement files, a stub command line, and its own pip settings."""

    def __init__(self, folder: Path, wheels: Path):
        self.folder, self.wheels = folder, wheels

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("PIP_", "PYTHON", "GALEN_"))}
        home = self.folder.parent / "home"
        return {**kept, "HOME": str(home), "PIP_CONFIG_FILE": os.devnull, "PIP_CACHE_DIR": str(home / "cache"),
                "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels),
                "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", **more}  # nobody listens there

    def command(self, *arguments: str) -> list[str]:
        return [PYTHON, str(self.folder / "launcher.py"), *arguments]

    def start(self, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*arguments), cwd=cwd or self.folder, env=self.environment(**more),
                              capture_output=True, text=True, timeout=300)

    def popen(self, *arguments: str, **more: str) -> subprocess.Popen:
        return subprocess.Popen(self.command(*arguments), env=self.environment(**more), text=True,
                                start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def forget(self, *marks: str) -> None:
        for mark in marks:
            (self.folder / f".venv/galen-{mark}.json").unlink()

    def log(self) -> str:
        return (self.folder / ".venv/setup.log").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "llama-cpp-python", "0.3.36", {"llama_cpp.py": "def llama_backend_init(): pass\n"})
    for version in ("1.0", "1.1"):
        make_wheel(folder, "stub-chat", version, {"stub_chat.py": f"VERSION = '{version}'\n"})
    make_wheel(folder, "torch", "2.13.0", {"torch.py": ""})
    for name in ("ruff", "mypy", "pytest"):
        make_wheel(folder, name, "1.0", {f"{name}/__init__.py": "", f"{name}/__main__.py": CHECK})
    return folder


@pytest.fixture
def fresh(tmp_path, wheels) -> Copy:
    """A copy in which nothing is set up."""
    folder = tmp_path / "galen copy"
    (folder / "requirements").mkdir(parents=True)
    (folder / "ui").mkdir()
    (folder / "ui/commands.py").write_text(COMMANDS, encoding="utf-8")
    shutil.copy(ROOT / "launcher.py", folder)
    for name, text in FILES.items():
        (folder / f"requirements/{name}.txt").write_text(text, encoding="utf-8")
    return Copy(folder, wheels)


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
    (["WARNING: Retrying, after connection broken by 'x'", "ERROR: No matching distribution"], launcher.OFFLINE),
    (["WARNING: Retrying, after connection broken by 'x'", "ERROR: Failed building wheel for x"], "it did not compile"),
    (["Collecting x", "ERROR: Could not find a version", "ERROR: No matching distribution found for x"],
     "No matching distribution found for x"),
    (["Traceback", "ValueError: odd"], "ValueError: odd"), ([], "it said nothing")])
def test_the_reason_is_what_pip_said(lines, meaning):
    assert launcher.reason(lines) == meaning


def test_progress_says_what_comes_and_how_far(capsys):
    progress = launcher.Progress("chat set", 3)
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
    junk = {"PYTHONPATH": str(tmp_path / "junk"), "PYTHONSTARTUP": "x.py"}
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
def test_an_environment_whose_python_does_not_start_is_made_anew(ready):
    python = ready.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    done = ready.start("chat")
    assert done.returncode == 0 and "Making" in done.stdout and '"chat": "1.0"' in done.stdout


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


@posix_only
@pytest.mark.parametrize("script", ["Start-Linux.sh", "Start-macOS.command"])
def test_the_start_file_takes_the_newest_python_that_works(tmp_path, script):
    folder, programs = tmp_path / "galen copy", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    shutil.copy(ROOT / script, folder)
    (programs / "dirname").symlink_to(shutil.which("dirname"))
    shown = {"env": {"PATH": str(programs)}, "capture_output": True, "text": True}
    missing = subprocess.run(["/bin/sh", folder / script, "x"], **shown)
    said_once(missing, r"Galen needs Python 3\.11 to 3\.14, and none was found\. .*https://www\.python\.org/downloads/")
    for name, is_suitable in (("python3.14", False), ("python3.12", True), ("python3", True)):
        script_text = f'#!/bin/sh\n[ "$1" = -c ] && exit {int(not is_suitable)}\necho {name} "$@"\nexit 7\n'
        (programs / name).write_text(script_text)
        (programs / name).chmod(0o755)
    done = subprocess.run([folder / script, "chat", "a  b"], **shown)
    assert (done.returncode, done.stdout) == (7, f"python3.12 {folder}/launcher.py chat a  b\n")


def test_the_windows_start_file_has_windows_line_ends():
    data = (ROOT / "Start-Windows.bat").read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 10 and data.isascii()
    assert b'"%~dp0launcher.py" %*' in data

"""Makes Galen's own environment (.venv beside this file), then hands over to ui/commands.py inside it.

    python launcher.py                                  set up what is missing, start the app
    python launcher.py setup [--all] [--backend NAME]   only set up: chat set, with --all training set as well
    python launcher.py test [ARGS...]                   lint, types, tests; with ARGS only pytest ARGS
    python launcher.py COMMAND ARGS...                  anything else is ui/commands.py's

Standard library only. Exit status: 0 done, 2 the user can fix it (one line on stderr), 1 our bug, or the command's own.
"""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple


def python_problem(version: tuple, is_64bit: bool, is_free_threaded: bool) -> str:
    """What is wrong with this Python, '' when nothing is: every pin has wheels for what passes."""
    if (3, 11) <= tuple(version[:2]) <= (3, 14) and is_64bit and not is_free_threaded:
        return ""
    found = f"Python {version[0]}.{version[1]}" + " (32-bit)" * (not is_64bit) + " (free-threaded)" * is_free_threaded
    return found + " was found; Galen needs an ordinary 64-bit Python 3.11 to 3.14: https://www.python.org/downloads/"


PROBLEM = python_problem(sys.version_info, sys.maxsize > 2**32, "free-threading" in sys.version)
if PROBLEM and __name__ == "__main__":  # an older Python parses this file, but can not evaluate what follows
    sys.stderr.write("Galen: " + PROBLEM + "\n")
    sys.exit(2)

sys.path.insert(0, str(Path(__file__).resolve().parent))  # under PYTHONSAFEPATH nobody has done that
from setup import kit, pip, place  # noqa: E402, after the check: an older Python would not get through these

# The public wheel indexes of the two upstreams that keep their own.
LLAMA_WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"  # then /cpu, /metal, /vulkan, /cu118 ...
LLAMA_CUDA = {"Linux": (118, 121, 122, 123, 124, 125, 130, 132), "Windows": (118, 124, 125, 130, 132)}
TORCH_CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
INDEX_WAIT_S = 4.0  # for all questions "does this index answer?" of one set together
NEED_MB = {"chat": 1_100, "train": 2_200, "dev": 450}  # free disk asked for each set; measured, see docs/setup.md
CUDA_TRAIN_MB = 9_000  # the same for torch with its CUDA libraries
CORE_MINUTES = 9  # processor time of one llama.cpp build; measured as well
TRAINING_COMMANDS = ("train", "export", "evaluate", "demo")
CHECKS = {"lint": ["ruff", "check"], "types": ["mypy"], "tests": ["pytest"]}
BACKENDS = ("cpu", "metal", "cuda", "vulkan", "source")
COMPILERS = {"Darwin": "xcode-select --install", "Windows": "Visual Studio Build Tools, 'Desktop development with C++'",
             "Linux": "sudo apt install build-essential (Debian, Ubuntu) or sudo dnf install gcc-c++ (Fedora)"}
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG, LOCK = VENV / "setup.log", VENV / "galen.lock"


class UserError(Exception):
    """Something the user can fix, said in one line."""


class Facts(NamedTuple):
    """What this machine has, as far as it decides which wheels fit."""
    system: str = "Linux"           # Linux, Darwin, Windows
    arch: str = "x86_64"            # or arm64
    cuda: int = 0                   # newest CUDA the NVIDIA driver runs, 124 for 12.4; 0 without such a card
    capability: int = 0             # of the first card, 75 for 7.5
    cublas: tuple[int, ...] = ()    # CUDA majors whose libraries are here: the wheels bring none
    has_vulkan_card: bool = False   # a discrete one; on integrated ones llama.cpp is often slower than on the CPU
    has_avx2: bool = True           # the prebuilt cpu and vulkan wheels for x86_64 use it


def pins(name: str) -> dict[str, str]:
    """Package -> 'package==version', as requirements/NAME.txt pins them."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    return {found[1].lower().replace("_", "-"): found[0] for found in re.finditer(r"^([\w.-]+)==[\w.]+", text, re.M)}


def read_mark(name: str) -> dict:
    """The completion mark of a part of the set-up, {} where there is none."""
    with contextlib.suppress(OSError, ValueError, TypeError):  # TypeError: JSON, but no object
        return {**json.loads((VENV / f"galen-{name}.json").read_text(encoding="utf-8"))}
    return {}


def write_mark(name: str, values: dict[str, str]) -> None:
    (part := VENV / f"galen-{name}.part").write_text(json.dumps(values), encoding="utf-8")
    part.replace(VENV / f"galen-{name}.json")


def output(*command: str | Path, within_s: float = 20) -> str:
    """What a command prints; '' where it is absent, fails or hangs."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, errors="replace", check=True,
                              timeout=within_s, env=environment()).stdout
    return ""


def missing_sets(names: list[str], asked: str) -> dict[str, dict[str, str]]:
    """Set -> the mark it is to get ("python": "" without a working environment), for those not installed as asked.

    Also those of which packages are gone: .venv may have been deleted in part.
    """
    python, version = read_mark("venv").get("python", ""), "import sys; print('%d.%d' % sys.version_info[:2])"
    there = place.packages(VENV)
    if python and (not there or output(PYTHON, "-ISc", version).strip() != python):
        python = ""  # gone, does not start, or replaced by another one
    hashes = {n: hashlib.sha256((ROOT / f"requirements/{n}.txt").read_bytes()).hexdigest() for n in names}
    marks = {n: {"sha256": hashes[n], "python": python} for n in names}
    found = {n: read_mark(n) for n in names}
    is_other = bool(asked) and asked != read_mark("llama").get("asked")
    return {n: mark for n, mark in marks.items() if {**found[n], **mark} != found[n]
            or len(there) < int(found[n].get("packages", 0)) or (n == "chat" and is_other)}


def machine_facts() -> Facts:
    """What is here, asked in other processes: a graphics driver may crash or hang."""
    load = (sys.executable, "-c", "import sys, ctypes; print(ctypes.CDLL(sys.argv[1], winmode=0))")  # 0: along PATH
    arch = {"AMD64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    version = re.search(r"CUDA[\w ]*Version\s*:\s*(\d+)\.(\d)", output("nvidia-smi"))
    capability = re.match(r"(\d+)\.(\d)", output("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"))
    blas, vulkan = ("cublas64_{}.dll", "vulkan-1.dll") if os.name == "nt" else ("libcublas.so.{}", "libvulkan.so.1")
    cublas = tuple(n for n in (11, 12, 13) if version and output(*load, blas.format(n)))
    has_card = "DISCRETE_GPU" in output("vulkaninfo", "--summary") or bool(version and output(*load, vulkan))
    has_avx2 = (sys.platform == "win32" and bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(40))) or (
        sys.platform == "linux" and "avx2" in Path("/proc/cpuinfo").read_text().split())
    return Facts(platform.system(), arch, int(version[1] + version[2]) if version else 0,
                 int(capability[1] + capability[2]) if capability else 0, cublas, has_card, has_avx2)


def llama_indexes(facts: Facts, asked: str) -> list[str]:
    """The wheel indexes of llama-cpp-python that fit, best first; asked names one back end, or is '' for the best."""
    least, most = {11: 60, 12: 60, 13: 75}, {11: 89}  # compute capability the wheels of a CUDA major were built for
    cuda = [n for n in LLAMA_CUDA.get(facts.system, ()) if n <= facts.cuda and facts.arch == "x86_64"
            and least[n // 10] <= facts.capability <= most.get(n // 10, 999)
            and (asked == "cuda" or n // 10 in facts.cublas)]
    found = [f"cu{max(cuda)}"] if cuda else []
    found += {("Darwin", "arm64"): ["metal"], ("Linux", "arm64"): ["cpu"]}.get((facts.system, facts.arch), [])
    if facts.arch == "x86_64" and facts.system in LLAMA_CUDA and facts.has_avx2:
        found += ["vulkan"] * (facts.has_vulkan_card or asked == "vulkan") + ["cpu"]
    return [name for name in found if name.startswith({"cuda": "cu1"}.get(asked, asked))]


def is_reachable(page: str, until: float) -> bool:
    """True when a page answers before time.monotonic() reads until; a process, because a name look-up can hang."""
    code = ("import sys, urllib.request as u\ntry: u.urlopen(sys.argv[1]); print('yes')\n"
            "except u.URLError as e: 'CERTIFICATE' in str(e) and print('yes: pip has its own certificates')")
    return bool(output(sys.executable, "-c", code, page, within_s=max(0.01, until - time.monotonic())))


def llama_plans(facts: Facts, asked: str) -> Iterator[tuple[str, list[str]]]:
    """(back end, pip arguments) in the order to try them. Raises UserError where compiling is left and can not be."""
    pin, until = pins("chat")["llama-cpp-python"], time.monotonic() + INDEX_WAIT_S
    if kit.read(ROOT):
        if asked not in ("", "cpu"):
            raise UserError(f"a kit holds llama.cpp for cpu only; with a network, delete {kit.FILE} here for {asked}")
        yield "cpu", ["--only-binary=:all:", pin]
        return
    binary = ["--only-binary=llama-cpp-python", "--retries=1", "--timeout=15", pin]
    urls = {name: f"{LLAMA_WHEELS}/{name}" for name in llama_indexes(facts, asked)}
    urls = {name: url for name, url in urls.items() if is_reachable(f"{url}/llama-cpp-python/", until)}
    yield from ((name, ["--extra-index-url", url, *binary]) for name, url in urls.items() if name != "cpu")
    if asked in ("", "cpu"):
        built = output(PYTHON, "-m", "pip", "cache", "list", "--format=abspath", "llama_cpp_python").splitlines()
        # compiled here before (pip by itself asks an index for the source first); then, also from a folder or mirror
        yield from (("source", [wheel]) for wheel in built if f"-{pin.partition('==')[2]}-" in wheel)
        yield "cpu", [*(["--extra-index-url", urls["cpu"]] if "cpu" in urls else []), *binary]
    if asked in ("", "cpu", "source"):
        if not has_compiler(facts.system):
            raise UserError("llama-cpp-python must be compiled here (no ready-made wheel fits or can be reached), but "
                            f"there is no C++ compiler; install one, start again: {COMPILERS.get(facts.system, 'g++')}")
        minutes, anew = 1 + CORE_MINUTES // (os.cpu_count() or 1), ["--no-cache-dir"] if asked == "source" else []
        said = "" if anew else "; no ready-made wheel fits or can be reached, and pip keeps the result"
        print(f"Compiling llama-cpp-python for this machine: about {minutes} minutes, once{said}.", flush=True)
        yield "source", ["--no-binary=llama-cpp-python", *anew, pin]


def has_compiler(system: str) -> bool:
    if system == "Darwin":  # /usr/bin/cc is always there, and without the tools only offers to install them
        return bool(output("/usr/bin/xcode-select", "-p"))
    if system == "Windows":
        finder = Path(os.environ.get("PROGRAMFILES(X86)", "")) / "Microsoft Visual Studio/Installer/vswhere.exe"
        wanted = ("-products", "*", "-requires", "Microsoft.VisualStudio.Component.VC.Tools.x86.x64")
        return bool(shutil.which("cl") or output(finder, *wanted))
    c, cpp = (os.environ.get("CC", "cc"), "gcc", "clang"), (os.environ.get("CXX", "c++"), "g++", "clang++")
    return any(map(shutil.which, c)) and any(map(shutil.which, cpp))


def pip_install(progress: pip.Progress, *arguments: str | Path) -> str:
    """Install into the environment: '' when it succeeded, else why not in a few words."""
    return pip.run(progress, [PYTHON, "-m", "pip", "install", *pip.QUIET, "--no-warn-script-location", *arguments],
                   environment(), LOG)


def environment(**more: str) -> dict[str, str]:
    """The user's environment without what would lead another Python astray."""
    bad = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__",
           "PYTHONINSPECT", "PYTHONOPTIMIZE", *(f"PIP_{name}" for name in pip.ASTRAY))
    ours = {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", "PIP_USER": "0"}
    patience = {"PIP_DEFAULT_TIMEOUT": "20", "PIP_RETRIES": "2"}  # unless the user asked for more
    kits = kit.environment(ROOT) if kit.read(ROOT) else {}
    users = {k: v for k, v in os.environ.items() if k not in bad and not (kits and k.startswith("PIP_"))}
    return patience | users | ours | kits | more


def lock(file: IO[bytes]) -> None:
    """Wait until an open file is locked by us. The system unlocks it when its holders end, however they end."""
    news = "Another start of Galen is setting up; waiting for it.\n"
    while True:
        with contextlib.suppress(BlockingIOError, PermissionError):  # somebody else has it
            if sys.platform == "win32":
                import msvcrt
                return msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.set_inheritable(file.fileno(), True)
        print(end=news, flush=True)
        news = ""
        time.sleep(0.3)


def make_venv() -> None:
    """A fresh environment with pip, in place of whatever unfinished or broken one is there."""
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry not in (LOCK, LOG):
            entry.unlink()
    print("Making the environment, .venv", flush=True)
    base = getattr(sys, "_base_executable", "") or sys.executable  # never another environment's Python
    ran = subprocess.run([base, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace", env=environment(), close_fds=False)
    if ran.returncode:
        raise UserError(f"this Python can not make an environment ({pip.reason(ran.stdout.splitlines())}); "
                        "on Debian or Ubuntu: sudo apt install python3-venv")
    write_mark("venv", {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "place": str(VENV)})


def settle() -> None:
    """Write the environment's own path anew where the folder was moved since the last start."""
    mark = read_mark("venv")
    if mark.get("place", str(VENV)) == str(VENV):
        return
    with contextlib.suppress(OSError), LOCK.open("ab") as file:  # where nothing can be written, all else works
        lock(file)
        place.repair(VENV, PYTHON.parent, mark["place"])
        write_mark("venv", mark | {"place": str(VENV)})


def load_fault() -> str:
    """Why llama.cpp does not load in the environment, '' if it does; asked of another process, which may crash."""
    code = "import llama_cpp; llama_cpp.llama_backend_init()"
    try:
        ran = subprocess.run([PYTHON, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, errors="replace", timeout=120, env=environment())
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}"
    said = ran.stderr.strip().splitlines() or [f"it ended with status {ran.returncode}"]
    return said[-1][:200] if ran.returncode else ""


def install_llama(facts: Facts, asked: str) -> None:
    """The best llama-cpp-python that installs and loads here."""
    pin, before, why = pins("chat")["llama-cpp-python"], read_mark("llama"), "no wheel index that fits answers"
    asked = asked or before.get("asked", "")
    is_there = any(name.startswith("llama_cpp_python-") for name in place.packages(VENV))
    if is_there and before.get("pin") == pin and before["asked"] == asked:
        return
    for backend, arguments in llama_plans(facts, asked):
        (VENV / "galen-llama.json").unlink(missing_ok=True)
        why = pip_install(pip.Progress(f"llama-cpp-python, {backend}"), "--force-reinstall",
                          "-c", ROOT / "requirements/chat.txt", *arguments)
        fault = "" if why else load_fault()
        if not why and not fault:
            return write_mark("llama", {"pin": pin, "asked": asked, "backend": backend})
        why = why or f"the wheel for {backend} does not load here ({fault})"
        if why == pip.OFFLINE and "--extra-index-url" not in arguments:
            break
        print(f"  not so: {why!a}", flush=True)
    if before and not load_fault():
        write_mark("llama", before)  # what was there before is still there
    raise UserError(f"llama-cpp-python could not be installed: {why}; see {LOG}")


def install_set(name: str, mark: dict[str, str], facts: Facts, asked: str) -> None:
    """Install one requirement file over what is there, then write its completion mark."""
    file, before = ROOT / f"requirements/{name}.txt", list(NEED_MB)[:list(NEED_MB).index(name)]
    picks_torch = name == "train" and facts.system == "Linux"  # the usual one brings CUDA, that index's does not
    need_mb = CUDA_TRAIN_MB if picks_torch and facts.cuda else NEED_MB[name]
    free_mb = shutil.disk_usage(VENV).free // 1_000_000
    if free_mb < need_mb:
        raise UserError(f"the {name} set needs {need_mb} MB, and {VENV} has {free_mb} MB free; make room, start again")
    (VENV / f"galen-{name}.json").unlink(missing_ok=True)
    for info in place.infos(VENV):
        if not (info / "INSTALLER").exists():  # pip writes it after the last file: cut off, to be copied again
            shutil.rmtree(info)
    if name == "chat":
        install_llama(facts, asked)
    arguments = [f"-c{ROOT}/requirements/{n}.txt" for n in before]
    asks_torch = picks_torch and not facts.cuda and not kit.read(ROOT)
    if asks_torch and is_reachable(f"{TORCH_CPU_WHEELS}/torch/", time.monotonic() + INDEX_WAIT_S):
        arguments += ["--extra-index-url", TORCH_CPU_WHEELS]
    if why := pip_install(pip.Progress(f"{name} set", len(pins(name))), "-r", file, *arguments):
        raise UserError(f"the {name} set could not be installed: {why}; see {LOG}")
    write_mark(name, mark | {"packages": str(len(place.packages(VENV)))})


def set_up(names: list[str], asked: str) -> None:
    """Everything missing, one process at a time."""
    if VENV.is_file() or (VENV.exists() and not LOCK.exists() and any(VENV.iterdir())):
        raise UserError(f"{VENV} was not made by Galen; move it away or delete it, and start again")
    VENV.mkdir(exist_ok=True)
    with LOCK.open("ab") as file:
        lock(file)
        began, facts = time.monotonic(), machine_facts()
        if packed := kit.read(ROOT):
            print("Checking the kit", flush=True)
            if why := kit.problem(packed, names, facts.has_avx2) or kit.damage(ROOT, is_whole=not read_mark("venv")):
                raise UserError(why)
            for name in kit.absent_models(ROOT):
                print(f"{name} of the kit is not here: deleted, or not copied; Galen works without it", flush=True)
        if not all(mark["python"] for mark in missing_sets(names, asked).values()):
            make_venv()
        for name, mark in missing_sets(names, asked).items():
            install_set(name, mark, facts, asked)
        print(f"Set up: {', '.join(names)}; {time.monotonic() - began:.0f} s", flush=True)


def run(arguments: list[str], cwd: Path | None = None, is_last: bool = False, python: str | Path = PYTHON) -> int:
    """The exit status of the environment's Python with Galen's folders importable; the last one takes our place."""
    command = [str(python), *arguments]
    return hand_over(command, environment(PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1"), cwd, is_last)


def hand_over(command: list[str], ours: dict[str, str], cwd: Path | None = None, is_last: bool = True) -> int:
    """The exit status of a command; where the system can do that, it takes our place."""
    if is_last and os.name != "nt":
        os.execve(command[0], command, ours)
    process = subprocess.Popen(command, env=ours, cwd=cwd)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # it got the same Ctrl-C, and answers it
            return process.wait()


def run_checks(arguments: list[str]) -> int:
    """Lint, types, tests until one fails, or only pytest with arguments; the status of the last one run."""
    for name, command in ({"tests": ["pytest", *arguments]} if arguments else CHECKS).items():
        print(f"== {name}: {' '.join(command)}", flush=True)
        if status := run(["-m", *command], None if arguments else ROOT):
            return status
    return 0


def main(arguments: list[str]) -> int:
    """Set up what the command needs, then run it. Raises UserError."""
    command = next((a for a in arguments if not a.startswith("-")), "")
    if command == "doctor":  # standard library alone is enough for it: the set-up may be what is broken
        python = PYTHON if output(PYTHON, "-ISc", "print('yes')") else sys.executable
        return run(["-m", "ui.commands", *arguments], is_last=True, python=python)
    asked, names = os.environ.get("GALEN_BACKEND", ""), ["chat"]
    if command == "setup":
        options = re.fullmatch(r"setup(?: (--all)| --backend[ =](\w+))*", " ".join(arguments))
        asked = (options[2] or asked) if options else "?"
        names += ["train"] if options and options[1] else []
    elif command in (*TRAINING_COMMANDS, "test") and not {"-h", "--help"} & set(arguments):
        names += ["train", "dev"] if command == "test" else ["train"]
    if asked not in ("", *BACKENDS):
        raise UserError(f"'{' '.join(arguments)}': setup takes --all and --backend, with one of {', '.join(BACKENDS)}")
    if missing_sets(names, asked):
        other = kit.other_python(kit.read(ROOT))
        if other and output(*other, "-c", "print('yes')"):
            return hand_over([*other, str(ROOT / "launcher.py"), *arguments], environment())
        if why := place.unusable(str(ROOT)) or place.problem(len(str(ROOT)), names, place.has_long_paths()):
            raise UserError(why)
        set_up(names, asked)
    settle()
    if command == "setup":
        print("Galen is set up.")
        return 0
    return run_checks(arguments[1:]) if command == "test" else run(["-m", "ui.commands", *arguments], is_last=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (UserError, KeyboardInterrupt, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        said = f"{error.strerror}: {error.filename or VENV}" if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"Galen: {said or 'stopped; start again to go on'}\n")
        sys.exit(2)

"""A kit: all that sets Galen up on a machine like this one without a network, gathered into one folder."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import launcher
from models import library, runs
from models.errors import UserError
from models.header import read_header
from models.opened import open_header
from models.projector import projector_for
from models.split import files_of, part_of
from setup import kit, pip

# llama.cpp without the instructions of the processor that compiles it: on x86_64 up to AVX2, FMA, F16C and BMI2, which
# Intel's have since 2013 and AMD's since 2015; elsewhere the least that the architecture has.
PORTABLE = "-DGGML_NATIVE=OFF"
BASELINE = {"x86_64": "AVX2, FMA, F16C and BMI2"}
LLAMA = "llama-cpp-python"
NEED_MB = {"chat": 500, "train": 1_500}         # of wheels; measured
READ_ME = "READ-ME-FIRST.txt"
APP = ("CHANGELOG.md", "LICENSE", "README.md", "Start-*", "bench", "convert", "corpus", "docs", "evaluation",
       "launcher.py", "models", "pyproject.toml", "requirements", "requirements.txt", "runtime", "setup", "tasks",
       "tests", "train", "ui")
WORDS = """Galen, to be set up without a network

1. Copy this folder to the disk of the other machine.
2. There, start {starter}.

It is for {system} on {arch} with Python {python}, which is not in the kit (https://www.python.org/downloads/){more}.
The set-up checks every file against {sums} before it installs anything, and takes about {gigabytes:.1f} GB of disk.
"""
STARTERS = {"Windows": "Start-Windows.bat", "Darwin": "Start-macOS.command", "Linux": "Start-Linux.sh"}


@dataclass(frozen=True, kw_only=True)
class KitConfig:
    """out: the folder to make; models: names as `launcher.py models` lists them, or paths; llama_wheel: compiled
    before, on whatever machine, so that nothing is compiled here."""
    out: str = ""
    models: tuple[str, ...] = ()
    has_training: bool = False
    llama_wheel: str = ""


def make(config: KitConfig, root: Path = runs.ROOT, python: str = sys.executable) -> Path:
    """Gather the kit; returns its folder, which appears once it is whole.

    root: the Galen that is packed; python: whose environment's pip gathers the wheels. Raises UserError for a model
    that is not here, a folder in use, too little disk, no compiler, or wheels that can not be had.
    """
    here = kit.machine()
    name = f"galen-kit-{here['system'].lower()}-{here['arch']}-python{here['python']}"
    out = runs.typed(config.out).resolve() if config.out else root.parent / name
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; choose another place for the kit with --out.")
    sets = ["chat", "train"] if config.has_training else ["chat"]
    models = chosen(config.models)
    need_mb = sum(NEED_MB[one] for one in sets) + sum(path.stat().st_size for path in models.values()) / 1e6
    runs.make_folder(out.parent)
    free_mb = shutil.disk_usage(out.parent).free / 1e6
    if free_mb < need_mb:
        raise UserError(f"The kit takes about {need_mb:,.0f} MB, and {out.parent} has {free_mb:,.0f} MB free; make "
                        "room, or choose another place with --out.")
    part = out.with_name(out.name + ".part")
    if part.exists():                           # of one that was killed
        shutil.rmtree(part)
    try:
        _pack(part, root, python, config, models)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if out.exists():
        out.rmdir()
    part.replace(out)
    return out


def _pack(part: Path, root: Path, python: str, config: KitConfig, models: dict[str, Path]) -> None:
    here, sets = kit.machine(), ["chat", "train"] if config.has_training else ["chat"]
    for path in _app_files(root):
        _copy(root / path, part / path)
    wheels = part / kit.WHEELS
    runs.make_folder(wheels)
    shutil.copy(_llama_wheel(root, python, config.llama_wheel), wheels)
    for name in sets:
        _gather(root, python, name, wheels)
    for to, path in models.items():
        print(f"  model {to}", flush=True)
        _copy(path, part / "models" / "files" / to)
    baseline = BASELINE.get(here["arch"], "")
    runs.write_json(part / kit.FILE, {**here, "sets": sets, "needs_avx2": bool(baseline),
                                      "glibc": platform.libc_ver()[1], "llama": baseline})
    size = sum(launcher.NEED_MB[name] for name in sets) / 1e3
    more = f", a processor with {baseline}" if baseline else ""
    more += f", glibc {platform.libc_ver()[1]} or newer" if platform.libc_ver()[1] else ""
    (part / READ_ME).write_text(WORDS.format(
        **here, starter=STARTERS.get(here["system"], "launcher.py"), more=more, sums=kit.SUMS, gigabytes=size),
        encoding="utf-8")
    files = sorted(path for path in part.rglob("*") if path.is_file())
    lines = [f"{kit.sha256(path)}  {path.relative_to(part).as_posix()}\n" for path in files]
    (part / kit.SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def _app_files(root: Path) -> list[Path]:
    """The files of the app, relative to root: what git tracks, or of a copy without git what belongs to Galen."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True) if (
        root / ".git").exists() and shutil.which("git") else None
    if listed and listed.returncode == 0:
        names = [Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name]
        return [name for name in names if (root / name).is_file()]
    tops = [top for pattern in APP for top in root.glob(pattern)]
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    return [path.relative_to(root) for path in files if path.is_file() and _is_apps(path, root)]


def _is_apps(path: Path, root: Path) -> bool:
    """False for the user's folder, and for what is made while Galen runs."""
    users = {runs.home(), root / "models" / "files"} & set(path.parents)
    return not users and "__pycache__" not in path.parts and path.suffix != ".part"


def _copy(path: Path, to: Path) -> None:
    runs.make_folder(to.parent)
    with runs.whole_file(to) as whole:
        shutil.copy2(path, whole)


def chosen(names: Iterable[str]) -> dict[str, Path]:
    """The files of all these models by their places in the kit. Raises UserError if two want the same place."""
    found: dict[str, Path] = {}
    for name in names:
        for path, to in model_files(name):
            if not path.samefile(found.setdefault(to, path)):
                raise UserError(f"{found[to]} and {path} would both be {to} in the kit; rename one of them.")
    return found


def model_files(name: str) -> list[tuple[Path, str]]:
    """What belongs to a model, each with its place below the models folder.

    Raises UserError if there is none, or it can not go without the program that holds it.
    """
    try:
        path = library.find_model(name)
    except UserError as error:
        try:
            base = library.find_base(name)
        except UserError:
            raise error from None
        folder = name.replace("/", "--") if library.HUB_NAME.fullmatch(name) else base.name
        inside = [(one, one.relative_to(base)) for one in base.rglob("*") if one.is_file()]
        return [(one, f"{folder}/{place.as_posix()}") for one, place in inside
                if not any(part.startswith(".") for part in place.parts)]        # .git, .env: none of the model's
    if path.parent == runs.DEMO_BASE:
        return []                               # the app has it
    header = open_header(path)
    if header.template and not read_header(path).template:
        raise UserError(f"{name} has its chat template from {path.parent}, and would have none in a kit; "
                        "get the model as a GGUF of its own.")
    title = path.name if path.suffix == ".gguf" else re.sub(r"[^\w.-]+", "-", name) + ".gguf"
    files = [(one, one.name) for one in files_of(path)] if part_of(path.name) else [(path, title)]
    if seeing := projector_for(header, ""):     # in the kit it belongs to the model by its name, as before by its place
        files.append((seeing, f"{Path(files[0][1]).stem}.mmproj.gguf"))
    return files


def _llama_wheel(root: Path, python: str, given: str) -> Path:
    """llama-cpp-python for every machine like this one: the one that is given, one compiled before, or compiled now."""
    pin = _pins(root, "chat")[LLAMA]
    wanted = f"llama_cpp_python-{pin.partition('==')[2]}-"
    if given:
        path = runs.typed(given)
        if not (path.is_file() and path.name.startswith(wanted) and path.suffix == ".whl"):
            raise UserError(f"--llama-wheel is {given}; name a file {wanted}....whl.")
        return path
    kept = runs.home() / "cache" / "kit" / f"{pin}-{kit.machine()['arch']}"
    packed = root / kit.WHEELS                  # this Galen came as a kit itself
    if not any([*packed.glob(f"{wanted}*.whl"), *kept.glob(f"{wanted}*.whl")]):
        _compile(pin, python, kept)
    return next(path for folder in (packed, kept) for path in folder.glob(f"{wanted}*.whl"))


def _compile(pin: str, python: str, kept: Path) -> None:
    if not launcher.has_compiler(platform.system()):
        raise UserError("llama.cpp must be compiled for the kit, and there is no C++ compiler; install one, start "
                        f"again: {launcher.COMPILERS.get(platform.system(), 'g++')}")
    minutes = 1 + launcher.CORE_MINUTES // (os.cpu_count() or 1)
    print(f"Compiling {LLAMA} for other machines: about {minutes} minutes, once.", flush=True)
    runs.make_folder(kept.parent)
    with runs.scratch_folder(kept.parent) as made:
        _pip(python, LLAMA, "--no-deps", "--no-cache-dir", f"--no-binary={LLAMA}", "-w", made, pin,
             CMAKE_ARGS=PORTABLE, CFLAGS="", CXXFLAGS="")          # somebody's own may hold -march=native
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(made, kept)
        runs.make_folder(Path(made))            # for the one who deletes it


def _gather(root: Path, python: str, name: str, wheels: Path) -> None:
    """The wheels of one set, for this system and Python, but for llama.cpp's."""
    lines = [line for line in (root / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()
             if not line.startswith(LLAMA)]
    with runs.scratch_folder(wheels.parent) as folder:
        file = Path(folder, f"{name}.txt")
        file.write_text("\n".join(lines), encoding="utf-8")
        bounds: list[str | Path] = [] if name == "chat" else ["-c", root / "requirements/chat.txt"]
        _pip(python, f"wheels of the {name} set", "-w", wheels, "-r", file, *_torch_index(name), *bounds,
             count=len(lines))


def _torch_index(name: str) -> list[str]:
    """Where torch without CUDA comes from, where that fits; as launcher.py chooses it."""
    is_asked = name == "train" and platform.system() == "Linux" and not kit.read(launcher.ROOT)
    if is_asked and not launcher.machine_facts().cuda and launcher.is_reachable(
            f"{launcher.TORCH_CPU_WHEELS}/torch/", time.monotonic() + launcher.INDEX_WAIT_S):
        return ["--extra-index-url", launcher.TORCH_CPU_WHEELS]
    return []


def _pip(python: str, label: str, *arguments: str | Path, count: int = 0, **more: str) -> None:
    log = runs.home() / "cache" / "kit" / "pip.log"
    runs.make_folder(log.parent)
    why = pip.run(pip.Progress(label, count), [python, "-m", "pip", "wheel", *pip.QUIET, *arguments],
                  launcher.environment(**more), log)
    if why:
        raise UserError(f"For the kit, {label} could not be had: {why}; see {log}")


def _pins(root: Path, name: str) -> dict[str, str]:
    text = (root / f"requirements/{name}.txt").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^([\w.-]+)==[\w.]+", text, re.M)}


def told(folder: Path) -> str:
    """What is said of a kit that was made."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    made = json.loads((folder / kit.FILE).read_text(encoding="utf-8"))
    needs = f", and a processor with {made['llama']}" if made["llama"] else ""
    return (f"The kit is in {folder} ({size / 1e9:.1f} GB), for {made['system']} on {made['arch']} with Python "
            f"{made['python']}{needs}. Copy the folder to the other machine; {READ_ME} says how it goes on.")

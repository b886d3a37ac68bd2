"""What does the launcher ask of a machine: seconds of each later start, minutes and megabytes of set-up, wheels?

    .venv/bin/python bench/launcher.py            the later start against bare Python, in turns
    .venv/bin/python bench/launcher.py --setup    set-up of each set in a copy, from nothing
    .venv/bin/python bench/launcher.py --wheels   every pin through pip download, per system and Python (about 6 GB)

Prints a table, then one JSON object.
"""

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
SETS = ("chat", "train", "dev")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OLD_LINUX = tuple(f"manylinux_2_{n}_x86_64" for n in range(28, 4, -1)) + tuple(
    f"manylinux{year}_x86_64" for year in ("2014", "2010", "1"))
SYSTEMS = {  # name -> (sys_platform, os_name, platform_system, platform_machine), platform tags
    "Windows x86_64": (("win32", "nt", "Windows", "AMD64"), ("win_amd64",)),
    "macOS arm64": (("darwin", "posix", "Darwin", "arm64"), ("macosx_14_0_arm64",)),
    "Linux x86_64": (("linux", "posix", "Linux", "x86_64"), OLD_LINUX),
    "macOS x86_64": (("darwin", "posix", "Darwin", "x86_64"), ("macosx_14_0_x86_64",)),
}
NOT_PROMISED = ("macOS x86_64",)
SOURCE_ONLY = {"llama-cpp-python", "rouge-score"}  # compiled (launcher.py), and plain Python built by setuptools
STUB = "import time\nprint(time.time())\n"


def copy_of_the_launcher(folder: Path) -> Path:
    """launcher.py with its parts and its requirement files in folder, with a command line that does nothing."""
    shutil.copy(ROOT / "launcher.py", folder)
    for name in ("requirements", "setup"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "ui").mkdir()
    (folder / "ui/commands.py").write_text(STUB, encoding="utf-8")
    return folder / "launcher.py"


def timed(command: list[str]) -> tuple[float, float, str]:
    """(wall seconds, time it began, stdout) of a command that must succeed."""
    began = time.time()
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{command}: {ran.stderr}")
    return time.time() - began, began, ran.stdout


def later_start(turns: int) -> dict:
    """Seconds of a start with everything set up, whole and up to the first line of ui/commands.py."""
    python, bare, whole, first_line = sys._base_executable, [], [], []
    with tempfile.TemporaryDirectory() as folder:
        launcher = copy_of_the_launcher(Path(folder))
        (Path(folder) / ".venv").symlink_to(ROOT / ".venv")
        for _ in range(turns):
            bare.append(timed([python, "-c", "pass"])[0])
            seconds, began, said = timed([python, str(launcher), "nothing"])
            whole.append(seconds)
            first_line.append(float(said) - began)
    result = {name: round(statistics.median(values), 4) for name, values in
              (("bare_s", bare), ("start_s", whole), ("to_first_line_s", first_line))}
    result |= {"worst_s": round(max(whole), 4), "ratio": round(result["start_s"] / result["bare_s"], 1), "turns": turns}
    print(f"{'':24}{'median':>8}{'worst':>8}\n{'bare Python':24}{result['bare_s']:8.3f}{max(bare):8.3f}\n"
          f"{'start, all set up':24}{result['start_s']:8.3f}{max(whole):8.3f}   {result['ratio']} x\n"
          f"{'to ui/commands.py':24}{result['to_first_line_s']:8.3f}{max(first_line):8.3f}")
    return result


def fresh_setup() -> dict:
    """Seconds, processor seconds and megabytes of each set, installed one after the other into a copy."""
    rows, used = {}, 0.0
    print(f"{'set':8}{'wall s':>8}{'cpu s':>8}{'MB in all':>11}")
    with tempfile.TemporaryDirectory() as folder:
        launcher = str(copy_of_the_launcher(Path(folder)))
        for name, command in zip(SETS, (["setup"], ["setup", "--all"], ["test", "--version"]), strict=True):
            wall_s = timed([sys._base_executable, launcher, *command])[0]
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s, used = spent.ru_utime + spent.ru_stime - used, spent.ru_utime + spent.ru_stime
            mb = sum(p.lstat().st_blocks * 512 for p in (Path(folder) / ".venv").rglob("*")) / 1e6
            rows[name] = {"wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1), "mb_in_all": round(mb)}
            print(f"{name:8}{wall_s:8.1f}{cpu_s:8.1f}{mb:11.0f}", flush=True)
    return {"setup": rows}


def marker_environment(system: str, python: str) -> dict[str, str]:
    names = ("sys_platform", "os_name", "platform_system", "platform_machine")
    versions = {"python_version": python, "python_full_version": f"{python}.0", "implementation_version": f"{python}.0"}
    system_names = dict(zip(names, SYSTEMS[system][0], strict=True))
    return {**system_names, **versions, "implementation_name": "cpython", "extra": "",
            "platform_python_implementation": "CPython", "platform_release": "", "platform_version": ""}


def pinned(environment: dict[str, str]) -> dict[str, Requirement]:
    """Package -> its pin, of all sets, as far as it applies there."""
    lines = [line.partition("#")[0].strip() for name in SETS
             for line in (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(r.name): r for r in found if r.marker is None or r.marker.evaluate(environment)}


def download(pins: dict[str, Requirement], system: str, python: str, into: Path) -> list[str]:
    """pip download all pins for another machine; the names of those without a wheel there."""
    wanted, missing = dict(pins), []
    tags = [part for tag in SYSTEMS[system][1] for part in ("--platform", tag)]
    while True:
        ran = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                              "--no-cache-dir", "--python-version", python, *tags, "--dest", str(into),
                              *(f"{r.name}{r.specifier}" for r in wanted.values())], capture_output=True, text=True)
        if ran.returncode == 0:
            return missing
        found = re.search(r"No matching distribution found for ([\w.-]+)", ran.stderr)
        if not found:
            sys.exit(ran.stderr)
        missing.append(canonicalize_name(found[1]))
        del wanted[missing[-1]]


def requirements_of(folder: Path) -> dict[str, list[Requirement]]:
    """Package -> what it requires, from the wheels in folder; for those without a wheel from what is installed here."""
    found: dict[str, list[str]] = {}
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
            headers = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
        found[parse_wheel_filename(wheel.name)[0]] = headers.get_all("Requires-Dist") or []
    for name in SOURCE_ONLY:
        found[name] = metadata.distribution(name).requires or []
    return {name: [Requirement(line) for line in lines] for name, lines in found.items()}


def unpinned(pins: dict[str, Requirement], folder: Path, environment: dict[str, str]) -> list[str]:
    """Requirements that no pin meets there; torch's own CUDA parts on Linux are left to torch."""
    requirements, done, todo, wrong = requirements_of(folder), set(), [(name, "") for name in pins], set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        for needs in requirements.get(name, []):
            other = canonicalize_name(needs.name)
            applies = needs.marker is None or needs.marker.evaluate({**environment, "extra": extra})
            if not applies or (name == "torch" and re.match("nvidia-|cuda-|triton", other)):
                continue
            version = next(iter(pins[other].specifier)).version if other in pins else ""
            if not version or not needs.specifier.contains(version):
                wrong.add(f"{name} needs {needs}")
            todo += [(other, one) for one in needs.extras]
    return sorted(wrong)


def oldest_system(folder: Path) -> str:
    """The oldest macOS or glibc that takes every one of these files."""
    least = (0, 0)
    named = {"manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5)}
    for wheel in folder.glob("*.whl"):
        versions = []
        for tag in parse_wheel_filename(wheel.name)[3]:
            name, numbers = tag.platform.split("_")[0], re.match(r"(?:macosx|manylinux)_(\d+)_(\d+)_", tag.platform)
            versions.append((int(numbers[1]), int(numbers[2])) if numbers else named.get(name, (0, 0)))
        least = max(least, min(versions))
    return ".".join(map(str, least)) if least > (0, 0) else "any"


def wheels() -> dict:
    """A wheel for every pin, and a pin for every requirement, on each system and Python?"""
    rows = []
    print(f"{'system':16}{'Python':8}{'pins':>5}{'wheels':>7}{'MB':>6}  {'oldest':8}without a wheel; without a pin")
    for system in SYSTEMS:
        for python in PYTHONS:
            environment = marker_environment(system, python)
            pins = pinned(environment)
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                missing = download({n: r for n, r in pins.items() if n not in SOURCE_ONLY}, system, python, place)
                files = list(place.glob("*.whl"))
                row = {"system": system, "python": python, "pins": len(pins), "wheels": len(files), "missing": missing,
                       "mb": round(sum(f.stat().st_size for f in files) / 1e6), "oldest": oldest_system(place),
                       "unpinned": unpinned(pins, place, environment)}
            rows.append(row)
            print(f"{system:16}{python:8}{len(pins):5}{len(files):7}{row['mb']:6}  {row['oldest']:8}"
                  f"{', '.join(missing) or '-'}; {', '.join(row['unpinned']) or '-'}", flush=True)
    is_proven = not any(row["missing"] or row["unpinned"] for row in rows if row["system"] not in NOT_PROMISED)
    print(f"of every system, without a wheel: {', '.join(sorted(SOURCE_ONLY))}. Proven for the rest: {is_proven}")
    return {"is_proven": is_proven, "source_only": sorted(SOURCE_ONLY), "not_promised": NOT_PROMISED, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setup", action="store_true")
    parser.add_argument("--wheels", action="store_true")
    parser.add_argument("--turns", type=int, default=21, help="of the later start (default 21)")
    options = parser.parse_args()
    result = wheels() if options.wheels else fresh_setup() if options.setup else later_start(options.turns)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""A kit: a folder of Galen with all its wheels, set up without a network. What it is for, and whether it is whole.

Made by ui/actions/kit.py. Standard library only.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
from pathlib import Path

FILE, SUMS, WHEELS, MODELS = "kit.json", "SHA256SUMS", "wheels", "models/files"
ARCHITECTURES = {"AMD64": "x86_64", "aarch64": "arm64"}
CHUNK = 1 << 20


def machine() -> dict[str, str]:
    """What a machine must have in common with the one on which a kit was made; its name: the value."""
    arch = ARCHITECTURES.get(platform.machine(), platform.machine())
    return {"system": platform.system(), "arch": arch, "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}


def read(root: Path) -> dict:
    """kit.json of the folder, {} where it is no kit."""
    try:
        return {**json.loads((root / FILE).read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError):
        return {"problem": f"{root / FILE} is damaged; copy the kit again"}


def problem(kit: dict, names: list[str], has_avx2: bool) -> str:
    """Why these sets can not be installed from the kit here, '' when they can."""
    here = machine()
    if "problem" in kit:
        return kit["problem"]
    for name in ("system", "arch"):
        if kit[name] != here[name]:
            return (f"this kit is for {kit['system']} on {kit['arch']}, and this is {here['system']} on "
                    f"{here['arch']}; make a kit on a machine like this one")
    if kit["python"] != here["python"]:
        return (f"this kit is for Python {kit['python']}, and {here['python']} is what was found; install Python "
                f"{kit['python']}, or make a kit with {here['python']}")
    if _version(platform.libc_ver()[1]) < _version(kit["glibc"]):
        return (f"this kit is for a Linux with glibc {kit['glibc']} or newer, and this one has "
                f"{platform.libc_ver()[1] or 'another library'}; make a kit on the older system")
    if kit["needs_avx2"] and not has_avx2:
        return "this kit is for processors with AVX2, which this one lacks; make a kit on this machine"
    if missing := [name for name in names if name not in kit["sets"]]:
        return (f"this kit does not hold the {missing[0]} set; make it with --training, or, with a network, "
                f"delete {FILE} here")
    return ""


def _version(text: str) -> list[int]:
    """"2.36" as numbers; "" is below all."""
    return [int(part) for part in text.split(".") if part.isdigit()]


def other_python(kit: dict) -> list[str]:
    """The command of the Python that the kit is for, where that is not this one but is here as well; else []."""
    version = kit.get("python", "")
    if not version or version == machine()["python"]:
        return []
    if sys.platform == "win32":
        return ["py", f"-{version}"] if shutil.which("py") else []
    found = shutil.which(f"python{version}")
    return [found] if found else []


def damage(root: Path, is_whole: bool) -> str:
    """What is wrong with the wheels, or with everything if is_whole: the first file that is not what was packed.

    A model that is not there is no damage: its owner may have deleted it.
    """
    listed = _listed(root)
    if not listed:
        return f"{SUMS} can not be read; copy the kit again"
    gone = absent_models(root)
    names = {name for name in listed if (is_whole and name not in gone) or name.startswith(WHEELS + "/")}
    there = {f"{WHEELS}/{path.name}" for path in (root / WHEELS).glob("*") if not is_litter(path.name)}
    if strange := sorted(there - names):
        return f"{strange[0]} does not belong to this kit; delete it"
    for name in sorted(names):
        if sha256(root / name) != listed[name]:
            return f"{name} is missing or damaged; copy the kit again"
    return ""


def absent_models(root: Path) -> list[str]:
    """The files of models that were packed and are not here: deleted since, or not copied."""
    return sorted(name for name in _listed(root) if name.startswith(MODELS + "/") and not (root / name).exists())


def _listed(root: Path) -> dict[str, str]:
    """Name -> checksum of all that was packed; {} where that can not be read."""
    try:
        lines = (root / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def is_litter(name: str) -> bool:
    """True for what file managers leave in a folder that somebody has looked at, or copied; no wheel to pip."""
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini")


def sha256(path: Path) -> str:
    """Of a file's content, in hex; '' where there is none that can be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def environment(root: Path) -> dict[str, str]:
    """What makes pip look into the kit, and nowhere else, whatever the machine's own settings say."""
    folder = (root / WHEELS).as_uri()           # an address: in a path pip would take a space for the end of it
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder, "PIP_CONFIG_FILE": os.devnull}

"""A folder with the real launcher and small stub packages, as its tests start it: no network, no settings of pip's."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

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


def stub_wheels(folder: Path) -> Path:
    """Fill folder with a wheel for every pin of FILES."""
    make_wheel(folder, "llama-cpp-python", "0.3.36", {"llama_cpp.py": "def llama_backend_init(): pass\n"})
    for version in ("1.0", "1.1"):
        make_wheel(folder, "stub-chat", version, {"stub_chat.py": f"VERSION = '{version}'\n"})
    make_wheel(folder, "torch", "2.13.0", {"torch.py": ""})
    for name in ("ruff", "mypy", "pytest"):
        make_wheel(folder, name, "1.0", {f"{name}/__init__.py": "", f"{name}/__main__.py": CHECK})
    return folder


def fresh_copy(folder: Path, wheels: Path) -> Copy:
    """A copy in folder in which nothing is set up."""
    (folder / "requirements").mkdir(parents=True)
    (folder / "ui").mkdir()
    (folder / "ui/commands.py").write_text(COMMANDS, encoding="utf-8")
    shutil.copy(ROOT / "launcher.py", folder)
    shutil.copytree(ROOT / "setup", folder / "setup", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        (folder / f"requirements/{name}.txt").write_text(text, encoding="utf-8")
    return Copy(folder, wheels)

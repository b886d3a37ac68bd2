"""The rules of the house: who imports whom, how long files are, what the tree in the README says."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from models import runs

ALLOWED = {
    "models": set(),
    "corpus": {"models", "tasks"},
    "tasks": {"models"},
    "runtime": {"models", "tasks", "corpus"},
    "train": {"models", "tasks", "corpus"},
    "convert": {"models", "tasks", "corpus", "runtime"},
    "evaluation": {"models", "tasks", "corpus", "runtime"},
    "ui": {"models", "tasks", "corpus", "runtime", "train", "convert", "evaluation"},
}
HEAVY = {"torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets"}
ONLY_IN = {"gradio": {"ui"}, "fastapi": {"ui"}, "uvicorn": {"ui"}, "llama_cpp": {"runtime"},
           **{name: {"train", "runtime/reference.py", "runtime/layerwise.py", "models/demo"} for name in HEAVY},
           "datasets": {"train", "corpus/hub.py"}}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "misc", "manager"}
MAX_LINES, MAX_FUNCTION_LINES = 400, 60


def source_files() -> list[Path]:
    rooms = [runs.ROOT / room for room in ("setup", *ALLOWED)]
    return [runs.ROOT / "launcher.py", *(p for room in rooms for p in sorted(room.rglob("*.py"))
                                         if runs.home() not in p.parents)]


def imports(path: Path) -> list[tuple[str, int]]:
    """(first part of each imported module, line) anywhere in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module.split(".")[0], node.lineno))
    return found


@pytest.mark.parametrize("path", source_files(), ids=lambda p: p.relative_to(runs.ROOT).as_posix())
def test_file_keeps_the_rules(path: Path):
    name = path.relative_to(runs.ROOT).as_posix()
    room = name.split("/")[0]
    for module, line in imports(path):
        if module in ALLOWED and room in ALLOWED and module != room:
            assert module in ALLOWED[room], f"{name}:{line} imports {module}, which is not below {room}"
        if module in ONLY_IN:
            assert any(name.startswith(place) for place in ONLY_IN[module]), f"{name}:{line} imports {module}"
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES, f"{name} owns more than one thing"
    assert path.stem not in FORBIDDEN_NAMES
    tree = ast.parse(text)
    if tree.body:
        assert ast.get_docstring(tree), f"{name} does not say what it owns"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global), f"{name}:{node.lineno} has a global"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("build_"):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{name}: {node.name} has {lines} lines"


def test_launcher_needs_the_standard_library_only():
    for path in (runs.ROOT / "launcher.py", *(runs.ROOT / "setup").glob("*.py")):
        assert not {m for m, _ in imports(path)} - set(sys.stdlib_module_names) - {"setup"}, path


def test_every_python_file_stands_in_the_readme_tree():
    readme = (runs.ROOT / "README.md").read_text(encoding="utf-8")
    missing = [p.relative_to(runs.ROOT).as_posix() for p in source_files()
               if p.name != "__init__.py" and p.name not in readme]
    assert not missing, f"the tree in README.md lacks {missing}"


def test_committed_files_name_no_machine_path_and_no_registry():
    files = subprocess.run(["git", "ls-files"], cwd=runs.ROOT, capture_output=True, text=True, check=True).stdout
    words = ["/" + "root/", "/" + "work/", "pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js"]
    for name in files.split("\n"):
        path = runs.ROOT / name
        if path.suffix in {".py", ".md", ".txt", ".toml", ".json", ".sh", ".bat", ".command", ".css", ".yml"}:
            text = path.read_text(encoding="utf-8")
            assert not [w for w in words if w in text], name

"""Where only the page's packages are installed, what needs more is refused before anything is made."""

import importlib.util
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from ui.job_packages import check_packages

FIND = importlib.util.find_spec


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else FIND(name, *more))


@pytest.mark.parametrize(("module", "config"), [
    ("train.worker", {}), ("train.estimate", {"base": "demo"}), ("convert.worker", {"source": "x"}),
    ("evaluation.worker", {"model": "demo", "against": "a-run"}),
    ("evaluation.batch.worker", {"model": "a-run"})])
def test_what_reads_whole_weights_names_the_command(without_torch: None, galen_home: Path, module: str, config: dict):
    (galen_home / "runs" / "a-run" / runs.ADAPTER).mkdir(parents=True)
    with pytest.raises(UserError, match="setup --all"):
        check_packages(module, config)


@pytest.mark.parametrize("config", [{"model": "demo"}, {"model": "exported"}, {"model": "nothing", "task": "classify"}])
def test_what_reads_a_gguf_goes_on(without_torch: None, galen_home: Path, demo_gguf: Path, config: dict):
    out = galen_home / "runs" / "exported" / runs.EXPORT
    out.mkdir(parents=True)
    (out / "x-Q8_0.gguf").symlink_to(demo_gguf)
    check_packages("evaluation.batch.worker", config)
    check_packages("evaluation.worker", {**config, "model": str(demo_gguf)})


def test_with_all_packages_nothing_is_refused():
    check_packages("train.worker", {})

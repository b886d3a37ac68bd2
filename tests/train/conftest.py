"""A tiny random Gemma 3 with the embedded model's tokenizer, some rows, and a way to run the worker."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models import runs

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small gain nothing from a second thread, and lose much when the cores are busy."""
    import torch
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer(demo_base: Path):
    """The embedded model's tokenizer as tasks/prompt.py wants it."""
    from transformers import AutoTokenizer

    from tasks.hf_tokenizer import HFTokenizer
    return HFTokenizer(AutoTokenizer.from_pretrained(demo_base))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, demo_base: Path) -> Path:
    """Two layers, 64 wide, seeded."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig
    folder = tmp_path_factory.mktemp("tiny-base")
    for name in TOKENIZER_FILES:
        if (demo_base / name).is_file():
            shutil.copy(demo_base / name, folder)
    torch.manual_seed(0)
    Gemma3ForCausalLM(Gemma3TextConfig(
        vocab_size=8192, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, sliding_window=32, max_position_embeddings=512, pad_token_id=0,
        eos_token_id=1, bos_token_id=2)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 short questions whose answers follow a rule; the last one has no answer."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    drugs = ["aspirin", "insulin", "codeine", "heparin", "morphine", "warfarin"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("question", "answer"))
        for k in range(24):
            drug, dose = drugs[k % len(drugs)], 10 * (k // len(drugs) + 1)
            writer.writerow((f"How much {drug}" + " is in the cup" * (k % 5) + f", {dose} or more?",
                             f"There are {dose} mg of {drug}."))
        writer.writerow(("Who knows?", ""))
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[Path, subprocess.Popen]]]:
    """start(base=..., data=..., ...) -> (run folder, worker process); what still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def run(**values: object) -> tuple[Path, subprocess.Popen]:
        folder = tmp_path / f"run-{len(started)}"
        folder.mkdir()
        values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        runs.write_json(folder / runs.CONFIG, {
            "threads": 1, "dropout": 0.0, "notify": False, "keep_awake": False, **values})
        process = subprocess.Popen([sys.executable, "-m", "train.worker", str(folder)], cwd=runs.ROOT,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})
        started.append(process)
        return folder, process
    yield run
    for process in started:
        process.kill()
        process.wait()


def events(folder: Path, kind: str = "") -> list[dict]:
    """The events of a run so far, of one kind or of all."""
    if not (folder / runs.EVENTS).is_file():
        return []
    lines = (folder / runs.EVENTS).read_text(encoding="utf-8").split("\n")[:-1]
    return [event for event in map(json.loads, lines) if kind in ("", event["kind"])]


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Poll until condition() is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)

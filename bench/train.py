"""Training beside trl's SFTTrainer, in the same run: speed, loss, memory, and whether a killed run comes back equal.

    .venv/bin/python bench/train.py                          everything, three rounds (about 40 minutes on two cores)
    .venv/bin/python bench/train.py --only vocab             one of speed, vocab, resume, qlora
    .venv/bin/python bench/train.py --rows 160 --rounds 1    a short look
    .venv/bin/python bench/train.py --only qlora --tiny --rows 32 --rounds 1    the code of qlora, without a GPU

The embedded model on MTS-Dialog (--data FOLDER with train.csv and validation.csv; ../shared/data/mts-dialog), one
epoch over the first rows of a seeded order, batch 8, LoRA, bfloat16, gradient checkpointing: trl's defaults, and ours
in the same. Both sides get the same token ids and labels, so one epoch is the same supervised tokens. Each side is a
process of its own; a round is ours, trl, trl with length grouping; figures are medians of the rounds' ratios. Losses
are measured by plain transformers + peft in float32.

qlora is for a CUDA GPU that computes in bfloat16, and part of everything where there is a GPU: a random model of Gemma
3 1B's shape in NF4, batch 4, 4 batches a step, rows of up to 1,024 tokens; a round is ours, trl. It was NEVER RUN on a
GPU: none was there when it was written. With --tiny all of it ran on a CPU, but for what is there on CUDA only: loading
onto the device, the clock's synchronize, the peak of VRAM, and the paged AdamW and packing that ours switches on by
itself. The speeds of a CPU say nothing of a GPU.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.random_base import SHAPES, write_base
from models import knobs, runs
from models.errors import UserError
from train.config import TrainConfig

SIDES = Path(__file__).with_name("train_sides.py")
DATA = runs.ROOT.parent / "shared/data/mts-dialog"
# every row as it is: both sides are to see the same
ALL_ROWS = dict(min_chars=0, max_words=0, exact_duplicates="keep", near_duplicates="keep", empty_answers="keep",
                leaks="keep", test_share=0.0)
SETTINGS = dict(batch=8, epochs=1.0, lr=2e-3, rank=16, alpha=32, dropout=0.05, max_len=1024, seed=0, weight_decay=0.0,
                gradient_checkpointing=True, evals=1, shown_answers=0, checkpoints=1, keep_awake=False, notify=False)
# trl's defaults, and the recipes of Gemma 3 1B; the first epoch warms both sides up, the second is measured
QLORA = dict(load_4bit=True, precision="bfloat16", batch=4, accumulate=4, lr=2e-4, epochs=2.0)
TINY = dict(vocab_size=8192, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=64, query_pre_attn_scalar=64, max_position_embeddings=2048,
            sliding_window=64)
BARS = {"vs_trl": 2.0, "vs_trl_grouped": 0.98, "peak_mb_vocab": 0.5, "peak_vs_trl": 1.05, "resume_bit_equal": 1}


def config_of(folder: Path, threads: int, **more: Any) -> TrainConfig:
    """The bench's run on the rows in folder."""
    return knobs.from_json(TrainConfig, {**ALL_ROWS, **SETTINGS, "data": [str(folder / "train.csv")],
                                         "eval": [str(folder / "validation.csv")], "threads": threads, **more})


def write_rows(data: Path, folder: Path, rows: int, seed: int) -> None:
    """The first rows of a seeded order of train.csv, and all of validation.csv, in folder."""
    with (data / "train.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        found = list(reader)
    random.Random(seed).shuffle(found)
    with (folder / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(found[:rows] if rows else found)
    shutil.copyfile(data / "validation.csv", folder / "validation.csv")


def side(name: str, folder: Path) -> dict[str, Any]:
    """What that side printed last. Raises RuntimeError with its words if it failed."""
    done = subprocess.run([sys.executable, str(SIDES), name, str(folder)], cwd=runs.ROOT, capture_output=True,
                          text=True, env=environment())
    if done.returncode:
        raise RuntimeError(f"{name} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def environment() -> dict[str, str]:
    """What ui/jobs.py gives a job, for every side; and one GPU: with more the batches would grow."""
    return {"CUDA_VISIBLE_DEVICES": "0", "OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "1", **os.environ,
            "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1"}


def start(folder: Path, config: TrainConfig | None) -> subprocess.Popen:
    """Our worker in folder; config None: it goes on with the run that lies there."""
    if config:
        runs.make_folder(folder)
        runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    with (folder / runs.LOG).open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "train.worker", str(folder)], cwd=runs.ROOT, stdout=log,
                                stderr=log, env=environment())


def ours(folder: Path, config: TrainConfig) -> dict[str, Any]:
    """Our run from its config to its adapter; train_s is the wall time of the training but for its evaluations."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    process = start(run, config)
    if process.wait():
        raise RuntimeError(f"our run ended with status {process.returncode}:\n{(run / runs.LOG).read_text()[-3000:]}")
    result = runs.read_json(run / runs.RESULT)
    shutil.rmtree(folder / "adapter", ignore_errors=True)
    shutil.copytree(run / runs.ADAPTER, folder / "adapter")
    return {"train_s": result["train_s"], "steps": result["steps"], "peak_mb": result["peak_rss_mb"]}


def speed(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """vs_trl, vs_trl_grouped and the losses that belong to them."""
    made = side("samples", folder)
    config = config_of(folder, args.threads)
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": [], "trl_grouped": []}
    for k in range(args.rounds):
        for name, taken in rounds.items():
            shutil.rmtree(folder / "adapter", ignore_errors=True)
            taken.append(ours(folder, config) if name == "ours" else side(name, folder))
            taken[-1]["others"] = round(os.getloadavg()[0], 2)
            if k == 0:
                taken[-1]["val_loss"] = side("score", folder)["val_loss"]
            say(f"round {k + 1}, {name}: {taken[-1]}")
    rates = {name: [made["supervised"] / one["train_s"] for one in taken] for name, taken in rounds.items()}
    losses = {name: taken[0]["val_loss"] for name, taken in rounds.items()}
    return {"vs_trl": ratio(rates["ours"], rates["trl"]),
            "vs_trl_grouped": ratio(rates["ours"], rates["trl_grouped"]),
            "val_loss_vs_trl": losses["ours"] / losses["trl"],
            "val_loss_vs_trl_grouped": losses["ours"] / losses["trl_grouped"], "val_loss": losses,
            "supervised_tokens": made["supervised"], "training_rows": made["training"],
            "steps": {name: taken[0]["steps"] for name, taken in rounds.items()},
            "supervised_tokens_per_s": {name: [round(rate, 1) for rate in made] for name, made in rates.items()},
            "run_peak_mb": {name: round(taken[0]["peak_mb"]) for name, taken in rounds.items()}}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def vocab(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of one step with 262,144 words: above what the loaded model held, and of the whole process."""
    taken = {name: [side(name, folder) for _ in range(args.rounds)] for name in ("our_step", "trl_step", "plain")}
    peak = {name: {key: statistics.median(one[key] for one in all_) for key in ("step_mb", "whole_mb")}
            for name, all_ in taken.items()}
    mine = peak["our_step"]
    return {"peak_mb_vocab": mine["step_mb"] / peak["plain"]["step_mb"],
            "peak_mb_vocab_whole": mine["whole_mb"] / peak["plain"]["whole_mb"],
            "peak_vs_trl": mine["step_mb"] / peak["trl_step"]["step_mb"],
            "peak_vs_trl_whole": mine["whole_mb"] / peak["trl_step"]["whole_mb"], "step_peaks": peak}


def resume(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """resume_bit_equal: 1 if a run killed with SIGKILL twice in mid-run ends with the same adapter bytes."""
    config = config_of(folder, args.threads, max_steps=24, checkpoints=6, evals=2)
    whole, killed = folder / "whole", folder / "killed"
    for path in (whole, killed):
        shutil.rmtree(path, ignore_errors=True)
    if start(whole, config).wait():
        raise RuntimeError((whole / runs.LOG).read_text()[-3000:])
    process = start(killed, config)
    for at in (6, 15):                          # in the middle of the way to the next checkpoint
        while last_step(killed) < at and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(killed, None)
    if process.wait():
        raise RuntimeError((killed / runs.LOG).read_text()[-3000:])
    names = [path.name for path in (whole / runs.ADAPTER).glob("*.safetensors")]
    is_equal = all((whole / runs.ADAPTER / name).read_bytes() == (killed / runs.ADAPTER / name).read_bytes()
                   for name in names)
    return {"resume_bit_equal": int(is_equal and bool(names)), "killed_at": [6, 15]}


def qlora(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Both sides' QLoRA, in rounds of ours and trl."""
    inside = folder / "qlora"
    if args.tiny:
        base = write_base(inside / "base", TINY, runs.DEMO_BASE / "tokenizer.model")
    else:
        base = write_base(inside / "base", SHAPES["gemma3-1b"])
    config = config_of(folder, args.threads, base=str(base), **QLORA)
    runs.write_json(inside / "plan.json", {"base": str(base), "threads": args.threads,
                                           "config": knobs.to_json(config)})
    made = side("samples", inside)
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": []}
    for k in range(args.rounds):
        for name, taken in rounds.items():
            taken.append(side(f"{name}_qlora", inside) | {"others": round(os.getloadavg()[0], 2)})
            say(f"round {k + 1}, QLoRA, {name}: {taken[-1]}")
    shape = json.loads((base / "config.json").read_text())
    return {"qlora_shape": shape, "qlora_tokens": made, **qlora_figures(made, rounds)}


def qlora_figures(made: dict[str, Any], rounds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Tokens a second of the second epoch, and on a GPU the most that PyTorch allocated there.

    made: what the side "samples" said. rounds: what the sides "ours" and "trl" said, one a round. The peaks hold
    loading and our evaluations, but not what bitsandbytes allocates by itself: the state of our paged AdamW.
    """
    seconds = {name: [one["epoch_s"] for one in taken] for name, taken in rounds.items()}
    found = {"qlora_vs_trl": ratio(seconds["trl"], seconds["ours"]), "qlora_device": rounds["ours"][0]["device"],
             "qlora_steps": {name: taken[0]["steps"] for name, taken in rounds.items()}}
    for key, tokens in (("qlora_supervised_tokens_per_s", "supervised"), ("qlora_tokens_per_s", "tokens")):
        found[key] = {name: [round(made[tokens] / one, 1) for one in all_] for name, all_ in seconds.items()}
    if "peak_vram_mb" in rounds["ours"][0]:
        peaks = {name: [one["peak_vram_mb"] for one in taken] for name, taken in rounds.items()}
        found |= {"qlora_peak_vs_trl": ratio(peaks["ours"], peaks["trl"]),
                  "qlora_peak_vram_mb": {name: [round(one) for one in all_] for name, all_ in peaks.items()}}
    return found


def last_step(folder: Path) -> int:
    """The last step that the run in folder has told of."""
    path = folder / runs.EVENTS
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return max((event["step"] for event in map(json.loads, lines) if event["kind"] == "step"), default=0)


PARTS = {"speed": speed, "vocab": vocab, "resume": resume, "qlora": qlora}


def wanted(args: argparse.Namespace) -> list[str]:
    """The parts to measure: qlora unasked only on a GPU."""
    if args.only:
        return [args.only]
    import torch
    return [part for part in PARTS if part != "qlora" or args.tiny or torch.cuda.is_available()]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training beside trl's.")
    parser.add_argument("--only", choices=list(PARTS), help="one part of it")
    parser.add_argument("--tiny", action="store_true", help="qlora on a model of two small layers, with or without GPU")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train.csv and validation.csv")
    parser.add_argument("--rows", type=int, default=400, help="training rows (0 = all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of each side (0 = the cores this process may use)")
    args = parser.parse_args()
    args.threads = args.threads or len(psutil.Process().cpu_affinity())
    if not (args.data / "train.csv").is_file():
        raise SystemExit(f"There is no train.csv in {args.data}; name the MTS-Dialog folder with --data.")
    with tempfile.TemporaryDirectory(prefix="galen-bench-") as name:
        folder = Path(name)
        write_rows(args.data, folder, args.rows, seed=0)
        config = config_of(folder, args.threads)
        parts = wanted(args)
        if "vocab" in parts:
            write_base(folder / "wide", SHAPES["gemma3-270m"])
        runs.write_json(folder / "plan.json", {
            "base": str(runs.DEMO_BASE), "wide": str(folder / "wide"), "threads": args.threads,
            "config": knobs.to_json(config)})
        found: dict[str, Any] = {"cores": args.threads, "load_before": os.getloadavg()[0]}
        for part in parts:
            found |= PARTS[part](folder, args)
    found["bars"] = BARS
    print(json.dumps(found))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error

"""Is what --estimate promises kept? Three different runs, each estimated and then run; one JSON object last.

    .venv/bin/python bench/promise.py                 all three, some minutes on four cores
    .venv/bin/python bench/promise.py --only long     one of them: dialogues, long, wide

Needs ../shared/data and an otherwise idle machine. time_off and memory_off are the worst of the three, as shares of
what was promised (0.15 = 15%); others_busy says how many cores other programs took meanwhile.
"""

import argparse
import json
import os
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

from bench.random_base import write_base
from models import runs

DATA = runs.ROOT.parent / "shared/data"
WIDE = dict(vocab_size=262_144, hidden_size=640, intermediate_size=4096, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=1, max_position_embeddings=2048, sliding_window=512)
MTS, ACI = DATA / "mts-dialog", DATA / "aci-bench"


def configurations(folder: Path) -> dict[str, list[str]]:
    """The words of each run behind "train". folder: where a base may be made."""
    return {
        "dialogues": ["summarise", "--data", str(MTS / "train.csv"), "--eval", str(MTS / "validation.csv"),
                      "--set", "epochs=1"],
        "long": ["summarise", "--data", str(ACI / "train.csv"), "--eval", str(ACI / "valid.csv"), "--set", "batch=2",
                 "--set", "accumulate=4", "--set", "max_len=2000", "--set", "max_words=0", "--set", "epochs=4",
                 "--set", "evals=4", "--set", "dropout=0.05"],
        "wide": ["answer", "--base", str(folder / "base"), "--data", str(DATA / "medquad" / "medquad_train.jsonl"),
                 "--set", "limit_rows=400", "--set", "batch=4", "--set", "max_len=384", "--set", "evals=2",
                 "--set", "gradient_checkpointing=on"],
    }


def galen(words: Sequence[str]) -> dict[str, Any]:
    """A command's JSON object. What it says on the way goes to our stderr."""
    done = subprocess.run([sys.executable, "-m", "ui.commands", *words, "--json"], cwd=runs.ROOT, check=True,
                          stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def kept(name: str, words: Sequence[str], folder: Path) -> dict[str, Any]:
    """One run: what was promised, what it took, and how far off that is."""
    print(f"== {name}", file=sys.stderr)
    busy, began = _busy_s(), time.monotonic()
    promise = galen(["train", *words, "--estimate", "--run", str(folder / name)])
    told_s = time.monotonic() - began
    fact = galen(["train", "--resume", str(folder / name)])
    others = max(0.0, _busy_s() - busy) / (time.monotonic() - began)
    pairs = {"time": "seconds", "memory": "peak_rss_mb", "disk": "peak_disk_mb"}
    return {"name": name, "estimate_took_s": round(told_s, 1), "steps": promise["steps"], "parts": promise["parts"],
            "others_busy": round(others, 2),
            **{f"{what}_promised": promise[key] for what, key in pairs.items()},
            **{f"{what}_was": round(fact[key], 1) for what, key in pairs.items()},
            **{f"{what}_off": round(fact[key] / promise[key] - 1, 4) for what, key in pairs.items()}}


def _busy_s() -> float:
    """Seconds that the cores were busy for others than this process and the commands that it ran."""
    times, own = psutil.cpu_times(), os.times()
    return (sum(times) - times.idle - getattr(times, "iowait", 0.0) - own.user - own.system
            - own.children_user - own.children_system)


def main() -> None:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=("dialogues", "long", "wide"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["GALEN_HOME"] = str(folder / "home")
        chosen = {name: words for name, words in configurations(folder).items() if options.only in (None, name)}
        if "wide" in chosen:
            write_base(folder / "base", WIDE)
        found = []
        for name, words in chosen.items():
            found.append(kept(name, words, folder))
            print(json.dumps(found[-1]), file=sys.stderr)
    print(json.dumps({"time_off": max(abs(one["time_off"]) for one in found),
                      "memory_off": max(abs(one["memory_off"]) for one in found), "runs": found}))


if __name__ == "__main__":
    main()

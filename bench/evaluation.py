"""PubMedQA through the read-out beside transformers' generate, and whether a GGUF says what transformers says.

    .venv/bin/python bench/evaluation.py                     everything (about 25 minutes on four cores)
    .venv/bin/python bench/evaluation.py --only speed        one of speed, shape, agreement
    .venv/bin/python bench/evaluation.py --rows 64 --items 8 --rounds 1      a short look

speed, on the embedded model: items a second of tasks/answer.py on its Q8_0 file, over those of the usual way:
transformers, one question after another, 20 new tokens, and the words read (items_ratio; the bar is 4 on a CPU). shape
is the same with random weights in the shape of Gemma 3 1B (Q4_K_M against bfloat16; reported). Both sides choose their
threads themselves, take turns in one run, and are loaded before the clock runs; of float32 and the checkpoint's own
precision, theirs is the one that is faster here. Each turn begins with some untimed seconds of the same: our runtime
takes the cores back within a second or two after others (here: the other side) kept them busy.

agreement: the embedded model as a float32 GGUF (float32 cache, no flash attention) and in transformers, in float32, on
the same prompts: the same decision, the same log-likelihoods.

Data: --data, a pqal JSON ({pmid: row}); ../shared/data/pubmedqa. One JSON object last.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.random_base import SHAPES, write_base
from bench.random_gemma import random_gemma
from bench.runtime import machine, others, physical_cores
from convert.model import MergedModel
from convert.stream import write_all
from models import library, runs
from models.errors import UserError
from runtime.engines import open_engine
from tasks import reader
from tasks.answer import Decision, Question, decide, decision_question
from tasks.engine import Engine

DATA = runs.ROOT.parent / "shared/data/pubmedqa/pqal_dev500.json"
WARM_S, WARM_ITEMS = 3.0, 4
NEW_TOKENS = 20
GROUP = 32
BARS = {"items_ratio": 4.0, "same_decisions": 0.995, "logprob_gap": 1e-3}
AT_MOST = ("logprob_gap",)


def questions(path: Path) -> list[Question]:
    """Raises UserError if there is no such file."""
    if not path.is_file():
        raise UserError(f"There is no PubMedQA file {path}; name one with --data.")
    rows = json.loads(path.read_text(encoding="utf-8")).values()
    return [Question(row["QUESTION"], " ".join(row["CONTEXTS"])) for row in rows]


def decided(engine: Engine, asked: Sequence[Question]) -> list[Decision]:
    """The read-out's decisions, in groups as evaluation/run.py makes them; questions that do not fit are left out."""
    found = [one for start in range(0, len(asked), GROUP) for one in decide(engine, asked[start:start + GROUP])]
    return [one for one in found if isinstance(one, Decision)]


class Theirs:
    """The usual way: transformers, one question after another."""

    def __init__(self, folder: Path, tried: Sequence[Question]):
        """tried: to find out which precision is faster."""
        import torch
        import transformers
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._torch = torch
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        speeds = {}
        for dtype in ("auto", "float32"):
            self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
            self.seconds(tried[:1])
            speeds[dtype] = self.seconds(tried)
        self.dtype = min(speeds, key=lambda dtype: speeds[dtype])
        if self.dtype == "auto":
            self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()

    def seconds(self, asked: Sequence[Question]) -> float:
        """What it takes to answer them all."""
        began = time.perf_counter()
        for one in asked:
            reader.read_decision(self._answer(one))
        return time.perf_counter() - began

    def _answer(self, one: Question) -> str:
        messages = [{"role": "user", "content": decision_question(one.text, one.context)}]
        ids = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt",
                                                  return_dict=True)
        with self._torch.inference_mode():
            made = self._model.generate(**ids, max_new_tokens=NEW_TOKENS, do_sample=False)
        return str(self._tokenizer.decode(made[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))


def speed(gguf: Path, folder: Path, asked: Sequence[Question], warming: Sequence[Question], rounds: int
          ) -> dict[str, Any]:
    """Items a second of both sides in turns, and the median of the rounds' ratios.

    warming: other questions, for before each turn: those that are timed must not lie in a cache.
    """
    raw: dict[str, list[float]] = {"ours": [], "theirs": []}
    with open_engine(str(gguf)) as engine:
        theirs = Theirs(folder, asked[:2])

        def ours(part: Sequence[Question]) -> float:
            began = time.perf_counter()
            assert len(decided(engine, part)) == len(part)
            return time.perf_counter() - began

        for k in range(rounds):
            part = [asked[(k * len(asked) // rounds + n) % len(asked)] for n in range(max(1, len(asked) // rounds))]
            for side in ("ours", "theirs")[::1 if k % 2 else -1]:
                answer = theirs.seconds if side == "theirs" else ours
                warm = time.monotonic() + WARM_S
                while time.monotonic() < warm:
                    answer(warming)
                raw[side].append(len(part) / answer(part))
        ratio = statistics.median(a / b for a, b in zip(raw["ours"], raw["theirs"], strict=True))
        return {"items_ratio": round(ratio, 3), "file": gguf.name, "theirs_dtype": theirs.dtype,
                "items_per_s": {side: [round(one, 3) for one in some] for side, some in raw.items()}}


def agreement(asked: Sequence[Question]) -> dict[str, Any]:
    """The float32 GGUF, and the Q8_0 one as it is used, against transformers."""
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "exact-F32.gguf"
        write_all(MergedModel(runs.DEMO_BASE, [], "exact"), {"F32": whole}, threads=1)
        with open_engine(str(whole), exact=True) as engine:
            ours = decided(engine, asked)
    with open_engine(str(runs.DEMO_BASE)) as engine:
        theirs = decided(engine, asked)
    with open_engine(str(library.demo_gguf())) as engine:
        used = decided(engine, asked)
    gaps = [abs(one.logprobs[choice] - other.logprobs[choice]) for one, other in zip(ours, theirs, strict=True)
            for choice in one.logprobs]
    return {"prompts": len(ours), "same_decisions": same(ours, theirs), "logprob_gap": round(max(gaps), 6),
            "logprob_gap_mean": round(statistics.mean(gaps), 6),
            "share_within_1e-3": round(sum(gap <= 1e-3 for gap in gaps) / len(gaps), 5),
            "same_decisions_q8_0": same(used, theirs)}


def same(ours: Sequence[Decision], theirs: Sequence[Decision]) -> float:
    """The share of equal decisions."""
    return sum(one.choice == other.choice for one, other in zip(ours, theirs, strict=True)) / len(ours)


def is_met(key: str, value: float) -> bool:
    """Whether a figure reaches its bar."""
    return value <= BARS[key] if key in AT_MOST else value >= BARS[key]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("speed", "shape", "agreement"), metavar="PART",
                        default=("speed", "shape", "agreement"))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=500, help="prompts of the agreement")
    parser.add_argument("--items", type=int, default=96, help="questions of the speed, in all rounds together")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Any] = {**machine([], physical_cores()), "others_at_start": others()}
    try:
        asked = questions(options.data)
        if "speed" in options.only:
            found = speed(library.demo_gguf(), runs.DEMO_BASE, asked[:options.items], asked[-WARM_ITEMS:],
                          options.rounds)
            result |= {"items_ratio": found["items_ratio"], "speed": found}
        if "shape" in options.only:
            with tempfile.TemporaryDirectory() as folder:
                base = write_base(Path(folder) / "base", SHAPES["gemma3-1b"])
                result["shape"] = speed(random_gemma(), base, asked[:max(2, options.items // 12)], asked[-1:], 2)
        if "agreement" in options.only:
            found = agreement(asked[:options.rows])
            result |= found
    except UserError as error:
        sys.exit(str(error))
    for key, bar in BARS.items():
        if key in result:
            sign = "<=" if key in AT_MOST else ">="
            print(f"  {key:20}{result[key]:10.5f}   {sign} {bar:<7}{'met' if is_met(key, result[key]) else 'MISSED'}")
    result |= {"missed": [key for key in BARS if key in result and not is_met(key, result[key])],
               "others_at_end": others()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

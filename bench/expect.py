"""Is what Galen says of a model beforehand true? Tokens a second and memory, reckoned against measured.

    .venv/bin/python bench/expect.py                     random Gemmas of 270M and 1B in two types, the embedded model
    .venv/bin/python bench/expect.py --model FILE ...    other GGUFs
    .venv/bin/python bench/expect.py --only-memory       the memory alone, which needs no idle machine

The random models are made first if they are not there (bench/random_gemma.py). Real tokens a second: of whole answers
through a session, after the worker has chosen its threads. Real memory: what llama.cpp says that it takes
(runtime/estimate.py). Prints a table, then one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":                      # else bench/runtime.py hides the package of that name
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.random_gemma import random_gemma
from bench.runtime import machine, others, physical_cores
from bench.subject import Subject, answer, settle
from models import library
from models.catalog import find
from models.errors import UserError
from models.header import read_header
from runtime import bandwidth
from runtime.bandwidth import Bandwidth
from runtime.config import LoadConfig
from runtime.estimate import HOST, survey
from runtime.expect import Expected, of_entry, of_header
from runtime.pool import conversation_tokens

RANDOM = [("270m", "Q8_0"), ("270m", "Q4_K_M"), ("1b", "Q8_0"), ("1b", "Q4_K_M")]
ENTRIES = {"270m": "gemma-3-270m-it", "1b": "gemma-3-1b-it", "4b": "gemma-3-4b-it"}
NEW_TOKENS = 128
TRIES, RETRY_S = 15, 2.0                        # at measuring the bandwidth of a machine that is busy now and then


def measured_bandwidth() -> Bandwidth:
    """Measured anew. Raises UserError if the machine is never idle enough."""
    for k in range(TRIES):
        try:
            return bandwidth.measure()
        except bandwidth.Busy:
            if k == TRIES - 1:
                raise
            time.sleep(RETRY_S)
    raise AssertionError


def real_tokens_per_s(path: Path, ctx_tokens: int, rounds: int, is_endless: bool) -> list[float]:
    """Of rounds answers, one after another, with the threads that the runtime chooses."""
    subject = Subject(path=path, ctx_tokens=ctx_tokens, threads=0, rounds=rounds, is_endless=is_endless)
    with subject.session() as session:
        prompts = subject.prompts(session, 1)
        answer(session, prompts.ids(32), 8)
        settle(session)
        return [answer(session, prompts.long_answered(NEW_TOKENS), NEW_TOKENS).tokens_per_s for _ in range(rounds)]


def of_file(path: Path, entry_id: str, type_name: str) -> dict[str, Expected]:
    """What is expected of a file that is here, and of the same one before it is fetched."""
    header = read_header(path)
    found = {"here": of_header(header)}
    if entry_id:
        found["before"] = replace(of_entry(find(entry_id), header.bytes, type_name), projector_bytes=0)
    return found


def memory(path: Path, found: dict[str, Expected]) -> dict[str, Any]:
    """Bytes with the usual context: llama.cpp's own figure, ours, and how far ours is off in %."""
    tokens = conversation_tokens(0, read_header(path).ctx_tokens)
    real = survey(path, LoadConfig(threads=physical_cores()), [tokens]).estimates[0].bytes_on(HOST)
    ours = {name: one.memory_bytes(tokens) for name, one in found.items()}
    return {"ctx_tokens": tokens, "llama_cpp": real, **ours,
            "off_percent": {name: round(100 * (count / real - 1), 1) for name, count in ours.items()}}


def speed(path: Path, found: dict[str, Expected], rounds: int) -> dict[str, Any]:
    """Tokens a second: of every real answer, what we said before, and how far that is off in %.

    The bandwidth is measured right before: that of a rented machine changes from minute to minute.
    """
    header = read_header(path)
    before, measured = others(), measured_bandwidth()
    real = real_tokens_per_s(path, min(1024, header.ctx_tokens), rounds, "random" in header.name)
    said = {name: round(one.tokens_per_s(measured), 2) for name, one in found.items()}
    middle = statistics.median(real)
    return {"real": [round(one, 2) for one in real], "said": said, "others_before": before,
            "gb_s": measured.gb_s, "by_type": dict(measured.by_type), "step_us": measured.step_us,
            "one_gb_s": measured.one_gb_s, "one_step_us": measured.one_step_us,
            "off_percent": {name: round(100 * (one / middle - 1), 1) for name, one in said.items()}}


def subjects(options: argparse.Namespace) -> list[tuple[Path, str, str]]:
    """(file, id of the catalog's entry of that shape or "", type) of what is measured."""
    if options.model:
        return [(path, options.entry, options.type) for path in options.model]
    made = [(random_gemma(kind, size=size), ENTRIES[size], kind) for size, kind in RANDOM]
    return [*made, (library.demo_gguf(), "", "Q8_0")]


def worst(results: dict[str, Any], what: str) -> float | None:
    """The largest error of all, in %."""
    found = [abs(off) for one in results.values() if what in one for off in one[what]["off_percent"].values()]
    return max(found, default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, nargs="+", default=None, help="GGUFs (default: random ones, see above)")
    parser.add_argument("--entry", default="", help="the catalog's id of a model of that shape")
    parser.add_argument("--type", default="", help="and its type")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only-memory", action="store_true")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    try:
        for path, entry, kind in subjects(options):
            found = of_file(path, entry, kind)
            results[path.stem] = {"memory": memory(path, found)}
            if not options.only_memory:
                results[path.stem]["speed"] = speed(path, found, options.rounds)
            print(f"{path.stem}: {json.dumps(results[path.stem])}", flush=True)
    except UserError as error:
        sys.exit(str(error))
    print(json.dumps({**machine([], physical_cores()), "models": results,
                      "worst_speed_percent": worst(results, "speed"),
                      "worst_memory_percent": worst(results, "memory")}))


if __name__ == "__main__":
    main()

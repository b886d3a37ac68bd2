"""Every benchmark, by the name that a person gives it."""

import difflib

from evaluation.benchmarks import (
    conversation,
    literature,
    medmcqa,
    medqa,
    mmlu,
    mts_dialog,
    own,
    perplexity,
    pubmedqa,
    safety,
)
from evaluation.benchmarks.benchmark import Benchmark
from models.errors import UserError

BENCHMARKS: dict[str, Benchmark] = {module.BENCHMARK.name: module.BENCHMARK for module in (
    pubmedqa, medqa, medmcqa, mmlu, mts_dialog, literature, safety, conversation, perplexity, own)}


def find(name: str) -> Benchmark:
    """The benchmark of that name. Raises UserError naming the nearest, or all."""
    found = BENCHMARKS.get(name.casefold().replace("-", "_"))
    if found:
        return found
    near = difflib.get_close_matches(name.casefold(), BENCHMARKS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(BENCHMARKS)}."
    raise UserError(f"There is no benchmark {name!r}; {hint}")

"""PubMedQA: a question and an abstract without its conclusion; yes, no or maybe."""

from evaluation.benchmarks import decisions
from evaluation.benchmarks.benchmark import ACCURACY, Benchmark, Opened
from evaluation.benchmarks.rows import read_rows
from evaluation.config import EvaluateConfig

HUB, HUB_SPLIT = ("hf:qiaojin/PubMedQA:pqa_labeled",), "train"


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The questions of a PQA-L file, as published or as the hub has it."""
    return decisions.cases(read_rows(source, "PubMedQA", config, HUB, HUB_SPLIT), config)


BENCHMARK = Benchmark(
    name="pubmedqa", title="PubMedQA, labelled by experts (PQA-L)", licence="MIT",
    source="https://github.com/pubmedqa/pubmedqa",
    split="The official test set is 500 of the 1,000 questions of PQA-L, by PMID; the hub has all 1,000 as one split.",
    kind=ACCURACY, metrics=("accuracy",), hub=HUB, hub_split=HUB_SPLIT, knobs=decisions.KNOBS,
    about="The share of questions decided as the experts did; the decision is the likeliest of yes, no and maybe, and "
          "nothing is read from free text.",
    open=open_cases, score=decisions.score, calibrate=decisions.calibrate, group=decisions.AT_ONCE)

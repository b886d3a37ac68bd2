"""MedQA: questions of the United States medical licensing examination, four or five options."""

from evaluation.benchmarks import decisions
from evaluation.benchmarks.benchmark import ACCURACY, Benchmark, Opened
from evaluation.benchmarks.rows import read_rows
from evaluation.config import EvaluateConfig

HUB, HUB_SPLIT = ("hf:GBaker/MedQA-USMLE-4-options",), "test"


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The questions of a MedQA file; the report counts the steps of the examination apart."""
    found = read_rows(source, "multiple choice", config, HUB, HUB_SPLIT)
    return decisions.cases(found, config, lambda row: str(row.record.get("meta_info") or ""))


BENCHMARK = Benchmark(
    name="medqa", title="MedQA (USMLE)", licence="MIT", source="https://github.com/jind11/MedQA",
    split="test: 1,273 questions", kind=ACCURACY, metrics=("accuracy",), hub=HUB, hub_split=HUB_SPLIT,
    knobs=decisions.KNOBS,
    about="The share of examination questions whose likeliest option is the right one.",
    open=open_cases, score=decisions.score, calibrate=decisions.calibrate, group=decisions.AT_ONCE)

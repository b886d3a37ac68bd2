"""MedMCQA: questions of the Indian AIIMS and NEET entrance examinations, four options."""

from evaluation.benchmarks import decisions
from evaluation.benchmarks.benchmark import ACCURACY, Benchmark, Opened
from evaluation.benchmarks.rows import read_rows
from evaluation.config import EvaluateConfig

HUB, HUB_SPLIT = ("hf:openlifescienceai/medmcqa",), "validation"


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The questions of a MedMCQA file; the report counts the subjects apart, where the file names them."""
    found = read_rows(source, "multiple choice", config, HUB, HUB_SPLIT)
    return decisions.cases(found, config, lambda row: str(row.record.get("subject_name") or ""))


BENCHMARK = Benchmark(
    name="medmcqa", title="MedMCQA", licence="Apache-2.0", source="https://medmcqa.github.io",
    split="validation: 4,183 questions (the keys of the test split are not published)",
    kind=ACCURACY, metrics=("accuracy",), hub=HUB, hub_split=HUB_SPLIT, knobs=decisions.KNOBS,
    about="The share of examination questions whose likeliest option is the right one; several keys are disputed, and "
          "some questions lean on a picture that the file lacks.",
    open=open_cases, score=decisions.score, calibrate=decisions.calibrate, group=decisions.AT_ONCE)

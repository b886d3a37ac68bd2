"""MMLU: the six medical subjects of the Massive Multitask Language Understanding test, four options."""

import dataclasses
from pathlib import Path

from evaluation.benchmarks import decisions
from evaluation.benchmarks.benchmark import ACCURACY, Benchmark, Opened
from evaluation.benchmarks.rows import BenchmarkRow, read_rows
from evaluation.config import EvaluateConfig

SUBJECTS = ("anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics",
            "professional_medicine")
HUB, HUB_SPLIT = tuple(f"hf:cais/mmlu:{subject}" for subject in SUBJECTS), "test"


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The questions of a subject's file, or of the medical subjects in a folder of them; each subject is a group."""
    found = read_rows(source, "multiple choice", config, HUB, HUB_SPLIT)
    medical = tuple(row for row in found.rows if subject(row))
    if medical and len(medical) < len(found.rows):
        files = sorted({Path(row.file).name for row in found.rows} - {Path(row.file).name for row in medical})
        found = dataclasses.replace(found, rows=medical, notes=(
            *found.notes, f"Not of a medical subject by their names, and not read: {', '.join(files)}."))
    missing = [one for one in SUBJECTS if one not in set(map(subject, found.rows))]
    if medical and missing:
        found = dataclasses.replace(found, notes=(
            *found.notes, f"{len(SUBJECTS) - len(missing)} of the {len(SUBJECTS)} medical subjects, without "
            f"{', '.join(missing)}: no figure of all of them."))
    return decisions.cases(found, config, subject)


def subject(row: BenchmarkRow) -> str:
    """The medical subject that the row, or the name of its file, says; "" if none."""
    said = f"{row.record.get('subject') or ''} {row.file}".casefold().replace(" ", "_")
    return next((one for one in SUBJECTS if one in said), "")


BENCHMARK = Benchmark(
    name="mmlu", title="MMLU, medical subjects", licence="MIT", source="https://github.com/hendrycks/test",
    split="test: anatomy 135, clinical knowledge 265, college biology 144, college medicine 173, medical genetics 100, "
          "professional medicine 272",
    kind=ACCURACY, metrics=("accuracy",), hub=HUB, hub_split=HUB_SPLIT, knobs=decisions.KNOBS,
    about="The share of questions whose likeliest option is the right one, without examples before the question "
          "(published figures mostly have five).",
    open=open_cases, score=decisions.score, calibrate=decisions.calibrate, group=decisions.AT_ONCE)

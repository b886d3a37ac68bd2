"""Whether an adapter as GGUF, switched on beside its base, is the tuned model: the same check as of a whole file."""

import time
from contextlib import closing
from pathlib import Path

from convert import check
from convert.check import Check, FileReport
from convert.loss import compare
from convert.survey import GREEDY_TOKENS, Progress, Survey
from models.errors import UserError
from models.header import read_header
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference

KIND = "adapter"                # what stands for the type in the report


def check_lora(adapter: Path, base: Path, base_type: str, survey: Survey, reference: Reference, progress: Progress,
               threads: int = 0) -> FileReport:
    """The report on adapter beside base, the GGUF of the base alone in base_type, whose limit holds.

    survey, reference: of base and adapters together. progress may raise to stop. Size and types are the adapter's
    own, the speeds those of both together. What can not be opened gets a report with that one failed check.
    """
    report = FileReport(path=adapter, type_name=KIND, bytes=adapter.stat().st_size)
    longest = max([len(ids) for ids in survey.rows] + [len(start.ids) + len(start.answer) for start in survey.starts])
    config = LoadConfig(ctx_tokens=longest + 2 * GREEDY_TOKENS + 8, threads=threads, exact=True)
    try:
        model = Probe(base, config, adapter)
    except UserError as error:
        report.checks.append(Check(name="opens", figure=0, limit=1, is_ok=False, note=str(error)))
        return report
    with closing(model):
        progress("Checking the prompts of the adapter", 0, 1)
        report.checks += check.template_checks(model, survey.tokenizer) + check.prompt_checks(model, survey)
        loss = compare(model, survey, reference,
                       lambda done, of: progress("Comparing the adapter with the reference", done, of))
        report.checks += check.loss_checks(loss, check.KL_LIMITS[base_type])
        report.compared = {"tokens": loss.positions, "heldout_tokens": survey.heldout_tokens}
        progress("Checking where the adapter stops", 0, 1)
        report.checks += check.stop_checks(model, survey, base_type in check.EXACT_STOPS)
    report.mix = check.mix(read_header(adapter))
    report.figures = _speeds(base, adapter, threads)
    return report


def _speeds(base: Path, adapter: Path, threads: int) -> dict[str, float]:
    """As check.check_files measures a file."""
    config = LoadConfig(ctx_tokens=check.SPEED_PROMPT_TOKENS + check.SPEED_NEW_TOKENS + 8, threads=threads)
    began = time.perf_counter()
    with closing(Probe(base, config, adapter)) as model:
        loaded = time.perf_counter()
        read, made = model.speeds(check.text_ids(model, check.SPEED_PROMPT_TOKENS), check.SPEED_NEW_TOKENS)
    return {"load_s": round(loaded - began, 3), "prompt_tokens_per_s": round(read, 1),
            "generated_tokens_per_s": round(made, 1)}

"""Whether an adapter as GGUF, switched on beside its base, is the tuned model: the same check as of a whole file."""

from contextlib import closing
from pathlib import Path

from convert import check
from convert.check import Check, FileReport
from convert.config import ADAPTER
from convert.survey import Progress, Survey
from models.errors import UserError
from models.header import read_header
from runtime.probe import Probe
from runtime.reference import Reference


def check_lora(adapter: Path, base: Path, base_type: str, survey: Survey, reference: Reference, progress: Progress,
               threads: int = 0) -> FileReport:
    """The report on adapter beside base, the GGUF of the base alone in base_type, whose limit holds.

    survey, reference: of base and adapters together. progress may raise to stop. Size and types are the adapter's
    own, the speeds those of both together. What can not be opened gets a report with that one failed check.
    """
    report = FileReport(path=adapter, type_name=ADAPTER, bytes=adapter.stat().st_size)
    try:
        model = Probe(base, check.exact_config(survey, threads), adapter)
    except UserError as error:
        report.checks.append(Check(name=check.OPENS, figure=0, limit=1, is_ok=False, note=str(error)))
        return report
    with closing(model):
        check.hold_against(model, report, survey, reference, check.KL_LIMITS[base_type], base_type,
                           progress)
    report.mix = check.mix(read_header(adapter))
    report.figures = check.speeds(base, adapter, threads)
    return report

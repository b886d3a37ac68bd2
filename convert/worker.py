"""The export job: `python -m convert.worker RUN_DIR` turns what config.json names into checked GGUF files."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convert import check, gguf
from convert.config import ExportConfig
from convert.model import MergedModel
from convert.probes import read_heldout
from convert.quantize import check_disk, quantize
from convert.scratch import scratch
from convert.source import Source, resolve
from models import knobs, runs
from models.base import family, fingerprint
from models.errors import UserError
from models.job import Job, main
from runtime import llama
from runtime.reference import Reference


class Stopped(Exception):
    """The person asked the job to stop."""


def work(job: Job) -> None:
    """Run the export that job.folder's config.json describes."""
    config = knobs.from_json(ExportConfig, runs.read_json(job.folder / runs.CONFIG))
    export(config, job)


def export(config: ExportConfig, job: Job, kl_limits: Mapping[str, float] = check.KL_LIMITS) -> None:
    """Source -> merged GGUF -> each type -> checked -> under its final name, with report.json beside.

    Raises UserError for anything a person can fix, and when a file fails its check: it then keeps the name
    NAME-TYPE.failed.gguf. Returns early, leaving nothing, once the job is asked to stop.
    """
    types = list(dict.fromkeys(config.types))
    if not types:
        raise UserError("No type is named; use one or more of those that `export --help` lists.")
    source = resolve(config, job.folder)
    finals = {name: source.out / f"{source.stem}-{name}.gguf" for name in types}
    for path in finals.values():
        if path.exists():
            raise UserError(f"{path} exists already; delete or rename it, or give the export another name or folder.")
    try:
        with scratch(source.out) as folder:
            _export_within(folder, source, finals, config, job, kl_limits)
    except Stopped:
        job.event("note", text="Stopped; nothing was left behind.")
    except OSError as error:
        if runs.is_disk_full(error):
            raise UserError(f"The disk is full: the export could not be finished in {source.out}. "
                            "Free some space and try again.") from error
        raise


def _export_within(folder: Path, source: Source, finals: dict[str, Path], config: ExportConfig, job: Job,
                   kl_limits: Mapping[str, float]) -> None:
    steps = 3 + len(finals)
    progress = _progress(job)
    progress("Reading the model", 0, steps)
    model = MergedModel(source.base, source.adapter, source.title)
    _note_vocab(model, job)
    check_disk(folder, model.plan, list(finals))
    progress("Merging" if source.adapter else "Converting", 1, steps)
    merged = folder / "merged.gguf"
    _write(merged, model, progress)
    order = sorted(finals, key=lambda name: name == model.plan.type_name)   # the merged file itself goes last
    for k, name in enumerate(order):
        progress(f"Quantizing to {name}", 2 + k, steps)
        quantize(merged, folder / finals[name].name, model.plan, name, config.threads)
    merged.unlink(missing_ok=True)
    progress("Loading the reference", steps - 1, steps)
    reference = Reference(source.base, source.adapter, config.threads)
    heldout = read_heldout(source.heldout) if source.heldout else []
    reports = check.check_files([(folder / finals[name].name, name) for name in finals], reference, heldout,
                                progress, kl_limits, config.threads)
    progress("Publishing", steps, steps)
    _publish(reports, source, finals, job)


def _progress(job: Job) -> Callable[[str, int, int], None]:
    def progress(text: str, done: int, of: int) -> None:
        if job.is_stop_asked():
            raise Stopped
        job.event("phase", text=text, done=done, of=of)
    return progress


def _note_vocab(model: MergedModel, job: Job) -> None:
    left_out = model.plan.vocab.left_out
    if left_out:
        job.event("note", text=f"{len(left_out)} tokens have no row in the embedding and are left out: "
                               f"{', '.join(left_out[:3])}.")
    if not model.plan.vocab.template:
        job.event("note", text="The base model has no chat template, so the file can not be used to chat.")


def _write(path: Path, model: MergedModel, progress: Callable[[str, int, int], None]) -> None:
    tensors, last = model.plan.tensors, [0.0]

    def read(tensor: Any) -> Any:
        if time.monotonic() - last[0] > 1:
            progress("Merging and writing", tensors.index(tensor), len(tensors))
            last[0] = time.monotonic()
        return model.read(tensor)

    gguf.write(path, model.plan, read)


def _publish(reports: list[check.FileReport], source: Source, finals: dict[str, Path], job: Job) -> None:
    """Give each file its name: the final one, or .failed.gguf. Raises UserError if one failed."""
    names, failures = [], []
    for report in reports:
        final = finals[report.type_name]
        if report.failed:
            final = final.with_suffix(".failed.gguf")
            found = report.failed[0]
            limit = "" if found.limit is None else f" (limit {found.limit:g})"
            failures.append(f"{report.type_name}: {found.name} = {found.figure:.4g}{limit}"
                            f"{', ' + found.note if found.note else ''}")
        os.replace(report.path, final)
        names.append(final.name)
        job.event("note", text=f"{final.name}: {report.bytes / 1e6:,.1f} MB, "
                               f"{'FAILED its check' if report.failed else 'checked'}.")
    _write_report(reports, names, source, job)
    if failures:
        raise UserError(f"The check found that the file is not the model it was made from. {'; '.join(failures)}. "
                        f"It is kept as *.failed.gguf in {source.out}; see {runs.REPORT} there.")


def _write_report(reports: list[check.FileReport], names: list[str], source: Source, job: Job) -> None:
    """report.json beside the files: these, and what it already says of others that are still there."""
    path = source.out / runs.REPORT
    earlier = runs.read_json(path)["files"] if path.is_file() else []
    kept = [one for one in earlier if one["name"] not in names and (source.out / one["name"]).is_file()]
    files = kept + [report.to_json(name) for report, name in zip(reports, names, strict=True)]
    base = {"path": str(source.base), "fingerprint": fingerprint(source.base), "family": family(source.base)}
    runs.write_json(path, {"base": base, "adapter": str(source.adapter) if source.adapter else None,
                           "heldout": str(source.heldout) if source.heldout else None,
                           "llama_cpp_python": llama.version(), "files": files})
    runs.write_json(job.folder / runs.RESULT, {"folder": str(source.out), "files": names})


if __name__ == "__main__":
    main(work)

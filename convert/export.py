"""One export from start to end: source -> one pass of writing -> checked -> published."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert import check, handover, imatrix, modelfile, ollama, safetensors
from convert.check import FileReport
from convert.config import ADAPTER, SAFETENSORS, ExportConfig
from convert.lora import LoraFile
from convert.lora_check import check_lora
from convert.model import MergedModel
from convert.planned import Planned, long_row_tokens
from convert.probes import Messages, read_heldout
from convert.publish import Exported, deliver, publish, send_again
from convert.quantize import check_room, sizes
from convert.report import check_place
from convert.scratch import scratch
from convert.source import Source, resolve
from convert.stream import write_all
from convert.survey import Progress, Survey
from models import runs
from models.errors import UserError
from models.job import Job
from runtime.reference import Reference


class Stopped(Exception):
    """The person asked the job to stop."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one export knows before it writes. finals: where each kind of file goes; folder: where it is made."""
    config: ExportConfig
    source: Source
    finals: dict[str, Path]
    folder: Path
    model: MergedModel
    lora: LoraFile | None
    unmerged: MergedModel | None        # the base alone, which an adapter file is tried on
    heldout: list[Messages]
    progress: Progress
    tell: Callable[[FileReport], None]  # of each file, once it is checked

    def part(self, kind: str) -> Path:
        """Where the file of that kind is made."""
        return self.folder / self.finals[kind].name

    @property
    def matrix(self) -> Path:
        """Where the importance matrix goes."""
        return self.source.out / f"imatrix-{self.source.stem}.gguf"

    def written(self, text: str) -> Callable[[int, int], None]:
        """Progress of one file's writing."""
        return lambda done, of: self.progress(text, done, of)


def export(config: ExportConfig, job: Job, limits: Mapping[str, float] = check.KL_LIMITS) -> None:
    """Do what config says, with report.json and the rest of the hand-over beside the files.

    Raises UserError for anything a person can fix, and when a file fails its check: it then keeps the name
    NAME-TYPE.failed.gguf. Returns early, leaving nothing, once the job is asked to stop.
    """
    progress, place, published = _progress(job), Path(config.source), False
    try:
        if send_again(config, job, progress):
            return
        source = resolve(config, job.folder)
        finals, place = _finals(config, source), source.out
        with scratch(source.out) as folder:
            progress("Reading the model", 0, 1)
            task = _prepare(config, source, finals, folder, job, progress)
            for text in _notes(task):
                job.event("note", text=text)
            exported = _make(task, limits)
            progress("Publishing", 0, 1)
            done = publish(exported, job, progress)
        published = True
        deliver(exported, done, job, progress)
    except Stopped:
        job.event("note", text=f"Stopped before everything was sent; the files are in {place}." if published
                  else "Stopped; nothing was left behind.")
    except OSError as error:
        if runs.is_disk_full(error):
            raise UserError(f"The disk is full: the export could not be finished in {place}. "
                            "Free some space and try again.") from error
        raise


def _progress(job: Job) -> Progress:
    def progress(text: str, done: int, of: int) -> None:
        if job.is_stop_asked():
            raise Stopped
        job.event("phase", text=text, done=done, of=of)
    return progress


def _finals(config: ExportConfig, source: Source) -> dict[str, Path]:
    """Where everything asked for goes. Raises UserError if something is there already, or a name is not possible."""
    if config.ollama:
        modelfile.check_name(config.ollama)
        ollama.check_host()
    handover.check_free(source.out, source.base)
    handover.check_told(source.title, source.base, source.adapters)
    check_place(source.out)
    handover.check_same(source.out, source.made_from())
    finals = {name: source.out / f"{source.stem}-{name}.gguf" for name in config.gguf_types}
    if ADAPTER in config.types:
        finals[ADAPTER] = source.out / f"{source.stem}-{ADAPTER}.gguf"
    if SAFETENSORS in config.types:
        finals[SAFETENSORS] = source.out / f"{source.stem}-{SAFETENSORS}"
    if config.ollama and not config.gguf_types:
        raise UserError("Ollama needs a GGUF; name a type such as Q4_K_M beside what was asked for.")
    _refuse_existing(finals)
    return finals


def _refuse_existing(finals: Mapping[str, Path]) -> None:
    for final in finals.values():               # what failed an earlier check may be made again, and is replaced
        for path in (final, final.with_suffix(".forced.gguf")):
            if path.exists():
                raise UserError(f"{path} exists already; delete or rename it, or give the export another name or "
                                "folder.")


def _prepare(config: ExportConfig, source: Source, finals: dict[str, Path], folder: Path, job: Job,
             progress: Progress) -> Task:
    """Everything that can be refused is refused here, before any work."""
    _refuse_existing(finals)                    # once more, now that no other export can put anything there
    model = MergedModel(source.base, source.adapters, source.title)
    lora = unmerged = None
    if ADAPTER in finals:
        if not source.adapters:
            raise UserError(f"{source.base} has no adapter, so there is none to write; take {ADAPTER!r} out of the "
                            "types.")
        unmerged = MergedModel(source.base, (), source.title)
        lora = LoraFile(unmerged, source.base, source.adapters, source.title)
    if model.projector_plan and config.gguf_types:
        finals[check.MMPROJ] = source.out / f"mmproj-{source.stem}-{model.projector_plan.type_name}.gguf"
    task = Task(config=config, source=source, finals=finals, folder=folder, model=model, lora=lora, unmerged=unmerged,
                heldout=read_heldout(source.heldout) if source.heldout else [], progress=progress,
                tell=lambda report: job.event("file", **report.to_json(report.path.name)))
    if check.MMPROJ in finals:
        handover.check_replaceable(finals[check.MMPROJ])
    if any(_is_weighed(task, name) for name in config.gguf_types):
        handover.check_replaceable(task.matrix, source.made_from()["heldout"])
    _check_room(task)
    return task


def _check_room(task: Task) -> None:
    """Raise UserError unless the disk holds all that will lie there at once."""
    types, model = task.config.gguf_types, task.model
    needed = sum(sizes(model.plan, types, task.folder, [name for name in types if _is_weighed(task, name)]).values())
    others = [model.projector_plan if check.MMPROJ in task.finals else None,
              task.unmerged.plan if task.unmerged and task.config.compare else None]
    for plan in filter(None, others):
        needed += sizes(plan, [plan.type_name], task.folder)[plan.type_name]
    if SAFETENSORS in task.finals:
        needed += safetensors.total_bytes(model, task.source.base)
    check_room(task.source.out, needed + (task.lora.bytes if task.lora else 0))


def _is_weighed(task: Task, name: str) -> bool:
    """True for a type that gets an importance matrix."""
    return (task.config.importance and task.config.compare and bool(task.heldout)
            and imatrix.uses_importance(name))


def _notes(task: Task) -> list[str]:
    vocab = task.model.plan.vocab
    assert vocab
    notes = list(task.model.notes)
    if vocab.left_out:
        notes.append(f"{len(vocab.left_out)} tokens have no row in the embedding and are left out: "
                     f"{', '.join(vocab.left_out[:3])}.")
    if not vocab.template:
        notes.append("The base model has no chat template, so the file can not be used to chat.")
    if (task.config.importance and not task.config.compare and task.heldout
            and any(map(imatrix.uses_importance, task.config.gguf_types))):
        notes.append("No importance matrix is made: it comes from the reference, which was not to be loaded.")
    return notes


def _make(task: Task, limits: Mapping[str, float]) -> Exported:
    """Write everything into the scratch folder and check it."""
    types, reference, survey = task.config.gguf_types, None, None
    if task.config.compare and (types or task.lora):
        task.progress("Loading the reference", 0, 1)
        reference = Reference(task.source.base, task.source.adapters, task.config.threads,
                              progress=task.written("The reference reads the layers"))
        survey = Survey.take(reference, task.heldout, task.progress,
                             wants_sums=any(_is_weighed(task, name) for name in types),
                             long_row_tokens=long_row_tokens(task.model.plan))
        reference.release_layers()
    matrix = _write(task, survey)
    files, planned = [(task.part(name), name) for name in types], Planned(plan=task.model.plan, weighed=set(matrix))
    reports: list[FileReport] = []
    for file in files:
        if survey and reference:
            reports += check.check_files([file], survey, reference, planned, task.progress, limits, task.config.threads)
        else:
            reports += check.check_structure([file], planned, task.progress, task.config.threads)
        reports[-1].has_importance = file[1] in matrix
        task.tell(reports[-1])
    if check.MMPROJ in task.finals:
        assert task.model.projector_plan
        reports.append(check.check_projector(task.part(check.MMPROJ), task.model.projector_plan,
                                             task.model.rows))
    if task.lora:
        reports.append(_check_adapter(task, survey, reference))
    return Exported(config=task.config, source=task.source, finals=task.finals, folder=task.folder, reports=reports,
                    survey=survey, vocab=task.model.plan.vocab, has_matrix=bool(matrix),
                    heldout=[row for row in task.heldout if not survey or row not in survey.refused])


def _write(task: Task, survey: Survey | None) -> dict[str, dict[str, np.ndarray]]:
    """All files from one reading of the weights; returns the importance matrix by type, for those that got one."""
    model, types, threads = task.model, task.config.gguf_types, task.config.threads
    found = imatrix.importance(survey.sums, model) if survey and survey.sums else {}
    matrix = {name: found for name in types if found and _is_weighed(task, name)}
    write_all(model, {name: task.part(name) for name in types}, matrix, threads,
              task.written("Merging, quantizing and writing"))
    if matrix and survey and survey.sums:
        imatrix.write_imatrix(task.folder / task.matrix.name, survey.sums, model,
                              "held-out rows of the run")
    if check.MMPROJ in task.finals:
        assert model.projector_plan
        tower = _Tower(model)
        write_all(tower, {tower.plan.type_name: task.part(check.MMPROJ)}, threads=threads,
                  progress=task.written("Writing the vision tower"))
    if task.lora:
        task.lora.write(task.part(ADAPTER), task.written("Writing the adapter"))
    if SAFETENSORS in task.finals:
        safetensors.write(model, task.source.base, task.part(SAFETENSORS), task.written("Writing the merged weights"),
                          threads=threads)
    return matrix


class _Tower:
    """The vision tower of a merged model, as write_all wants it."""

    def __init__(self, model: MergedModel):
        assert model.projector_plan
        self.plan, self.rows = model.projector_plan, model.rows


def _check_adapter(task: Task, survey: Survey | None, reference: Reference | None) -> FileReport:
    """The adapter file on the base alone, which is written for that; without a reference nothing can be said of it."""
    path = task.part(ADAPTER)
    if not survey or not reference or not task.unmerged:
        report = FileReport(path=path, type_name=ADAPTER, bytes=path.stat().st_size)
        report.checks.append(check.Check(name=check.KL, note=check.NO_REFERENCE))
        return report
    kind, base = task.unmerged.plan.type_name, task.folder / "base.gguf"
    write_all(task.unmerged, {kind: base}, threads=task.config.threads,
              progress=task.written("Writing the base for the adapter's check"))
    report = check_lora(path, base, kind, survey, reference, task.progress, task.config.threads)
    base.unlink()
    return report

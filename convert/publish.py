"""What becomes of checked files: their names, the report, the hand-over, Ollama and the hub."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert import check, handover, hub, modelfile, ollama, probes
from convert import report as report_page
from convert.check import FileReport
from convert.config import SAFETENSORS, ExportConfig
from convert.handover import HandedOver, HandOver
from convert.licence import read_licence
from convert.probes import Messages
from convert.source import Source
from convert.survey import Progress, Survey
from convert.vocab import Vocab
from models import runs
from models.base import family, fingerprint
from models.errors import UserError
from models.header import read_header
from models.job import Job
from runtime import llama
from runtime.config import LoadConfig
from runtime.device import machine
from runtime.probe import Probe
from tasks.prompt import prompt_ids

ANSWER_CTX_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Files that lie in folder under the names of their finals, and what was found of them."""
    config: ExportConfig
    source: Source
    finals: dict[str, Path]
    folder: Path
    reports: list[FileReport]
    survey: Survey | None
    vocab: Vocab | None
    heldout: list[Messages]
    has_matrix: bool

    @property
    def passed(self) -> list[FileReport]:
        """Those that may be used: nothing red, or published nevertheless."""
        return [one for one in self.reports if not one.failed or self.config.force]

    @property
    def matrix(self) -> Path:
        """Where the importance matrix goes."""
        return self.source.out / f"imatrix-{self.source.stem}.gguf"

    def final(self, report: FileReport) -> Path:
        """The name that a checked file gets."""
        return check.published(self.finals[report.type_name], report, self.config.force)


def publish(exported: Exported, job: Job, progress: Progress) -> HandedOver:
    """Give each file its name, .failed.gguf where it is red, with the report and the hand-over beside them.

    All of it or nothing: whatever goes wrong meanwhile, the folder is left as it was.
    """
    with _all_or_nothing(exported):
        named, texts = [], []
        for report in exported.reports:
            final = exported.final(report)
            os.replace(report.path, final)
            named.append(report.to_json(final.name, exported.config.force))
            texts.append(f"{final.name}: {report.bytes / 1e6:,.1f} MB, {_words(report)}.")
        if exported.has_matrix:
            os.replace(exported.folder / exported.matrix.name, exported.matrix)
        if SAFETENSORS in exported.finals:
            merged = exported.finals[SAFETENSORS]
            os.replace(exported.folder / merged.name, merged)
            texts.append(f"{merged.name}: the merged weights.")
        if named:
            report_page.write(exported.source.out, _about(exported), named)
        done = _hand_over(exported, progress)
        names = [one["name"] for one in named]
        runs.write_json(job.folder / runs.RESULT, {"folder": str(exported.source.out), "files": names})
    for text in [*texts, done.note if exported.config.gguf_types else ""]:
        if text:
            job.event("note", text=text)
    return done


@contextmanager
def _all_or_nothing(exported: Exported) -> Iterator[None]:
    """Take back whatever is new in the folder, and restore the small files that were there, if the block fails."""
    out = exported.source.out
    big = [*(exported.final(one) for one in exported.reports), exported.matrix,
           *(path for kind, path in exported.finals.items() if kind == SAFETENSORS)]
    small = {out / name: b"" for name in (runs.REPORT, report_page.PAGE, handover.CARD, handover.SUMS, modelfile.NAME,
                                          *(path.name for path in read_licence(exported.source.base).files))}
    before = {path: path.read_bytes() for path in small if path.is_file()}
    old_matrix = exported.matrix.read_bytes() if exported.matrix.is_file() else None
    try:
        yield
    except BaseException:
        for path in big:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for path in small:
            path.unlink(missing_ok=True)
        for path, data in before.items():
            path.write_bytes(data)
        if old_matrix is not None:
            exported.matrix.write_bytes(old_matrix)
        raise


def _words(report: FileReport) -> str:
    return {check.GREEN: "checked", check.RED: "FAILED its check", check.GREY: "structure checked"}[report.status]


def _about(exported: Exported) -> dict[str, Any]:
    """What the report says of the export as a whole; no paths, since it is made to be handed on."""
    source, survey, here = exported.source, exported.survey, machine()
    return {"title": source.title,
            "base": {"name": source.base.name, "fingerprint": fingerprint(source.base), "family": family(source.base)},
            "adapters": [_adapter_name(path) for path in source.adapters],
            "heldout": f"{len(exported.heldout)} rows" if exported.heldout else None,
            "reference": survey.to_json() if survey else None,
            "importance": survey.importance_json() if survey else f"none: {check.NO_REFERENCE}",
            "machine": {"cores": here.cores, "memory_gb": round(here.total_mb / 1000, 1)},
            "llama_cpp_python": llama.version()}


def _adapter_name(path: Path) -> str:
    return path.parent.name if path.name == runs.ADAPTER else path.name


def deliver(exported: Exported, done: HandedOver, job: Job, progress: Progress) -> None:
    """To Ollama and to the hub, as asked.

    Raises UserError if a file failed its check, or one of the two did not take it; the files stay where they are.
    """
    _refuse_failed(exported)
    if exported.config.ollama:
        _to_ollama(exported, done, job, progress)
    if exported.config.push:
        known = [read_licence(exported.source.base).text, exported.vocab.template if exported.vocab else ""]
        _to_hub(exported.config, exported.source.out, known, job, progress)


def _hand_over(exported: Exported, progress: Progress) -> HandedOver:
    source, passed = exported.source, exported.passed
    model = next((exported.final(one).name for one in passed if one.type_name in exported.config.gguf_types), "")
    projector = next((exported.final(one).name for one in passed if one.type_name == check.MMPROJ), "")
    names = [exported.final(one).name for one in passed]
    if exported.has_matrix:
        names.append(exported.matrix.name)
    if SAFETENSORS in exported.finals:
        folder = exported.finals[SAFETENSORS]
        names += [f"{folder.name}/{path.name}" for path in sorted(folder.iterdir())]
    keys = exported.vocab.metadata() if exported.vocab else {}
    wanted = HandOver(out=source.out, title=source.title, base=source.base, adapters=source.adapters,
                      tokenizer=exported.survey.tokenizer if exported.survey else exported.vocab,
                      is_bos_added=keys.get("tokenizer.ggml.add_bos_token", True), model=model, projector=projector,
                      system=modelfile.shared_system(exported.heldout))
    return handover.complete(wanted, names, progress)


def _refuse_failed(exported: Exported) -> None:
    failures = []
    for report in exported.reports:
        if report.failed and not exported.config.force:
            found = report.failed[0]
            limit = "" if found.limit is None else f" (limit {found.limit:g})"
            figure = "" if found.figure is None else f" = {found.figure:.4g}"
            failures.append(f"{report.type_name}: {found.name}{figure}{limit}"
                            f"{', ' + found.note if found.note else ''}")
    if failures:
        raise UserError(f"The check found that the file is not the model it was made from. {'; '.join(failures)}. "
                        f"It is kept as *.failed.gguf in {exported.source.out}; see {report_page.PAGE} there.")


def _to_ollama(exported: Exported, done: HandedOver, job: Job, progress: Progress) -> None:
    name, out = exported.config.ollama, exported.source.out
    if not done.described:
        raise UserError(f"The files are in {out}, but nothing was sent to Ollama. {done.note}")
    ollama.create(name, out, done.described, progress, done.digests)
    job.event("note", text=f"Ollama has {name}; try: ollama run {name}")
    asked = [row[:-1] for row in exported.heldout] or probes.starts()
    path = next(exported.final(one) for one in exported.passed if one.type_name in exported.config.gguf_types)
    probe = Probe(path, LoadConfig(ctx_tokens=ANSWER_CTX_TOKENS, threads=exported.config.threads))
    try:
        def ours(messages: Sequence[Any], max_tokens: int) -> ollama.Answer:
            ids = prompt_ids(messages, probe)
            made, reason = probe.generate(ids, max_tokens)
            text = b"".join(map(probe.piece, made)).decode("utf-8", "replace")
            return ollama.Answer(text=text, prompt_tokens=len(ids), reason=reason)
        found = ollama.compare(name, asked[0], ours)
    finally:
        probe.close()
    job.event("note", text=f"One prompt, greedily, through Ollama and here: {found.note}.")
    if found.is_ok is False:
        raise UserError(f"Ollama has {name}, but it does not answer as the file does: {found.note}.")


def _to_hub(config: ExportConfig, folder: Path, known: Sequence[str], job: Job, progress: Progress) -> None:
    address = hub.upload(folder, config.push, progress, is_public=config.public,
                         allow_identifiers=config.allow_identifiers, known=[text for text in known if text])
    job.event("note", text=f"Uploaded to {address}, {'for everybody to see' if config.public else 'private'}.")


def push_again(config: ExportConfig, job: Job, progress: Progress) -> bool:
    """If the source is the folder of an earlier export, and it is to be pushed: do only that, and say so."""
    folder = Path(config.source)
    if not config.push or not (folder / handover.SUMS).is_file() or (folder / "config.json").exists():
        return False
    names = handover.handed_over(folder)
    known = [(folder / name).read_text(encoding="utf-8", errors="replace") for name in names if "LICENSE" in name]
    known += [read_header(folder / name).template for name in names if name.endswith(".gguf")]
    _to_hub(config, folder, known, job, progress)
    runs.write_json(job.folder / runs.RESULT, {"folder": str(folder), "files": names})
    return True

"""What becomes of checked files: their names, the report, the hand-over, Ollama and the hub."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from convert import check, handover, hub, modelfile, ollama, probes
from convert import report as report_page
from convert.card import FAILED, PASSED, STRUCTURE, UNCHECKED, evaluations_of, verdict
from convert.check import FileReport
from convert.config import SAFETENSORS, ExportConfig
from convert.handover import HandedOver, HandOver
from convert.licence import read_licence
from convert.probes import Messages
from convert.source import Source
from convert.survey import Progress, Survey, ids_or_none
from convert.vocab import Vocab
from models import outside, runs
from models.errors import UserError
from models.header import read_metadata
from models.job import Job
from runtime import llama
from runtime.config import LoadConfig
from runtime.device import machine
from runtime.probe import Probe
from tasks.prompt import prompt_ids

ANSWER_CTX_TOKENS = 4096
STAGE = "stage"                 # in the scratch folder: the output folder as it will be
SMALL_BYTES = 1 << 22
OLLAMA = "Ollama, where OLLAMA_HOST says it is"
SENT = ("source", "ollama", "push", "public", "allow_identifiers", "threads")    # what an earlier export is sent by
WORDS = {PASSED: "checked", FAILED: "FAILED its check", STRUCTURE: "structure checked", UNCHECKED: "not checked"}


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

    All of it is made ready in the scratch folder and moved at the end: whatever goes wrong, and whenever the process is
    killed before that, the folder is as it was; an error while files are moved is undone.
    """
    out, stage, about = exported.source.out, exported.folder / STAGE, _about(exported)
    stage.mkdir()
    _link_earlier(out, stage)
    before = _states(stage)
    named, texts = [], []
    for report in exported.reports:
        name = exported.final(report).name
        os.replace(report.path, stage / name)
        matrix = exported.matrix.name if report.has_importance else None
        named.append({**report.to_json(name, exported.config.force),
                      "made_from": {**about["made_from"], "importance": matrix}})
        texts.append(f"{name}: {report.bytes / 1e6:,.1f} MB, {WORDS[verdict(named[-1])]}.")
    whole = [exported.matrix.name] if exported.has_matrix else []
    if SAFETENSORS in exported.finals:
        whole.append(exported.finals[SAFETENSORS].name)
        texts.append(f"{whole[-1]}: the merged weights.")
    for name in whole:
        os.replace(exported.folder / name, stage / name)
    report_page.write(stage, about, named)
    done = _hand_over(exported, stage, progress)
    # the weights come last: a name that stands there is told of in report and checksums
    after = _states(stage)
    new = sorted((name for name, state in after.items() if before.get(name) != state),
                 key=lambda name: (name.endswith(".gguf") or name in whole, name))
    _move(stage, out, new)
    for name in before.keys() - after.keys():
        (out / name).unlink(missing_ok=True)    # a Modelfile that would now be wrong
    runs.write_json(job.folder / runs.RESULT, {"folder": str(out), "files": [one["name"] for one in named]})
    for text in [*texts, done.note if exported.config.gguf_types else ""]:
        if text:
            job.event("note", text=text)
    return done


def _link_earlier(out: Path, stage: Path) -> None:
    """Put what earlier exports left in out into stage, where report and checksums are written: names, no copies."""
    for name in handover.earlier(out):
        (stage / name).parent.mkdir(exist_ok=True)
        try:
            os.link(out / name, stage / name)
        except OSError:                         # a disk that knows no links
            if (out / name).stat().st_size > SMALL_BYTES:
                (stage / name).touch()          # it is asked whether it is there, no more
            else:
                shutil.copyfile(out / name, stage / name)


def _states(stage: Path) -> dict[str, tuple[int, int]]:
    """{name: what differs once it is another file}."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in stage.iterdir()}


def _move(stage: Path, out: Path, names: Sequence[str]) -> None:
    """Move what stage calls names into out, over what is there; all of them, or none after an error."""
    aside, moved = stage.with_name("aside"), list[str]()
    aside.mkdir()
    try:
        for name in names:
            if (out / name).is_file():
                shutil.copyfile(out / name, aside / name)
            os.replace(stage / name, out / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            path = out / name
            if (aside / name).exists():
                os.replace(aside / name, path)
            else:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _about(exported: Exported) -> dict[str, Any]:
    """What the report says of the export as a whole; no paths, since it is made to be handed on."""
    source, survey, here = exported.source, exported.survey, machine()
    made_from = source.made_from()
    return {"title": source.title, "base": made_from["base"],
            "adapters": [one["name"] for one in made_from["adapters"]], "made_from": made_from,
            "heldout": f"{len(exported.heldout)} rows" if exported.heldout else None,
            "reference": survey.to_json() if survey else None,
            "importance": survey.importance_json() if survey else f"none: {check.NO_REFERENCE}",
            "machine": {"cores": here.cores, "memory_gb": round(here.total_mb / 1000, 1)},
            "llama_cpp_python": llama.version()}


def deliver(exported: Exported, done: HandedOver, job: Job, progress: Progress) -> None:
    """To Ollama and to the hub, as asked.

    Raises UserError if a file failed its check, or one of the two did not take it; the files stay where they are.
    """
    _refuse_failed(exported)
    if exported.config.ollama:
        with outside.reason(OLLAMA):
            _to_ollama(exported, done, job, progress)
    if exported.config.push:
        known = [read_licence(exported.source.base).text, exported.vocab.template if exported.vocab else ""]
        _to_hub(exported.config, exported.source.out, known, job, progress)


def _hand_over(exported: Exported, stage: Path, progress: Progress) -> HandedOver:
    source, passed = exported.source, exported.passed
    model = next((exported.final(one).name for one in passed if one.type_name in exported.config.gguf_types), "")
    projector = next((exported.final(one).name for one in passed if one.type_name == check.MMPROJ), "")
    names = [exported.final(one).name for one in passed]
    if exported.has_matrix:
        names.append(exported.matrix.name)
    if SAFETENSORS in exported.finals:
        folder = stage / exported.finals[SAFETENSORS].name
        names += [f"{folder.name}/{path.name}" for path in sorted(folder.iterdir())]
    keys = exported.vocab.metadata() if exported.vocab else {}
    wanted = HandOver(out=stage, title=source.title, base=source.base, adapters=source.adapters,
                      tokenizer=exported.survey.tokenizer if exported.survey else exported.vocab,
                      is_bos_added=keys.get("tokenizer.ggml.add_bos_token", True), model=model, projector=projector,
                      system=modelfile.shared_system(exported.heldout), evaluations=evaluations_of(source.adapters))
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
    path = next(exported.final(one) for one in exported.passed if one.type_name in exported.config.gguf_types)
    _try_ollama(exported.config, path, exported.heldout, job)


def _earlier_to_ollama(config: ExportConfig, folder: Path, job: Job, progress: Progress) -> None:
    path = folder / modelfile.NAME
    if not path.is_file():
        raise UserError(f"{folder} holds no {modelfile.NAME}, so Ollama can not be told how to prompt the model; "
                        "export again.")
    described = modelfile.read(path.read_text(encoding="utf-8"))
    if not (folder / described.model).is_file():
        raise UserError(f"{described.model}, which {path} names, is no longer there; export again.")
    ollama.create(config.ollama, folder, described, progress)
    _try_ollama(config, folder / described.model, [], job)


def _try_ollama(config: ExportConfig, path: Path, heldout: Sequence[Messages], job: Job) -> None:
    """One prompt through Ollama and through the file at path. Raises UserError if they do not fit together."""
    name = config.ollama
    job.event("note", text=f"Ollama has {name}; try: ollama run {name}")
    probe = Probe(path, LoadConfig(ctx_tokens=ANSWER_CTX_TOKENS, threads=config.threads))
    try:
        def ours(messages: Sequence[Any], max_tokens: int) -> ollama.Answer:
            ids = prompt_ids(messages, probe)
            made, reason = probe.generate(ids, max_tokens)
            text = b"".join(map(probe.piece, made)).decode("utf-8", "replace")
            return ollama.Answer(text=text, prompt_tokens=len(ids), reason=reason)
        asked = next((row[:-1] for row in heldout if ids_or_none(row[:-1], probe)), probes.starts()[0])
        found = ollama.compare(name, asked, ours)
    finally:
        probe.close()
    job.event("note", text=f"One prompt, greedily, through Ollama and here: {found.note}.")
    if found.is_ok is False:
        raise UserError(f"Ollama has {name}, but it does not answer as the file does: {found.note}.")


def _to_hub(config: ExportConfig, folder: Path, known: Sequence[str], job: Job, progress: Progress) -> None:
    for name in handover.verify(folder, progress):
        job.event("note", text=f"{name} was edited since the export; {handover.SUMS} has its new checksum.")
    address = hub.upload(folder, config.push, progress, is_public=config.public,
                         allow_identifiers=config.allow_identifiers, known=[text for text in known if text])
    job.event("note", text=f"Uploaded to {address}, {'for everybody to see' if config.public else 'private'}.")


def send_again(config: ExportConfig, job: Job, progress: Progress) -> bool:
    """If the source is the folder of an earlier export, and it is to be sent somewhere: do only that, and say so.

    Raises UserError if anything else is asked of such a folder.
    """
    folder = Path(config.source)
    is_sent = config.push or config.ollama
    if not is_sent or not (folder / handover.SUMS).is_file() or (folder / "config.json").exists():
        return False
    plain = ExportConfig(source=config.source)
    other = [one.metadata["label"] for one in fields(config)
             if one.name not in SENT and getattr(config, one.name) != getattr(plain, one.name)]
    if other:
        raise UserError(f"{folder} is an export already and is only sent as it is; leave out what else was asked "
                        f"for ({', '.join(other)}), or name the run that it was made from.")
    names = handover.handed_over(folder)
    known = [(folder / name).read_text(encoding="utf-8", errors="replace") for name in names if "LICENSE" in name]
    known += [str(read_metadata(folder / name).get("tokenizer.chat_template", "")) for name in names
              if name.endswith(".gguf")]
    if config.ollama:
        with outside.reason(OLLAMA):
            _earlier_to_ollama(config, folder, job, progress)
    if config.push:
        _to_hub(config, folder, known, job, progress)
    runs.write_json(job.folder / runs.RESULT, {"folder": str(folder), "files": names})
    return True

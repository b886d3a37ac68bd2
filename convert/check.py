"""Whether a GGUF still is the model: its prompts, its stop and its numbers against base + adapter in float32.

Every limit is fixed here, before anything is measured.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert import probes
from convert.config import ADAPTER
from convert.families.tensor import Tensor as PlannedTensor
from convert.gguf import Plan
from convert.loss import MOST_RATIO, Loss, compare
from convert.planned import Planned
from convert.survey import GREEDY_TOKENS, Progress, Survey, bos_ids, ids_or_none, stop_ids
from models.errors import UserError
from models.header import Header, Tensor, read_header
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.quantize import blocks
from runtime.reference import Reference
from tasks.prompt import Tokenizer

# mean KL divergence from the reference, nats a token; F32 is not 0 because llama.cpp reads GELU from a float16 table
KL_LIMITS: Mapping[str, float] = {
    "F32": 1e-5, "F16": 0.001, "BF16": 0.001, "Q8_0": 0.01, "Q6_K": 0.02, "Q5_K_M": 0.05, "Q5_0": 0.05,
    "Q4_K_M": 0.15, "Q4_K_S": 0.15, "Q4_0": 0.15, "IQ4_XS": 0.15, "IQ4_NL": 0.15, "Q3_K_M": 0.4, "Q2_K": 1.0,
}
KL, STOPS = "mean KL divergence", "answers that do not stop"
OTHER_IDS, BOS = "prompts with other token ids", "prompts without exactly one BOS"
OTHER_THAN_TRANSFORMERS = "plain prompts that differ from apply_chat_template"
OPENS, MMPROJ = "opens", "mmproj"
PLANNED = "keys, vocabulary and tensor table as planned"
OWN_STOPS = ("F32", "F16", "BF16")              # no other wording is expected of these: they stop by themselves
EXACT_STOPS = (*OWN_STOPS, "Q8_0")              # none of these may miss the end of an answer
MISSED_OF = 4                                   # of so many answers a smaller type may miss the end of one
ALL_ONES = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}     # exponent: NaN, infinity
CUTS = "end ids that are no control tokens"
MARKERS = "turn markers that are not one token"
SPEED_PROMPT_TOKENS, SPEED_NEW_TOKENS = 256, 32
TRIED_TOKENS = 64                       # whose logits are looked at where nothing is compared
NO_REFERENCE = "the export was told not to compare with the reference"
NOTHING = "no position could be compared: none has finite logits on both sides"
RATIO_NOTE = ", or more"
NO_TEMPLATE = "the base model has no chat template"
GREEN, RED, GREY = "green", "red", "grey"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report. is_ok None: nothing is demanded of the figure; without a figure the check can not apply,
    and note says why.
    """
    name: str
    figure: float | None = None
    limit: float | None = None
    is_ok: bool | None = None
    note: str = ""


@dataclass(kw_only=True)
class FileReport:
    """What was found of one file. mix: {ggml type: {"tensors", "bytes"}}; speeds in tokens a second, here."""
    path: Path
    type_name: str
    bytes: int
    has_importance: bool = False
    checks: list[Check] = field(default_factory=list)
    mix: dict[str, dict[str, int]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    compared: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.is_ok is False]

    @property
    def status(self) -> str:
        """Red if anything failed; grey if the numbers were not compared; else green."""
        is_compared = any(check.name == KL and check.is_ok for check in self.checks)
        return RED if self.failed else GREEN if is_compared else GREY

    def to_json(self, name: str, is_forced: bool = False) -> dict[str, Any]:
        """As report.json has it, under the file's final name; is_forced: published although it is red."""
        return {"name": name, "type": self.type_name, "bytes": self.bytes, "is_ok": not self.failed,
                "status": self.status, "is_forced": bool(is_forced and self.failed),
                "has_importance": self.has_importance, **self.figures, "mix": self.mix, "compared": self.compared,
                "checks": [asdict(check) for check in self.checks]}


def published(final: Path, report: FileReport, is_forced: bool = False) -> Path:
    """The name a checked file gets: a red one says so wherever it goes."""
    if not report.failed:
        return final
    return final.with_suffix(".forced.gguf" if is_forced else ".failed.gguf")


def check_files(files: Sequence[tuple[Path, str]], survey: Survey, reference: Reference, planned: Planned,
                progress: Progress, limits: Mapping[str, float] = KL_LIMITS, threads: int = 0) -> list[FileReport]:
    """Check (path, type name) of each file, one after the other, against the plan and what the reference said.

    progress may raise to stop. A file that can not be opened gets a report with that one failed check.
    """
    config, reports = exact_config(survey, threads), []
    for path, kind in files:
        report = FileReport(path=path, type_name=kind, bytes=path.stat().st_size)
        reports.append(report)
        for model in _opened(report, config):
            report.checks.append(planned_check(planned, path, kind))
            hold_against(model, report, survey, reference, limits[kind], kind, progress)
        _measure(report, threads)
    return reports


def exact_config(survey: Survey, threads: int) -> LoadConfig:
    """How a file is loaded to be compared: exactly, with room for the longest row and for answers that do not end."""
    longest = max([len(ids) for ids in survey.rows] + [len(start.ids) + len(start.answer) for start in survey.starts])
    return LoadConfig(ctx_tokens=longest + 2 * GREEDY_TOKENS + 8, threads=threads, exact=True)


def hold_against(model: Probe, report: FileReport, survey: Survey, reference: Reference, kl_limit: float,
                 weights_type: str, progress: Progress) -> None:
    """Add to report what the reference's words and numbers show of an opened model of weights_type."""
    is_adapter = report.type_name == ADAPTER
    named, what = ("the adapter", "the adapter") if is_adapter else (report.type_name, "logits")
    progress(f"Checking the prompts of {named}", 0, 1)
    report.checks += template_checks(model, survey.tokenizer) + prompt_checks(model, survey)
    loss = compare(model, survey, reference,
                   lambda done, of: progress(f"Comparing {what} with the reference", done, of))
    report.checks += loss_checks(loss, kl_limit)
    report.compared = {"tokens": loss.positions, "heldout_tokens": survey.heldout_tokens}
    progress(f"Checking where {named} stops", 0, 1)
    report.checks += stop_checks(model, survey, weights_type)


def check_structure(files: Sequence[tuple[Path, str]], planned: Planned, progress: Progress,
                    threads: int = 0) -> list[FileReport]:
    """The same without a reference: what the file and its plan tell."""
    tokenizer = planned.plan.vocab
    assert tokenizer
    config, reports = LoadConfig(ctx_tokens=1024, threads=threads, exact=True), []
    for path, kind in files:
        report = FileReport(path=path, type_name=kind, bytes=path.stat().st_size)
        reports.append(report)
        for model in _opened(report, config):
            progress(f"Checking the structure of {kind}", 0, 1)
            report.checks.append(planned_check(planned, path, kind))
            report.checks += template_checks(model, tokenizer)
            report.checks.append(_own_bos(model, tokenizer))
            ids = text_ids(model, TRIED_TOKENS)
            report.checks.append(finite_check(int((~np.isfinite(model.logits(ids)).all(axis=1)).sum()), len(ids)))
            report.checks += [Check(name=name, note=NO_REFERENCE) for name in (
                OTHER_IDS, OTHER_THAN_TRANSFORMERS, KL, "top-1 agreement", "perplexity ratio", STOPS)]
        _measure(report, threads)
    return reports


def planned_check(planned: Planned, path: Path, kind: str) -> Check:
    """Whether everything but the numbers in the tensors is as planned."""
    note = planned.difference(path, kind)
    return Check(name=PLANNED, figure=int(not note), limit=1, is_ok=not note,
                 note=f"the first that differs: {note}" if note else "byte for byte")


def check_projector(path: Path, plan: Plan, rows: Callable[[PlannedTensor, int, int], np.ndarray]) -> FileReport:
    """What can be said of a vision tower's file (mmproj) without a picture: it holds its plan's tensors, as they are.

    rows: MergedModel.rows; nothing in such a file is quantized.
    """
    report = FileReport(path=path, type_name=MMPROJ, bytes=path.stat().st_size)
    try:
        header = read_header(path)
    except UserError as error:
        report.checks.append(Check(name=OPENS, figure=0, limit=1, is_ok=False, note=str(error)))
        return report
    wanted = {(tensor.name, tensor.shape, plan.kind(tensor)) for tensor in plan.tensors}
    found = {(tensor.name, tensor.shape[::-1], tensor.type_name) for tensor in header.tensors}
    other = sorted(name for name, _, _ in wanted ^ found)
    broken = [tensor.name for tensor in header.tensors if not _is_finite(path, tensor)]
    there = {tensor.name: tensor for tensor in header.tensors}
    changed = [tensor.name for tensor in plan.tensors if tensor.name in there and tensor.name not in other
               and not _is_same(path, there[tensor.name], rows(tensor, 0, tensor.shape[0]))]
    report.mix = mix(header)
    report.checks += [
        Check(name="tensors that differ from the plan", figure=len(other), limit=0, is_ok=not other,
              note=", ".join(other[:3]) or f"{len(found)} tensors"),
        Check(name="tensors with a number that is not finite", figure=len(broken), limit=0, is_ok=not broken,
              note=", ".join(broken[:3])),
        Check(name="tensors with other numbers than the model", figure=len(changed), limit=0, is_ok=not changed,
              note=", ".join(changed[:3])),
        Check(name="pictures against the reference", note="there is no picture among held-out rows to compare on")]
    return report


def _is_finite(path: Path, tensor: Tensor) -> bool:
    """True for other types than floats, too: they are not written to such a file."""
    if tensor.type_name not in ALL_ONES:
        return True
    dtype, exponent = ALL_ONES[tensor.type_name]
    bits = np.memmap(path, dtype, "r", tensor.offset, (tensor.bytes // np.dtype(dtype).itemsize,))
    return not bool(np.any(bits & exponent == exponent))


def _is_same(path: Path, tensor: Tensor, values: np.ndarray) -> bool:
    """Whether a tensor in a file is values, in the file's type."""
    found = np.memmap(path, np.uint8, "r", tensor.offset, (tensor.bytes,))
    wanted = blocks(np.ascontiguousarray(values, np.float32).reshape(-1, tensor.shape[0]), tensor.type_name)
    return bool(np.array_equal(found, wanted.reshape(-1).view(np.uint8)))


def _own_bos(model: Probe, tokenizer: Tokenizer) -> Check:
    """bos_check on the prompts as the file itself makes them."""
    if not tokenizer.template:
        return Check(name=BOS, note=NO_TEMPLATE)
    bos, prompts, counts = bos_ids(tokenizer), list[list[int] | None](), list[int]()
    for messages in probes.built_in(tokenizer.controls):
        ids = ids_or_none(messages, model)
        if ids is not None:
            bare = ids_or_none([{**message, "content": "x"} for message in messages], model)
            prompts.append(ids)
            counts.append((bare or []).count(bos[0]) if bos else 0)
    return bos_check(bos, prompts, counts)


def _opened(report: FileReport, config: LoadConfig) -> Iterator[Probe]:
    """The file's model, for one round of a loop; none, and a failed check, if it can not be opened."""
    try:
        model = Probe(report.path, config)
    except UserError as error:
        report.checks.append(Check(name=OPENS, figure=0, limit=1, is_ok=False, note=str(error)))
        return
    with closing(model):
        yield model


def _measure(report: FileReport, threads: int) -> None:
    """The mix of types from the file's own header, and how fast it is here, loaded as a person would load it."""
    if any(check.name == OPENS for check in report.checks):
        return
    report.mix = mix(read_header(report.path))
    report.figures = speeds(report.path, None, threads)


def speeds(path: Path, adapter: Path | None, threads: int) -> dict[str, float]:
    """Seconds to load, and tokens a second, here, as a person would load it; adapter: switched on beside it."""
    config = LoadConfig(ctx_tokens=SPEED_PROMPT_TOKENS + SPEED_NEW_TOKENS + 8, threads=threads)
    began = time.perf_counter()
    with closing(Probe(path, config, adapter)) as model:
        loaded = time.perf_counter()
        read, made = model.speeds(text_ids(model, SPEED_PROMPT_TOKENS), SPEED_NEW_TOKENS)
    return {"load_s": round(loaded - began, 3), "prompt_tokens_per_s": round(read, 1),
            "generated_tokens_per_s": round(made, 1)}


def mix(header: Header) -> dict[str, dict[str, int]]:
    """{ggml type: {"tensors": how many, "bytes": of them}}, those that take most first."""
    found: dict[str, dict[str, int]] = {}
    for tensor in header.tensors:
        entry = found.setdefault(tensor.type_name, {"tensors": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["bytes"] += tensor.bytes
    return dict(sorted(found.items(), key=lambda item: -item[1]["bytes"]))


def text_ids(model: Probe, count: int) -> list[int]:
    """So many ids of plain text, the same for every file of a vocabulary."""
    text = " ".join(turn for turns in probes.TALKS for turn in turns)
    ids = model.encode(text, control=False)
    return (model.bos_ids() + ids * (1 + count // len(ids)))[:count]


def template_checks(model: Probe, tokenizer: Tokenizer) -> list[Check]:
    """Template, turn markers and end-of-generation ids of the file; of tokenizer only the control strings."""
    missing = stop_ids(tokenizer) - model.eog_ids
    ends = [Check(name="end ids the file lacks", figure=len(missing), limit=0, is_ok=not missing,
                  note=f"it has {', '.join(map(str, sorted(model.eog_ids)))}"), _cuts_check(model, tokenizer)]
    name, is_same = "template equals the base's", model.template == tokenizer.template
    if not tokenizer.template and is_same:
        return [Check(name=name, note=NO_TEMPLATE), Check(name=MARKERS, note=NO_TEMPLATE), *ends]
    note = "" if is_same else "they differ" if tokenizer.template else "the file has one and the base has none"
    used = [control for control in sorted(tokenizer.controls) if control in tokenizer.template]
    split = [control for control in used if len(model.encode(control, control=True)) != 1]
    return [Check(name=name, figure=int(is_same), limit=1, is_ok=is_same, note=note),
            Check(name=MARKERS, figure=len(split), limit=0, is_ok=not split, note=" ".join(split or used)), *ends]


def _cuts_check(model: Probe, tokenizer: Tokenizer) -> Check:
    """Whether the file ends an answer at ids that are no control tokens: ordinary words."""
    texts = [model.piece(k).decode("utf-8", "replace") for k in sorted(model.eog_ids)]      # "": a control token
    wrong = [text for text in texts if text and text not in tokenizer.controls]
    return Check(name=CUTS, figure=len(wrong), limit=0, is_ok=not wrong, note=" ".join(map(repr, wrong[:3])))


def prompt_checks(model: Probe, survey: Survey) -> list[Check]:
    """The file's ids against the Hugging Face tokenizer's."""
    if not survey.tokenizer.template:
        wrong = sum(model.encode(text, control=False) != ids for text, ids in survey.texts)
        return [Check(name="texts with other token ids", figure=wrong, limit=0, is_ok=not wrong,
                      note=f"{len(survey.texts)} texts{_left_out(survey)}"),
                *(Check(name=name, note=NO_TEMPLATE) for name in (OTHER_IDS, OTHER_THAN_TRANSFORMERS, BOS))]
    got = [ids_or_none(prompt.messages, model) for prompt in survey.prompts]
    pairs = list(zip(survey.prompts, got, strict=True))
    differing = [prompt.messages[-1]["content"] for prompt, ids in pairs if ids != prompt.ids]
    plain = [ids == prompt.of_template == prompt.ids for prompt, ids in pairs if prompt.of_template is not None]
    note = f"{len(pairs)} prompts, {survey.heldout_prompts} of them from held-out rows{_left_out(survey)}"
    if differing:
        note += f"; the first that differs: {differing[0][:80]!r}"
    bos = bos_ids(survey.tokenizer)
    wanted = [(ids, prompt.ids.count(bos[0]) if bos else 0) for prompt, ids in pairs if prompt.ids is not None]
    return [Check(name=OTHER_IDS, figure=len(differing), limit=0, is_ok=not differing, note=note),
            Check(name=OTHER_THAN_TRANSFORMERS, figure=plain.count(False), limit=0, is_ok=False not in plain,
                  note=f"{len(plain)} prompts without control strings"),
            bos_check(bos, [ids for ids, _ in wanted], [count for _, count in wanted])]


def _left_out(survey: Survey) -> str:
    notes = [f"; {survey.spaced} left out where a text begins with a space, which llama.cpp and this base's tokenizer "
             "read differently" if survey.spaced else "",
             f"; {len(survey.refused)} held-out rows left out: the template refuses them" if survey.refused else ""]
    return "".join(notes)


def bos_check(bos: list[int], prompts: Sequence[list[int] | None], counts: Sequence[int]) -> Check:
    """Whether each prompt's ids hold the one BOS, in front. None: the file could not make them.

    counts: how many each has by the template, which for some models (Llama 2) writes one before every turn.
    """
    if not bos:
        return Check(name=BOS, note="the model wants no BOS")
    wrong = sum(ids is None or ids.count(bos[0]) != count or ids[:1] != bos or ids[1:2] == bos
                for ids, count in zip(prompts, counts, strict=True))
    more = sum(count > 1 for count in counts)
    note = f"; in {more} the template itself writes another before a later turn" if more else ""
    return Check(name=BOS, figure=wrong, limit=0, is_ok=not wrong and bool(prompts),
                 note=f"{len(prompts)} prompts{note}")


def finite_check(non_finite: int, positions: int) -> Check:
    """Whether every logit is a number."""
    return Check(name="positions with a logit that is not finite", figure=non_finite, limit=0,
                 is_ok=not non_finite, note=f"of {positions}")


def loss_checks(loss: Loss, kl_limit: float) -> list[Check]:
    """The figures as lines of the report; the mean KL divergence has the limit."""
    kl, note = (loss.mean_kl, f"nats, over {loss.positions} tokens") if loss.positions else (None, NOTHING)
    checks = [finite_check(loss.non_finite, loss.positions + loss.non_finite),
              Check(name=KL, figure=kl, limit=kl_limit, is_ok=kl is not None and kl <= kl_limit, note=note)]
    others = {"largest KL divergence": loss.kl_max, "largest logit difference": loss.largest,
              "top-1 agreement": loss.agreement}
    checks += [Check(name=name, figure=figure if loss.positions else None, note="" if loss.positions else NOTHING)
               for name, figure in others.items()]
    checks.append(Check(name="perplexity ratio", figure=loss.perplexity_ratio if loss.targets else None,
                        note=(f"of the file to the reference{RATIO_NOTE if loss.perplexity_ratio >= MOST_RATIO else ''}"
                              if loss.targets else NOTHING)))
    if loss.reference_non_finite:
        checks.append(Check(name="positions where the reference is not finite", figure=loss.reference_non_finite,
                            limit=0, is_ok=False, note="the model itself is broken, not the file"))
    return checks


def stop_checks(model: Probe, survey: Survey, weights_type: str) -> list[Check]:
    """Where the reference's greedy answer stops, the file's must. The rule, fixed before anything is measured:

    Of OWN_STOPS each of the file's own answers stops, at one of the reference's ends. Any other type may word an answer
    otherwise, where two words are as good as one another, and so go on: it also counts if the file ends where the
    reference's own answer ends. Q8_0 may miss none so, a smaller type one in MISSED_OF; a file that never stops by
    itself fails. An answer that is cut short, at an id at which the reference ends nothing, never counts.
    """
    starts, ends = survey.starts, stop_ids(survey.tokenizer)
    ended = [start for start in starts if start.reason == "stop"]
    if not ended:
        note = f"the reference stops nowhere within {GREEDY_TOKENS} tokens" if starts else NO_TEMPLATE
        return [Check(name=STOPS, note=note)]
    itself = same = late = 0
    for start in ended:
        made, reason = model.generate(start.ids, 2 * GREEDY_TOKENS)
        is_same, is_alone = made[:len(start.answer)] == start.answer, reason == "stop"
        is_cut = (is_alone and not is_same and made == start.answer[:len(made)]
                  and int(model.logits(start.ids + made)[-1].argmax()) not in ends)
        same, itself = same + is_same, itself + (is_alone and not is_cut)
        if not (weights_type in OWN_STOPS or is_alone or is_same):
            late += model.generate(start.ids + start.answer, 1)[1] == "stop"
    missed = len(ended) - itself - late
    allowed = 0 if weights_type in EXACT_STOPS else len(ended) // MISSED_OF
    note = f"the reference stops in {len(ended)} of {len(starts)}"
    if late:
        note += (f"; in {late} the file words its answer otherwise and goes on for {2 * GREEDY_TOKENS} tokens, but it "
                 "ends where the reference's own answer ends")
    return [Check(name=STOPS, figure=missed, limit=allowed, is_ok=missed <= allowed and itself > 0, note=note),
            Check(name="answers the file ends by itself", figure=itself,
                  note=f"of {len(ended)}; {same} are in the reference's very words")]

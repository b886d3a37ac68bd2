"""Whether a GGUF still is the model: its prompts, its stop and its numbers against base + adapter in float32.

Every limit is fixed here, before anything is measured.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from convert.probes import Messages, built_in, starts
from models.errors import UserError
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tasks.prompt import Tokenizer, prompt_ids, sample_ids, terminator

# mean KL divergence from the reference, nats a token; F32 is not 0 because llama.cpp reads GELU from a float16 table
KL_LIMITS: Mapping[str, float] = {
    "F32": 1e-5, "F16": 0.001, "BF16": 0.001, "Q8_0": 0.01, "Q6_K": 0.02, "Q5_K_M": 0.05, "Q5_0": 0.05,
    "Q4_K_M": 0.15, "Q4_K_S": 0.15, "Q4_0": 0.15, "IQ4_XS": 0.15, "IQ4_NL": 0.15, "Q3_K_M": 0.4, "Q2_K": 1.0,
}
HELDOUT_PROMPTS = 20                    # of the run's own rows, beside the built-in ones
COMPARED_TOKENS = 2000
LOGITS_AT_ONCE = 1 << 26                # numbers of one row's logits: bounds the length of a compared row
LONGEST_ROW = 1024
GREEDY_STARTS = 4
LONGEST_START = 2048                    # tokens; the reference's attention grows with the square
GREEDY_TOKENS = 256                     # where the reference stops within these, the file must stop
CHUNK_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report. is_ok is None where nothing is demanded, or the check can not apply (note says why)."""
    name: str
    figure: float
    limit: float | None = None
    is_ok: bool | None = None
    note: str = ""


@dataclass(kw_only=True)
class FileReport:
    """What was found of one file."""
    path: Path
    type_name: str
    bytes: int
    checks: list[Check] = field(default_factory=list)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.is_ok is False]

    def to_json(self, name: str) -> dict[str, Any]:
        """As report.json has it, under the file's final name."""
        return {"name": name, "type": self.type_name, "bytes": self.bytes, "is_ok": not self.failed,
                "checks": [asdict(check) for check in self.checks]}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What all files are tried on: conversations for ids, rows of ids for logits, starts for greedy generation."""
    prompts: list[Messages]
    rows: list[list[int]]
    starts: list[list[int]]
    answers: list[tuple[list[int], str]]        # the reference's greedy continuation of each start


def check_files(files: Sequence[tuple[Path, str]], reference: Reference, heldout: Sequence[Messages],
                progress: Callable[[str, int, int], None], limits: Mapping[str, float] = KL_LIMITS,
                threads: int = 0) -> list[FileReport]:
    """Check (path, type name) of each file; the reference computes everything once for all of them.

    progress(text, done, of) is called between steps and may raise to stop. A file that can not be opened
    gets a report with that one failed check.
    """
    trial = prepare(reference, heldout, progress)
    longest = max([len(ids) for ids in trial.rows] + [len(ids) + 2 * GREEDY_TOKENS for ids in trial.starts])
    config = LoadConfig(ctx_tokens=longest + 8, threads=threads, exact=True)
    reports = [FileReport(path=path, type_name=kind, bytes=path.stat().st_size) for path, kind in files]
    with ExitStack() as stack:
        opened = []
        for report in reports:
            try:
                model = Probe(report.path, config)
            except UserError as error:
                report.checks.append(Check(name="opens", figure=0, limit=1, is_ok=False, note=str(error)))
                continue
            stack.callback(model.close)
            opened.append((model, report))
        for model, report in opened:
            progress(f"Checking the prompts of {report.type_name}", 0, 1)
            report.checks += prompt_checks(model, reference.tokenizer, trial.prompts)
        losses = {id(report): Loss() for _, report in opened}
        for k, ids in enumerate(trial.rows):
            progress("Comparing logits with the reference", k, len(trial.rows))
            wanted = reference.logits(ids)
            for model, report in opened:
                losses[id(report)].add(wanted, model.logits(ids))
        for model, report in opened:
            progress(f"Checking where {report.type_name} stops", 0, 1)
            report.checks += losses[id(report)].checks(limits[report.type_name])
            report.checks.append(stop_check(model, trial))
    return reports


def prepare(reference: Reference, heldout: Sequence[Messages], progress: Callable[[str, int, int], None]) -> Trial:
    """Choose what to try, and let the reference answer the starts."""
    tokenizer = reference.tokenizer
    bos = tokenizer.encode(tokenizer.bos, control=True) if tokenizer.bos else []
    width = reference.logits(bos or [0]).shape[1]
    if not tokenizer.template:          # a base that never learned turns: compared on plain text
        texts = [messages[-1]["content"] for messages in heldout] or [m[-1]["content"] for m in built_in(frozenset())]
        rows = _within((bos + tokenizer.encode(text, control=False) for text in texts), width)
        return Trial(prompts=[], rows=rows, starts=[], answers=[])
    asked = [list(messages[:-1]) for messages in heldout[:HELDOUT_PROMPTS]]
    prompts = built_in(tokenizer.controls) + asked
    fitting = [ids for ids in (prompt_ids(m, tokenizer) for m in asked) if len(ids) <= LONGEST_START]
    begun = fitting[:GREEDY_STARTS] or [prompt_ids(m, tokenizer) for m in starts()]
    answers = []
    for k, ids in enumerate(begun):
        progress("The reference answers", k, len(begun))
        answers.append(reference.generate(ids, GREEDY_TOKENS, stop_ids(tokenizer)))
    held = (sample_ids(messages, tokenizer)[0] for messages in heldout)
    own = [ids + answer for ids, (answer, _) in zip(begun, answers, strict=True)]   # its most natural text
    more = (prompt_ids(messages, tokenizer) for messages in prompts)
    return Trial(prompts=prompts, rows=_within(chain(held, own, more), width), starts=begun, answers=answers)


def stop_ids(tokenizer: Tokenizer) -> set[int]:
    """Ids at which a program ends an answer: the terminator of a turn, and the tokenizer's end of text."""
    ends = {terminator(tokenizer)} if tokenizer.template else set()
    return ends | set(tokenizer.encode(tokenizer.eos, control=True) if tokenizer.eos else ())


def _within(rows: Iterable[list[int]], width: int) -> list[list[int]]:
    """Rows cut so that one row's logits (width numbers a token) fit memory, until COMPARED_TOKENS are reached."""
    longest = max(16, min(LONGEST_ROW, LOGITS_AT_ONCE // width))
    taken, total = [], 0
    for row in rows:
        if total >= COMPARED_TOKENS:
            break
        taken.append(row[:min(longest, COMPARED_TOKENS - total)])
        total += len(taken[-1])
    return taken


def prompt_checks(model: Probe, tokenizer: Tokenizer, prompts: Sequence[Messages]) -> list[Check]:
    """Template, ids, BOS, turn markers and end-of-generation ids of the file against the Hugging Face tokenizer."""
    is_same = model.template == tokenizer.template
    checks = [Check(name="template equals the base's", figure=int(is_same), limit=1, is_ok=is_same)]
    if not tokenizer.template:
        return [*checks, Check(name="prompts", figure=0, note="the base model has no chat template")]
    differing, first, many_bos = 0, "", 0
    for messages in prompts:
        wanted, got = prompt_ids(messages, tokenizer), _ids_or_none(messages, model)
        if got != wanted:
            differing, first = differing + 1, first or repr(messages[-1]["content"])[:80]
        bos = tokenizer.encode(tokenizer.bos, control=True) if tokenizer.bos else []
        many_bos += bool(bos) and (got is None or got.count(bos[0]) != 1 or got[0] != bos[0])
    note = f"{len(prompts)} prompts" + (f"; the first that differs: {first}" if differing else "")
    used = [control for control in tokenizer.controls if control in tokenizer.template]
    split = [c for c in used if len(model.encode(c, control=True)) != 1]
    missing = stop_ids(tokenizer) - model.eog_ids
    return [*checks,
            Check(name="prompts with other token ids", figure=differing, limit=0, is_ok=not differing, note=note),
            Check(name="prompts without exactly one BOS", figure=many_bos, limit=0, is_ok=not many_bos),
            Check(name="turn markers that are not one token", figure=len(split), limit=0, is_ok=not split,
                  note=" ".join(split or sorted(used))),
            Check(name="end ids the file lacks", figure=len(missing), limit=0, is_ok=not missing,
                  note=f"it has {sorted(model.eog_ids)}")]


def _ids_or_none(messages: Messages, model: Probe) -> list[int] | None:
    try:
        return prompt_ids(messages, model)
    except UserError:
        return None


class Loss:
    """Running comparison of a file's logits with the reference's."""

    def __init__(self) -> None:
        self.positions = self.agreed = self.non_finite = 0
        self.kl_sum = self.kl_max = self.largest = 0.0

    def add(self, wanted: np.ndarray, got: np.ndarray) -> None:
        """wanted, got: (T, vocab) float32; ids that only the reference has (rows that are no tokens) are left out."""
        wanted = wanted[:, :got.shape[1]]
        for start in range(0, len(wanted), CHUNK_ROWS):
            a = wanted[start:start + CHUNK_ROWS].astype(np.float64)
            b = got[start:start + CHUNK_ROWS].astype(np.float64)
            finite = np.isfinite(b).all(axis=1)
            self.non_finite += int((~finite).sum())
            a, b = a[finite], b[finite]
            if not len(a):
                continue
            self.positions += len(a)
            self.agreed += int((a.argmax(1) == b.argmax(1)).sum())
            self.largest = max(self.largest, float(np.abs(a - b).max()))
            log_p, log_q = _log_softmax(a), _log_softmax(b)
            kl = (np.exp(log_p) * (log_p - log_q)).sum(1)
            self.kl_sum += float(kl.sum())
            self.kl_max = max(self.kl_max, float(kl.max()))

    def checks(self, kl_limit: float) -> list[Check]:
        """The figures as lines of the report; the mean KL divergence has the limit."""
        count = max(1, self.positions)
        mean = self.kl_sum / count
        return [Check(name="positions with a logit that is not finite", figure=self.non_finite, limit=0,
                      is_ok=not self.non_finite),
                Check(name="mean KL divergence", figure=mean, limit=kl_limit,
                      is_ok=mean <= kl_limit and self.positions > 0, note=f"nats, over {self.positions} positions"),
                Check(name="largest KL divergence", figure=self.kl_max),
                Check(name="largest logit difference", figure=self.largest),
                Check(name="top-1 agreement", figure=self.agreed / count)]


def _log_softmax(rows: np.ndarray) -> np.ndarray:
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def stop_check(model: Probe, trial: Trial) -> Check:
    """Where the reference's greedy answer stops, the file's must: its own, or at the end of the reference's.

    The second way counts because a quantized file may word its answer otherwise, and so end elsewhere.
    """
    stopped = alone = tried = 0
    for ids, (answer, reason) in zip(trial.starts, trial.answers, strict=True):
        if reason != "stop":
            continue
        tried += 1
        is_alone = model.generate(ids, 2 * GREEDY_TOKENS)[1] == "stop"
        alone += is_alone
        stopped += is_alone or model.generate(ids + answer, 1)[1] == "stop"
    if not tried:
        return Check(name="answers that do not stop", figure=0,
                     note=f"the reference stops nowhere within {GREEDY_TOKENS} tokens")
    return Check(name="answers that do not stop", figure=tried - stopped, limit=0, is_ok=stopped == tried,
                 note=f"the reference stops in {tried} of {len(trial.starts)}, the file by itself in {alone}")

"""Greedy answers of a model in the middle of its training: the shown ones, and those that a task metric is made of."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from corpus.layouts import Example
from models.errors import UserError
from models.job import Job
from tasks import metrics
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import answer_ids, terminator
from train import samples
from train.config import TrainConfig

BATCH_TOKENS = 16_384           # of prompts and answers together, padding counted
SPARE_TOKENS = 4                # behind the longest label: a separator and what comes after it
SHOWN_CHARS = 300               # of a question and of each answer in an event
Ids = list[int]


@runtime_checkable
class Timing(Protocol):
    """A job that is told what the answers of a trained model cost: a trial."""

    def trained_answers_took(self, seconds: float) -> None:
        """Take in what it took to make every answer as long as its reference."""


class Examiner:
    """Asks the same validation rows at every evaluation of a run."""

    def __init__(self, examples: Sequence[Example], tokenizer: HFTokenizer, config: TrainConfig, job: Job):
        """Raises UserError if the metric needs labels and no row has one."""
        self._tokenizer, self._job, self._metric = tokenizer, job, config.best_by
        self._shown_tokens = config.answer_tokens
        self._stage = {"stage": config.name} if config.name else {}
        asked = [example for example in examples if config.best_by in ("loss", "rouge_l") or example.label]
        if examples and not asked:
            raise UserError(f"The best checkpoint is chosen by {config.best_by}, but none of the {len(examples)} "
                            "validation rows has a label; set best_by to loss or rouge_l.")
        count = min(len(asked), max(config.shown_answers, config.metric_rows if config.best_by != "loss" else 0))
        chosen = random.Random(config.seed).sample(asked, count)        # a generator of its own
        self._rows, self._prompts = prompts(chosen, tokenizer, config.max_len)
        self._shown = config.shown_answers
        self._known = frozenset().union(*(metrics.labels(example.label) for example in asked))

    def examine(self, model: Any, step: int, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The task metric by its name, {} for "loss"; the shown answers become "sample" events.

        check is called before every token and may raise: that is how a stop request ends it. Where the job is Timing,
        answers after step 0 are as long as their references, and those of step 0 are made in that way as well.
        """
        if not isinstance(self._job, Timing):
            shown, scores = self._ask(model, check)
        else:
            untrained = self._ask(model, check) if step == 0 else None
            began = time.monotonic()
            trained = self._ask(model, check, as_references=True)
            self._job.trained_answers_took(time.monotonic() - began)
            shown, scores = untrained or trained
        for k, (example, answer) in enumerate(zip(self._rows, shown, strict=False)):
            self._job.event("sample", **self._stage, step=step, row=k, file=example.file, line=example.line,
                            question=_end(_question(example)), reference=_start(_reference(example)),
                            answer=_start(answer))
        return scores

    def _ask(self, model: Any, check: Callable[[], None], as_references: bool = False
             ) -> tuple[list[str], dict[str, float]]:
        """The shown answers, and the metric. as_references: each as long as its reference, whatever the model says."""
        cut = self._shown
        lengths = [len(answer_ids(_reference(row), self._tokenizer)) for row in self._rows] if as_references else []
        shown = answers(model, self._tokenizer, self._prompts[:cut], self._shown_tokens, check, lengths[:cut])
        if self._metric == "loss" or not self._rows:
            return shown, {}
        rest = answers(model, self._tokenizer, self._prompts[cut:], self._metric_tokens(), check, lengths[cut:])
        return shown, {self._metric: score(self._rows, [*shown, *rest], self._known)[self._metric]}

    def _metric_tokens(self) -> int:
        """How much of an answer the metric reads: decisions stand first."""
        if self._metric == "rouge_l":
            return self._shown_tokens
        longest = max(len(self._tokenizer.encode(example.label, control=False)) for example in self._rows)
        return min(self._shown_tokens, longest + SPARE_TOKENS)


def score(rows: Sequence[Example], found: Sequence[str], known: frozenset[str]) -> dict[str, float]:
    """Every metric that the rows allow: mean ROUGE-1, 2 and L; with known labels accuracy and macro F1 too."""
    overlaps = [metrics.rouge(_reference(example), answer) for example, answer in zip(rows, found, strict=True)]
    scores = {name: sum(one[name] for one in overlaps) / len(overlaps) for name in metrics.KINDS}
    if known:
        gold = [metrics.labels(example.label) for example in rows]
        decided = [metrics.decided(answer, known) for answer in found]
        scores |= {"accuracy": metrics.accuracy(gold, decided), "macro_f1": metrics.macro_f1(gold, decided)}
    return scores


def prompts(rows: Sequence[Example], tokenizer: HFTokenizer, max_len: int) -> tuple[list[Example], list[Ids]]:
    """The rows that can be samples of at most max_len tokens, and the ids of each up to where its last answer begins.

    They are cut as in training: the model is asked what it was taught to answer.
    """
    prepared = samples.prepare(rows, tokenizer, max_len)
    found = []
    for sample in prepared.samples:
        context = [k for k, label in enumerate(sample.labels) if label == samples.IGNORED]
        found.append(sample.ids[:context[-1] + 1])
    return prepared.examples, found


def answers(model: Any, tokenizer: HFTokenizer, prompts: Sequence[Ids], most_tokens: int,
            check: Callable[[], None] = lambda: None, lengths: Sequence[int] = ()) -> list[str]:
    """The model's greedy answer to each prompt, stripped, without its terminator.

    Same answers whenever it is called: no random number is drawn, and the model's mode comes back. Prompts of about
    equal length share a batch. check is called before every token and may raise. lengths: tokens of each answer up to
    most_tokens, which then ends there and nowhere else.
    """
    found = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda k: len(prompts[k]), reverse=True)
    with _evaluating(model), torch.no_grad():
        for chosen in _batches(order, prompts, most_tokens):
            ends = [min(most_tokens, lengths[k]) if lengths else most_tokens for k in chosen]
            made = _generate(model, tokenizer, [prompts[k] for k in chosen], ends, bool(lengths), check)
            for k, ids in zip(chosen, made, strict=True):
                found[k] = tokenizer.hf.decode(ids, skip_special_tokens=True).strip()
    return found


def _batches(order: Sequence[int], prompts: Sequence[Ids], most_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of at most BATCH_TOKENS; order has the longest prompt first."""
    start = 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // (len(prompts[order[start]]) + most_tokens))
        yield list(order[start:start + size])
        start += size


def _generate(model: Any, tokenizer: HFTokenizer, prompts: Sequence[Ids], ends: Sequence[int], is_forced: bool,
              check: Callable[[], None]) -> list[Ids]:
    """The new ids of each prompt, at most ends of them, padded on the left so that all answers begin at one place.

    Whenever a row ends, it leaves the batch and the others go on from their cache: the cost is that of the tokens
    really made. is_forced: no row ends before its end.
    """
    width, device = max(map(len, prompts)), next(model.parameters()).device
    pad = tokenizer.hf.pad_token_id or 0
    ids = torch.tensor([[pad] * (width - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=device)
    stop = sorted({terminator(tokenizer), *tokenizer.encode(tokenizer.eos, control=True)})
    pause = StoppingCriteriaList([_Pause(torch.tensor(stop, device=device), check)])
    made: list[Ids] = [[] for _ in prompts]
    going, cache = list(range(len(prompts))), None
    while going:
        room = min(ends[k] - len(made[k]) for k in going)
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=room, min_new_tokens=room if is_forced else None, eos_token_id=stop,
            pad_token_id=pad, use_cache=True, return_dict_in_generate=True)
        found = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings,
                               stopping_criteria=pause, past_key_values=cache)
        for k, new in zip(going, found.sequences[:, ids.shape[1]:].tolist(), strict=True):
            made[k] += new
        kept = [place for place, k in enumerate(going) if made[k][-1] not in stop and len(made[k]) < ends[k]]
        rows = torch.tensor(kept, dtype=torch.long, device=device)      # (rows that go on,)
        going, cache = [going[place] for place in kept], found.past_key_values
        if going:
            grown = mask.new_ones(len(kept), found.sequences.shape[1] - ids.shape[1])
            ids, mask = found.sequences[rows], torch.cat([mask[rows], grown], dim=1)
            cache.reorder_cache(rows)
    return [one[:-1] if one[-1] in stop else one for one in made]


class _Pause(StoppingCriteria):
    """Calls check before each token; stops every row as soon as one has ended."""

    def __init__(self, stop: torch.Tensor, check: Callable[[], None]):
        self._stop, self._check = stop, check

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        self._check()
        return torch.isin(input_ids[:, -1], self._stop).any().expand(len(input_ids))


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _question(example: Example) -> str:
    return next((m["content"] for m in reversed(example.messages) if m["role"] == "user"), "")


def _reference(example: Example) -> str:
    return example.messages[-1]["content"]


def _start(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS].rstrip() + " ..."


def _end(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else "... " + text[-SHOWN_CHARS:].lstrip()

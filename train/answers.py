"""Greedy answers of a model in the middle of its training: the shown ones, and those that a task metric is made of."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from corpus.layouts import Example
from models.errors import UserError
from models.job import Job
from tasks import metrics
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import terminator
from train import samples
from train.config import TrainConfig

BATCH_TOKENS = 16_384           # of prompts and answers together, padding counted
SPARE_TOKENS = 4                # behind the longest label: a separator and what comes after it
SHOWN_CHARS = 300               # of a question and of each answer in an event
Ids = list[int]


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

        check is called before every token and may raise: that is how a stop request ends it.
        """
        shown = answers(model, self._tokenizer, self._prompts[:self._shown], self._shown_tokens, check)
        for k, (example, answer) in enumerate(zip(self._rows, shown, strict=False)):
            self._job.event("sample", **self._stage, step=step, row=k, file=example.file, line=example.line,
                            question=_end(_question(example)), reference=_start(_reference(example)),
                            answer=_start(answer))
        if self._metric == "loss" or not self._rows:
            return {}
        rest = answers(model, self._tokenizer, self._prompts[self._shown:], self._metric_tokens(), check)
        return {self._metric: score(self._rows, [*shown, *rest], self._known)[self._metric]}

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
            check: Callable[[], None] = lambda: None) -> list[str]:
    """The model's greedy answer to each prompt, stripped, without its terminator.

    Same answers whenever it is called: no random number is drawn, and the model's mode comes back. Prompts of about
    equal length share a batch. check is called before every token and may raise.
    """
    found = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda k: len(prompts[k]), reverse=True)
    with _evaluating(model), torch.no_grad():
        for chosen in _batches(order, prompts, most_tokens):
            made = _generate(model, tokenizer, [prompts[k] for k in chosen], most_tokens, check)
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


def _generate(model: Any, tokenizer: HFTokenizer, prompts: Sequence[Ids], most_tokens: int,
              check: Callable[[], None]) -> list[Ids]:
    """The new ids of each prompt, padded on the left so that all answers begin at one place."""
    width, device = max(map(len, prompts)), next(model.parameters()).device
    pad = tokenizer.hf.pad_token_id or 0
    ids = torch.tensor([[pad] * (width - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=device)
    stop = sorted({terminator(tokenizer), *tokenizer.encode(tokenizer.eos, control=True)})
    settings = GenerationConfig(do_sample=False, max_new_tokens=most_tokens, eos_token_id=stop, pad_token_id=pad,
                                use_cache=True)
    made = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings,
                          stopping_criteria=StoppingCriteriaList([_Check(check)]))
    return [_until(one, stop) for one in made[:, width:].tolist()]


def _until(ids: Ids, stop: Sequence[int]) -> Ids:
    end = next((k for k, token in enumerate(ids) if token in stop), len(ids))
    return ids[:end]


class _Check(StoppingCriteria):
    """Calls check before each token; never stops by itself."""

    def __init__(self, check: Callable[[], None]):
        self._check = check

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        self._check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


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

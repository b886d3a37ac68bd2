"""Examples as token ids and labels, in batches of about equal length."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from corpus.layouts import Example
from corpus.read import Unusable
from models.errors import UserError
from tasks.prompt import Tokenizer, answer_ids, sample_ids, terminator

IGNORED = -100                      # the label of a token that is context only
CUT_MARK = "\n[...]\n"              # stands where the middle of an input was cut out
LENGTH_NOISE = 0.1                  # share by which lengths are blurred, so that batches differ from epoch to epoch
WIDTH_STEP = 32                     # oneDNN builds and keeps kernels for every width: few widths save 0.7 GB
BATCHES_A_POOL = 16                 # samples are sorted by length within pools of this many batches


@dataclass(frozen=True, kw_only=True)
class Sample:
    """ids and labels of one example, equally long; labels are IGNORED but on answers and their terminators."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """examples[k] gave samples[k]; cut counts those whose input lost its middle; unusable are left out."""

    examples: list[Example]
    samples: list[Sample]
    unusable: list[Unusable]
    cut: int


def prepare(examples: Sequence[Example], tokenizer: Tokenizer, max_len: int) -> Prepared:
    """Every example as a sample of at most max_len tokens.

    Raises UserError if the tokenizer has no chat template, or if no example fits.
    """
    if not tokenizer.template:
        raise UserError("The base model has no chat template, so its turns are not known; choose an "
                        "instruction-tuned base.")
    made = Prepared(examples=[], samples=[], unusable=[], cut=0)
    cut = 0
    for example in examples:
        try:
            sample, is_cut = _sample(example, tokenizer, max_len)
        except UserError as error:
            made.unusable.append(Unusable(file=example.file, line=example.line, reason=str(error).rstrip(".")))
            continue
        cut += is_cut
        made.examples.append(example)
        made.samples.append(sample)
    if examples and not made.samples:
        first = made.unusable[0]
        raise UserError(f"None of the {len(examples)} rows can be used as a sample (line {first.line} of {first.file}: "
                        f"{first.reason}).")
    return replace(made, cut=cut)


def _sample(example: Example, tokenizer: Tokenizer, max_len: int) -> tuple[Sample, bool]:
    """The sample, and whether its input was cut. Raises UserError if even without input it is too long."""
    ids, learned = sample_ids(example.messages, tokenizer)
    is_cut = len(ids) > max_len
    if is_cut:
        ids, learned = _cut(example, tokenizer, max_len)
    assert learned[-1] and ids[-1] == terminator(tokenizer)
    labels = [token if is_learned else IGNORED for token, is_learned in zip(ids, learned, strict=True)]
    return Sample(ids=ids, labels=labels), is_cut


def _cut(example: Example, tokenizer: Tokenizer, max_len: int) -> tuple[list[int], list[bool]]:
    """ids and mask with as much of both ends of the input as fits in max_len tokens."""
    turn, start, length = _input_span(example)

    def with_kept(kept: int) -> tuple[list[int], list[bool]]:
        messages = [dict(message) for message in example.messages]
        text = messages[turn]["content"]
        head, tail = text[:start + (kept + 1) // 2], text[start + length - kept // 2:]
        messages[turn]["content"] = head.rstrip() + CUT_MARK + tail.lstrip()
        return sample_ids(messages, tokenizer)

    low, high = 0, length                            # low fits (if anything does), high does not
    best = with_kept(0)
    if len(best[0]) > max_len:
        answer = len(answer_ids(example.messages[-1]["content"], tokenizer))
        if answer >= max_len:
            raise UserError(f"its answer is {answer:,} tokens long and a sample may have {max_len:,}")
        raise UserError(f"without its input it is still {len(best[0]):,} tokens long and a sample may have {max_len:,}")
    while high - low > 1:
        middle = (low + high) // 2
        tried = with_kept(middle)
        if len(tried[0]) <= max_len:
            low, best = middle, tried
        else:
            high = middle
    return best


def _input_span(example: Example) -> tuple[int, int, int]:
    """(which message, where in it, how many characters) may be cut: example.input, else the longest user message."""
    users = [k for k, message in enumerate(example.messages) if message["role"] == "user"]
    turn = max(users, key=lambda k: len(example.messages[k]["content"]))
    text = example.messages[turn]["content"]
    start = text.rfind(example.input) if example.input else -1
    return (turn, start, len(example.input)) if start >= 0 else (turn, 0, len(text))


class Collator:
    """Samples -> one padded batch of tensors, each (B, T)."""

    def __init__(self, pad_id: int, has_token_types: bool):
        """has_token_types: the model's forward takes token_type_ids (Gemma 3 with vision demands them in training)."""
        self.pad_id, self.has_token_types = pad_id, has_token_types

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """input_ids, attention_mask, labels int64, and logits_to_keep bool: the positions whose next token is learned.

        Padded on the right to the longest sample, rounded up to WIDTH_STEP.
        """
        width = -(-max(len(sample.ids) for sample in samples) // WIDTH_STEP) * WIDTH_STEP
        ids = torch.full((len(samples), width), self.pad_id)
        labels = torch.full((len(samples), width), IGNORED)
        mask = torch.zeros((len(samples), width), dtype=torch.long)
        for k, sample in enumerate(samples):
            n = len(sample.ids)
            ids[k, :n], labels[k, :n], mask[k, :n] = torch.tensor(sample.ids), torch.tensor(sample.labels), 1
        keep = torch.zeros_like(labels, dtype=torch.bool)
        keep[:, :-1] = labels[:, 1:] != IGNORED
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "logits_to_keep": keep}
        if self.has_token_types:
            batch["token_type_ids"] = torch.zeros_like(ids)
        return batch


class GroupedByLength(torch.utils.data.Sampler[int]):
    """Indices in an order whose batches hold samples of about equal length.

    The order is a pure function of lengths, batch, seed and epoch; transformers' own length-grouped
    sampler draws from the global generator, so that a resumed run would see another order.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int):
        self.lengths, self.batch, self.seed, self.epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order __iter__ gives; transformers' Trainer calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.lengths)))
        draw.shuffle(order)
        blurred = [length * draw.uniform(1 - LENGTH_NOISE, 1 + LENGTH_NOISE) for length in self.lengths]
        pool = self.batch * BATCHES_A_POOL
        batches = []
        for start in range(0, len(order), pool):
            by_length = sorted(order[start:start + pool], key=lambda k: blurred[k], reverse=True)
            batches += [by_length[k:k + self.batch] for k in range(0, len(by_length), self.batch)]
        short = [one for one in batches if len(one) < self.batch]
        full = [one for one in batches if len(one) == self.batch]
        draw.shuffle(full)
        return (k for one in full + short for k in one)

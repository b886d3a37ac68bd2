"""Examples as token ids and labels; what is too long loses the middle of its input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from corpus.layouts import Example
from corpus.read import Unusable
from models.errors import UserError
from tasks.prompt import Tokenizer, answer_ids, sample_ids, terminator

IGNORED = -100                      # the label of a token that is context only
CUT_MARK = "\n[...]\n"              # stands where the middle of an input was cut out


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The middle of an input that a sample lost: text, which stood before token number `at`; it had whole_tokens."""

    at: int
    text: str
    whole_tokens: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """ids and labels of one example, equally long; labels are IGNORED but on answers and their terminators."""

    ids: list[int]
    labels: list[int]
    cut: Cut | None = None

    @property
    def whole_tokens(self) -> int:
        """How many tokens it would have uncut."""
        return self.cut.whole_tokens if self.cut else len(self.ids)

    @property
    def learned(self) -> int:
        """How many of its tokens are learned."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """examples[k] gave samples[k]; cut counts those whose input lost its middle; unusable are left out."""

    examples: list[Example]
    samples: list[Sample]
    unusable: list[Unusable]
    cut: int

    def cut_words(self, max_len: int) -> str:
        """What the limit costs, as a sentence for the person; "" if every row fits."""
        if not self.cut:
            return ""
        lost = [len(sample.cut.text) / max(1, len(_input(example)))
                for example, sample in zip(self.examples, self.samples, strict=True) if sample.cut]
        return (f"{self.cut:,} of {len(self.samples):,} rows ({_percent(self.cut / len(self.samples))}) are longer "
                f"than {max_len:,} tokens and lose the middle of their input, {_percent(sum(lost) / len(lost))} of it "
                "on average (where a row marks no input, as a plain question or a conversation, that is its "
                "longest user message); instructions and answers stay whole.")


def _percent(share: float) -> str:
    """A share that is not 0 never reads as 0."""
    return f"{100 * share:.1f}%" if share >= 0.001 else "less than 0.1%"


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
    cut = None
    if len(ids) > max_len:
        whole_tokens = len(ids)
        ids, learned, at, text = _cut(example, tokenizer, max_len)
        cut = Cut(at=at, text=text, whole_tokens=whole_tokens)
    assert learned[-1] and ids[-1] == terminator(tokenizer)
    labels = [token if is_learned else IGNORED for token, is_learned in zip(ids, learned, strict=True)]
    return Sample(ids=ids, labels=labels, cut=cut), cut is not None


def _cut(example: Example, tokenizer: Tokenizer, max_len: int) -> tuple[list[int], list[bool], int, str]:
    """ids and mask with as much of both ends of the input as fits in max_len tokens; where it was cut, and what."""
    if (answer := len(answer_ids(example.messages[-1]["content"], tokenizer))) >= max_len:
        raise UserError(f"its answer is {answer:,} tokens long and a sample may have {max_len:,}")
    if example.is_instruction:
        whole = len(sample_ids(example.messages, tokenizer)[0])
        raise UserError(f"its instruction, which is never cut, and its answer are {whole:,} tokens long and a sample "
                        f"may have {max_len:,}; raise max_len")
    turn, start, length = _input_span(example)
    text = example.messages[turn]["content"]

    def with_kept(kept: int, has_tail: bool = True) -> tuple[list[int], list[bool]]:
        messages = [dict(message) for message in example.messages]
        head, tail = text[:start + (kept + 1) // 2], text[start + length - kept // 2:]
        messages[turn]["content"] = head.rstrip() + CUT_MARK + (tail.lstrip() if has_tail else "")
        return sample_ids(messages, tokenizer)

    low, high = 0, length                            # low fits (if anything does), high does not
    best = with_kept(0)
    if len(best[0]) > max_len:
        raise UserError(f"without its input it is still {len(best[0]):,} tokens long and a sample may have {max_len:,}")
    while high - low > 1:
        middle = (low + high) // 2
        tried = with_kept(middle)
        if len(tried[0]) <= max_len:
            low, best = middle, tried
        else:
            high = middle
    without_tail = with_kept(low, has_tail=False)[0]
    at = next((k for k, (one, other) in enumerate(zip(best[0], without_tail, strict=False)) if one != other),
              min(len(best[0]), len(without_tail)))
    return *best, at, text[start + (low + 1) // 2:start + length - low // 2]


def _input(example: Example) -> str:
    turn, start, length = _input_span(example)
    return example.messages[turn]["content"][start:start + length]


def _input_span(example: Example) -> tuple[int, int, int]:
    """(which message, where in it, how many characters) may be cut: example.input, else the longest user message.

    Raises UserError if the input stands in no user message: what else there is may be the instruction.
    """
    users = [k for k, message in enumerate(example.messages) if message["role"] == "user"]
    if not example.input:
        turn = max(users, key=lambda k: len(example.messages[k]["content"]))
        return turn, 0, len(example.messages[turn]["content"])
    for turn in reversed(users):
        start = example.messages[turn]["content"].rfind(example.input)
        if start >= 0:
            return turn, start, len(example.input)
    raise UserError(f"it is too long, and its input ({example.input[:40]!r} ...) stands in none of its messages, so it "
                    "is not known what may be cut")

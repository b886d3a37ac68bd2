"""Which examples are for training and which for validation; the same input never stands on both sides."""

import random
import re
from collections import defaultdict
from collections.abc import Sequence

from corpus.layouts import Example
from corpus.read import Unusable
from models.errors import UserError


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(training, validation): about share of the examples, in whole groups of equal input, drawn by seed.

    Both sides keep the order of the rows. Raises UserError if all rows have the same input.
    """
    groups = defaultdict(list)
    for k, example in enumerate(examples):
        groups[input_key(example)].append(k)
    if len(groups) < 2:
        raise UserError(f"The {len(examples)} usable rows have one and the same input, so none can be set aside "
                        "for validation; add other rows, or name a validation file.")
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    wanted = max(1, round(share * len(examples)))
    held: set[int] = set()
    for name in names[:-1]:
        if len(held) >= wanted:
            break
        held.update(groups[name])
    return [e for k, e in enumerate(examples) if k not in held], [examples[k] for k in sorted(held)]


def without_repeats(training: Sequence[Example], validation: Sequence[Example]) -> tuple[list[Example], list[Unusable]]:
    """The training examples whose input is not also a validation input, and the others as left out."""
    reserved = {input_key(example) for example in validation}
    kept = [example for example in training if input_key(example) not in reserved]
    repeated = [Unusable(file=example.file, line=example.line, reason="its input is also a validation row's")
                for example in training if input_key(example) in reserved]
    return kept, repeated


def input_key(example: Example) -> str:
    """What two examples share when their input is the same but for case, spaces and punctuation."""
    text = example.input or "\n".join(m["content"] for m in example.messages if m["role"] == "user")
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()

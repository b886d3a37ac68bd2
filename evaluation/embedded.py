"""Which items the embedded model learned from, itself or as what a model was tuned from."""

from collections.abc import Mapping

from corpus.layouts import Example
from models import library, runs
from models.demo import seen
from models.errors import UserError

WHY = "the embedded model was made from it (see the card in its folder)"
ASKED = "Question: "                # before a question that stands in a request


def is_embedded(source: str) -> bool:
    """Whether a model is the embedded one, or a GGUF that says it was made from it."""
    folder = runs.typed(source)
    if folder.is_dir() and folder.resolve() == runs.DEMO_BASE:
        return True
    try:
        return bool(library.notice_for(library.find_model(source)))
    except UserError:
        return False                # a folder of another model


def learned(examples: Mapping[int, Example]) -> dict[int, str]:
    """{number: why} of the items whose question or dialogue, but for case and punctuation, it has learned from."""
    return {number: WHY for number, example in examples.items() if any(map(seen.has_seen, _texts(example)))}


def _texts(example: Example) -> list[str]:
    """What of an item may be a question or a dialogue: its input, what the user says, and the paragraphs of that."""
    said = "\n\n".join(one["content"] for one in example.messages if one["role"] == "user")
    return [example.input, said, *(part.removeprefix(ASKED) for part in said.split("\n\n"))]

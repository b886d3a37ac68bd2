"""Pictures in a conversation: what a chat template is shown of them, and where their ids stand in its text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import UserError

Content = str | list[dict[str, Any]]            # of a turn: text, or parts of which one at least is a picture


@dataclass(frozen=True)
class Shown:
    """A picture as a prompt holds it: ids that stand for its cells, between the model's own markers."""
    ids: tuple[int, ...]
    begin: str                                  # "<start_of_image>": what the template writes for a picture
    end: str

    def text(self, slot: str) -> str:
        """What stands in the rendered text, as transformers' processor writes it; slot: for the ids."""
        return f"\n\n{self.begin}{slot}{self.end}\n\n"


def pictures_of(content: Content) -> list[Shown]:
    """The pictures of a turn in order."""
    return [] if isinstance(content, str) else [part["picture"] for part in content if "picture" in part]


def texts_of(content: Content) -> Iterator[str]:
    """The texts of a turn in order."""
    yield from [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]


def with_texts(content: Content, changed: Callable[[str], str]) -> Content:
    """The content with each of its texts changed."""
    if isinstance(content, str):
        return changed(content)
    return [{**part, "text": changed(part["text"])} if "text" in part else part for part in content]


def for_template(content: Content) -> Content:
    """The content as a chat template takes it: of a picture, only that it is one."""
    return content if isinstance(content, str) else [
        {"type": "image"} if "picture" in part else part for part in content]


def placed(text: str, pictures: Sequence[tuple[str, Shown]], controls: frozenset[str]) -> str:
    """The rendered text with each picture in the place that the template gave it; (slot, picture) in order.

    Raises UserError if the template, or the vocabulary, has no place for a picture.
    """
    begin = pictures[0][1].begin
    parts = text.split(begin)                   # typed ones are marked: these are the template's
    if not {begin, pictures[0][1].end} <= controls or len(parts) != len(pictures) + 1:
        raise UserError("The model's chat template has no place for these pictures; put them into the user's messages, "
                        "or choose a model that was made to see.")
    whole = parts[0]
    for (slot, picture), part in zip(pictures, parts[1:], strict=True):
        whole += picture.text(slot) + part
    return whole


def text_in_front(text: str, content: Content) -> Content:
    """The content with a paragraph in front of it."""
    if isinstance(content, str):
        return f"{text}\n\n{content}"
    if "text" in content[0]:
        return [{**content[0], "text": f"{text}\n\n{content[0]['text']}"}, *content[1:]]
    return [{"type": "text", "text": text}, *content]


def is_picture(part: Any) -> bool:
    """True for a part of a message whose picture was made ready by runtime/picture.py."""
    return isinstance(part, Mapping) and isinstance(part.get("picture"), Shown)

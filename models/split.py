"""A model in several GGUF files (-00001-of-00003.gguf): which parts there are, and what they say together.

Source: llama.cpp's llama_split_path and gguf-split: llama.cpp opens the first part and finds the others by their names.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from models import quant_name
from models.errors import UserError
from models.header import Header, read_header
from models.reader import Memory

ENDING = quant_name.ENDING
MOST = 1000                     # parts


def part_of(name: str) -> tuple[str, int, int] | None:
    """What a file name says: ("gemma", 1, 3); None for a model in one file."""
    found, stem = quant_name.part_of(name), quant_name.stem(name)
    if found is None or not name.lower().endswith(ENDING) or not stem or not 1 <= found[0] <= found[1] <= MOST:
        return None
    return stem, *found


def part_names(name: str) -> list[str]:
    """The names of all parts of the model that the part called name belongs to; [name] for a model in one file."""
    return list(_each_name(name))


def _each_name(name: str) -> Iterator[str]:
    stem, _, count = part_of(name) or (name, 1, 0)
    ending = name[-len(ENDING):]
    return (f"{stem}-{number:05}-of-{count:05}{ending}" for number in range(1, count + 1)) if count else iter([name])


def files_of(path: Path) -> list[Path]:
    """All files of the model at path that are there."""
    return [one for name in part_names(path.name) if (one := path.with_name(name)).is_file()]


def missing(name: str, there: Collection[str]) -> str:
    """"" or a sentence that names the parts that are not there; there: those of the same model that are."""
    part, known = part_of(name), set(there)
    gone = part[2] - len(known) if part else 0
    if not gone:
        return ""
    first = list(islice((one for one in _each_name(name) if one not in known), 2))
    more = f" and {gone - 2} more" if gone > 2 else ""
    return (f"This model is in several parts, and {(', ' if more else ' and ').join(first)}{more} "
            f"{'is' if gone == 1 else 'are'} missing; put all of them into one folder.")


def read_whole(path: Path, memory: Memory | None = None) -> Header:
    """The header of the model at path; of one in several parts that of the first with the tensors of all.

    bytes is the size of all parts, and a tensor's offset counts from the start of its own part. Raises UserError
    as read_header does, for a part that is missing or of another model, and where path is not the first part.
    """
    part = part_of(path.name)
    if part is None:
        return _alone(read_header(path, memory))
    names = part_names(path.name)
    if part[1] != 1:
        raise UserError(f"{path.name} is part {part[1]} of {part[2]} of a model; choose the first, {names[0]}.")
    why = missing(path.name, [name for name in names if path.with_name(name).exists()])
    if why:
        raise UserError(why)
    parts = [read_header(path.with_name(name), memory) for name in names]
    first = parts[0]
    for number, one in enumerate(parts):
        if (one.metadata.get("split.no", 0), one.metadata.get("split.count", 1)) != (number, len(parts)):
            raise UserError(f"{one.path.name} does not say of itself that it is part {number + 1} of {len(parts)}; "
                            "download it again.")
    tensors = tuple(tensor for one in parts for tensor in one.tensors)
    promised = first.metadata.get("split.tensors.count", len(tensors))
    if promised != len(tensors) or len({tensor.name for tensor in tensors}) != len(tensors):
        raise UserError(f"The {len(parts)} parts of {part[0]} hold {len(tensors)} tensors and the first one promises "
                        f"{repr(promised)[:40]}: they are parts of different models. Download them again.")
    return replace(first, bytes=sum(one.bytes for one in parts), tensors=tensors)


def _alone(header: Header) -> Header:
    count = header.metadata.get("split.count", 1)
    if isinstance(count, int) and count > 1:
        raise UserError(f"{header.path.name} is a part of a model in {count} parts, under another name; its name must "
                        f"end in -00001-of-{count:05}.gguf if it is the first, as those of the other parts.")
    return header

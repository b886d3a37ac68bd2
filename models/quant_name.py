"""The type of a GGUF as its name says it: "Q4_K_M" in gemma-3-4b-it-Q4_K_M.gguf, and the name without it."""

import re

ENDING = ".gguf"
PART = re.compile(r"-([0-9]{5})-of-([0-9]{5})\Z")       # of a file that was split, before its ending
TYPE = re.compile(
    r"(?<![a-z0-9])(?:i1[-_.])?((?:ud-)?(?:i?q\d(?:_(?:\d|k|nl|xxs|xs|s|m|l|xl))*|tq\d_\d|bf16|fp?16|fp?32"
    r"|mxfp4(?:_moe)?|nvfp4))(?![a-z0-9])", re.IGNORECASE)
OTHERWISE, FLOATS = {"FP16": "F16", "FP32": "F32"}, ("F16", "BF16", "F32")


def type_in(name: str) -> str:
    """The type that a file's or folder's name says last, "" if it names none.

    Embeddings kept as floats are part of it: "Q4_K_M-F16" in model-Q4_K_M-fp16.gguf.
    """
    found = [match.group(1).upper() for match in TYPE.finditer(stem(name))]
    found = [OTHERWISE.get(one, one) for one in found]
    if len(found) > 1 and found[-1] in FLOATS and found[-2] not in FLOATS:
        return "-".join(found[-2:])
    return found[-1] if found else ""


def without_type(name: str) -> str:
    """The name without ending, part number and type."""
    return TYPE.sub("", stem(name))


def stem(name: str) -> str:
    """The name without its ending and part number."""
    return PART.sub("", _plain(name))


def part_of(name: str) -> tuple[int, int] | None:
    """(1, 3) for model-00001-of-00003.gguf; None for a whole file."""
    found = PART.search(_plain(name))
    return (int(found.group(1)), int(found.group(2))) if found else None


def _plain(name: str) -> str:
    return name[:-len(ENDING)] if name.lower().endswith(ENDING) else name

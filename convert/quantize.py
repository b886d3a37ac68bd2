"""What a plan becomes in each type, known before anything is written: types of the tensors, size, room on the disk."""

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from convert.blank import Blank
from convert.gguf import Layout, Plan, layout
from models.errors import UserError
from runtime.quantize import mix

SKELETON = "skeleton.gguf"


def layouts(plan: Plan, types: Iterable[str], folder: Path, weighed: Collection[str] = ()) -> dict[str, Layout]:
    """The file of plan in each of types, with the mix that llama.cpp itself chooses.

    weighed: those of types for which there is an importance matrix; the mixes depend on it. folder: where an empty
    copy of the model lies meanwhile, which takes no room. Raises UserError if llama.cpp can not quantize it.
    """
    return {name: layout(plan, name, kinds) for name, kinds in mixes(plan, types, folder, weighed).items()}


def mixes(plan: Plan, types: Iterable[str], folder: Path, weighed: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """{type of the file: {tensor: its ggml type}}; otherwise as layouts."""
    own = {t.name: plan.kind(t) for t in plan.tensors}
    if plan.vocab is None:                      # a projector: it is written as it is
        return dict.fromkeys(types, own)
    skeleton = folder / SKELETON
    empty = layout(plan, plan.type_name, has_vocab=False)
    try:
        with Blank(skeleton, empty.bytes, is_hole=True) as file:
            file.write(0, empty.header)
        found = {name: mix(skeleton, name, name in weighed) for name in types}
    finally:
        skeleton.unlink(missing_ok=True)
    for name, chosen in found.items():
        assert chosen.keys() == own.keys(), f"llama.cpp did not say what {name} is for {sorted(own.keys() - chosen)}"
    return found


def sizes(plan: Plan, types: Iterable[str], folder: Path, weighed: Collection[str] = ()) -> dict[str, int]:
    """The exact size in bytes of the file of each type; otherwise as layouts."""
    return {name: layout(plan, name, kinds).bytes for name, kinds in mixes(plan, types, folder, weighed).items()}


def check_room(folder: Path, needed: int) -> None:
    """Raise UserError unless folder's disk has so many bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"The export needs {_size(needed)} in {folder} while it works, and the disk has {_size(free)}; "
                        "free some space or choose another folder.")


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"

"""What an export would come to, before anything is written: `python -m convert.sizes FOLDER` prints it as JSON.

A process of its own, since llama.cpp says which tensors of a type get which kind of block.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from convert import imatrix, safetensors
from convert.blank import Blank
from convert.config import ADAPTER, SAFETENSORS, TYPES, ExportConfig
from convert.gguf import layout
from convert.lora import LoraFile
from convert.model import MergedModel
from convert.quantize import sizes
from convert.source import Source, resolve
from models import outside
from models.errors import UserError
from models.header import read_header
from runtime.pool import cache_bytes_per_token, conversation_tokens


def planned(source: Source) -> dict[str, Any]:
    """Exact bytes of the file of each type, and what a conversation with it takes beside that.

    weighed: the types that get an importance matrix from the held-out rows. Raises UserError for whatever an export of
    the source would raise before it begins.
    """
    model = MergedModel(source.base, source.adapters, source.title)
    weighed = [name for name in TYPES if source.heldout and imatrix.uses_importance(name)]
    with tempfile.TemporaryDirectory(prefix="galen-") as name:
        folder = Path(name)
        bytes_of = sizes(model.plan, TYPES, folder, weighed)
        projector = model.projector_plan
        seeing = sizes(projector, [projector.type_name], folder)[projector.type_name] if projector else 0
        empty = layout(model.plan, model.plan.type_name)
        with Blank(folder / "header.gguf", empty.bytes, is_hole=True) as file:
            file.write(0, empty.header)
        header = read_header(folder / "header.gguf")
        with contextlib.suppress(UserError):    # none, or one that no file of its own can hold
            unmerged = MergedModel(source.base, (), source.title)
            lora = LoraFile(unmerged, source.base, source.adapters, source.title)
            bytes_of[ADAPTER] = lora.exact_bytes(folder)
        (folder / SAFETENSORS).mkdir()
        bytes_of[SAFETENSORS] = safetensors.folder_bytes(model, source.base, folder / SAFETENSORS)
    ctx_tokens = conversation_tokens(0, header.ctx_tokens)
    return {"bytes": bytes_of, "projector_bytes": seeing, "weighed": weighed, "ctx_tokens": ctx_tokens,
            "cache_bytes": cache_bytes_per_token(header) * ctx_tokens, "out": str(source.out), "stem": source.stem,
            "has_heldout": source.heldout is not None}


def main(folder: str) -> None:
    """Print what planned() says of the run, adapter or model in folder. Exit status 2 after a UserError, told."""
    try:
        print(json.dumps(planned(resolve(ExportConfig(source=folder), Path(folder)))))
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    outside.watch()
    main(sys.argv[1])

"""Writes golden.json: what llama.cpp's own converter makes of the models of zoo.py.

python -m tests.convert.upstream LLAMA_CPP, where LLAMA_CPP is a folder with llama.cpp's source (it lies in the source
package of llama-cpp-python, as vendor/llama.cpp). Run it again when that package's version changes.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf

from models import runs
from tests.convert.zoo import KINDS, make

GOLDEN = Path(__file__).with_name("golden.json")
TITLE = "A tiny model"


def described(path: Path) -> dict[str, Any]:
    """{"keys": {name: [type, value]}, "tensors": {name: [type, shape, hash of the data]}}, without the tokenizer."""
    reader = gguf.GGUFReader(path)
    keys = {name: [".".join(kind.name for kind in one.types[:2]), one.contents()]
            for name, one in reader.fields.items() if not name.startswith(("GGUF.", "tokenizer."))}
    tensors = {one.name: [one.tensor_type.name, [int(n) for n in reversed(one.shape)],
                          hashlib.sha256(one.data.tobytes()).hexdigest()[:16]] for one in reader.tensors}
    return {"keys": dict(sorted(keys.items())), "tensors": dict(sorted(tensors.items()))}


def convert(llama_cpp: Path, folder: Path, dtype: str, *options: str) -> dict[str, Any]:
    """What the converter writes for folder."""
    out = folder / "upstream.gguf"
    subprocess.run([sys.executable, str(llama_cpp / "convert_hf_to_gguf.py"), str(folder), "--outtype", dtype,
                    "--outfile", str(out), "--model-name", TITLE, *options], check=True, capture_output=True, text=True)
    found = next(folder.glob("*upstream.gguf"))         # upstream puts mmproj- before the name
    answer = described(found)
    found.unlink()
    return answer


def main() -> None:
    llama_cpp = Path(sys.argv[1]).resolve()
    golden = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind in KINDS.items():
            folder = make(name, Path(scratch), runs.DEMO_BASE)
            golden[name] = convert(llama_cpp, folder, kind.dtype)
            if "vision_config" in kind.config:
                golden[f"{name} mmproj"] = convert(llama_cpp, folder, kind.dtype, "--mmproj")
    GOLDEN.write_text("{\n" + ",\n".join(
        f"{json.dumps(name)}: {{{', '.join(_block(part, values) for part, values in one.items())}}}"
        for name, one in golden.items()) + "\n}\n", encoding="utf-8")


def _block(part: str, values: dict[str, Any]) -> str:
    """A line for each key, so that a difference shows as one line."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    return f"{json.dumps(part)}: {{\n{lines}}}"


if __name__ == "__main__":
    main()

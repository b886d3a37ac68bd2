"""A random model in the shape of Gemma 3 1B, written as a GGUF: speed without a download.

    .venv/bin/python bench/random_gemma.py                       Q4_K_M, kept in GALEN_HOME/cache
    .venv/bin/python bench/random_gemma.py --type Q8_0 --out F   another type, another place

Needs the public Gemma-shaped tokenizer in ../shared/data, or --tokenizer FILE, and 3 GB of disk while it works.
The mix of types is llama.cpp's own: the file is written in BF16 and then given to its quantizer.
"""

import argparse
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

if __name__ == "__main__":                      # else bench/runtime.py hides the package of that name
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from convert.families.gemma3 import FAMILY
from convert.families.tensor import Tensor
from convert.gguf import Plan, write
from convert.vocab import NORMAL, Vocab, read_vocab
from models import runs
from models.errors import UserError
from runtime.quantize import quantize

TOKENIZER = runs.ROOT.parent / "shared/data/models/gemma-vocab/gemma3-shaped.tokenizer.model"
ROWS = 262_144
CONFIG = dict(vocab_size=ROWS, hidden_size=1152, intermediate_size=6912, num_hidden_layers=26, num_attention_heads=4,
              num_key_value_heads=1, head_dim=256, max_position_embeddings=32_768, rms_norm_eps=1e-6,
              sliding_window=512, query_pre_attn_scalar=256, rope_theta=1e6, rope_local_base_freq=1e4)
NAMES = dict(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>")
EMBEDDING_SPREAD = 0.06         # logits spread by about 2 nats
OUT_GAIN = 16.0                 # what a layer adds drowns the token that came in: else the model repeats it for ever
QUIET = 0.1                     # embeddings of control, byte and unused tokens: such a token is never the likeliest


def random_gemma(type_name: str = "Q4_K_M", path: Path | None = None, tokenizer: Path = TOKENIZER,
                 threads: int = 0) -> Path:
    """The model's file, made if it is not there: at path, else in GALEN_HOME/cache.

    Raises UserError if the tokenizer is missing or the disk is full; a file that exists is whole.
    """
    path = path or runs.home() / "cache" / f"random-gemma3-1b-{type_name}.gguf"
    if path.is_file():
        return path
    runs.make_folder(path.parent)
    plan = shape(tokenizer)
    with runs.whole_file(path) as part, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        wide = Path(folder) / "wide.gguf"
        write(wide, plan, random_values(plan.vocab))
        quantize(wide, part, type_name, threads)
    return path


def shape(tokenizer: Path) -> Plan:
    """Everything of the file but its weights. Raises UserError if there is no tokenizer."""
    if not tokenizer.is_file():
        raise UserError(f"There is no tokenizer at {tokenizer}; name a Gemma 3 tokenizer.model with --tokenizer.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(tokenizer, folder / "tokenizer.model")
        shutil.copyfile(runs.DEMO_BASE / "chat_template.jinja", folder / "chat_template.jinja")
        (folder / "tokenizer_config.json").write_text(json.dumps(NAMES), encoding="utf-8")
        vocab = read_vocab(folder, ROWS)
    metadata = {"general.name": "random Gemma 3 1B", **FAMILY.metadata(CONFIG)}
    return Plan(architecture=FAMILY.architecture, metadata=metadata, vocab=vocab, tensors=FAMILY.tensors(CONFIG),
                type_name="BF16")


def random_values(vocab: Vocab) -> Callable[[Tensor], np.ndarray]:
    """The values of each tensor as llama.cpp multiplies by them, always the same ones."""
    is_quiet = np.array([kind != NORMAL for kind in vocab.types])

    def values(tensor: Tensor) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(tensor.name.encode()))
        drawn = rng.standard_normal(tensor.shape, np.float32)
        if tensor.name == "token_embd.weight":
            drawn *= np.where(is_quiet, QUIET, 1.0).astype(np.float32)[:, None] * np.float32(EMBEDDING_SPREAD)
        elif len(tensor.shape) > 1:
            drawn *= np.float32(tensor.shape[1] ** -0.5)
        else:
            drawn = (1 + np.float32(0.1) * drawn) * (OUT_GAIN if ".post_" in tensor.name else 1)
        return drawn.astype(np.float32, copy=False)

    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--threads", type=int, default=0, help="of the quantizer (0: one for each core)")
    options = parser.parse_args()
    try:
        path = random_gemma(options.type, options.out, options.tokenizer, options.threads)
    except UserError as error:
        sys.exit(str(error))
    print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()

"""A random model in the shape of a Gemma 3, written as a GGUF: speed without a download.

    .venv/bin/python bench/random_gemma.py                       Q4_K_M, kept in GALEN_HOME/cache
    .venv/bin/python bench/random_gemma.py --type Q8_0 --out F   another type, another place
    .venv/bin/python bench/random_gemma.py --size 270m           the shape of another size

Needs the public Gemma-shaped tokenizer in ../shared/data, or --tokenizer FILE. The mix of types is llama.cpp's own.
"""

import argparse
import json
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

if __name__ == "__main__":                      # else bench/runtime.py hides the package of that name
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from convert.families.gemma3 import FAMILY
from convert.families.tensor import Tensor
from convert.gguf import Plan
from convert.stream import write_all
from convert.vocab import NORMAL, read_vocab
from models import runs
from models.errors import UserError

TOKENIZER = runs.ROOT.parent / "shared/data/models/gemma-vocab/gemma3-shaped.tokenizer.model"
ROWS = 262_144
CONFIG = dict(vocab_size=ROWS, hidden_size=1152, intermediate_size=6912, num_hidden_layers=26, num_attention_heads=4,
              num_key_value_heads=1, head_dim=256, max_position_embeddings=32_768, rms_norm_eps=1e-6,
              sliding_window=512, query_pre_attn_scalar=256, rope_theta=1e6, rope_local_base_freq=1e4)
SIZES: dict[str, dict[str, int]] = {
    "270m": dict(hidden_size=640, intermediate_size=2048, num_hidden_layers=18),
    "1b": {},
    "4b": dict(hidden_size=2560, intermediate_size=10_240, num_hidden_layers=34, num_attention_heads=8,
               num_key_value_heads=4, sliding_window=1024),
}
NAMES = dict(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>")
EMBEDDING_SPREAD = 0.06         # logits spread by about 2 nats
OUT_GAIN = 16.0                 # what a layer adds drowns the token that came in: else the model repeats it for ever
SEED_ROWS = 1000
QUIET = 0.1                     # embeddings of control, byte and unused tokens: such a token is never the likeliest


def random_gemma(type_name: str = "Q4_K_M", path: Path | None = None, tokenizer: Path = TOKENIZER,
                 threads: int = 0, size: str = "1b") -> Path:
    """The model's file, made if it is not there: at path, else in GALEN_HOME/cache.

    Raises UserError if the tokenizer is missing or the disk is full; a file that exists is whole.
    """
    path = path or runs.home() / "cache" / f"random-gemma3-{size}-{type_name}.gguf"
    if path.is_file():
        return path
    runs.make_folder(path.parent)
    with runs.whole_file(path) as part:
        write_all(RandomGemma(tokenizer, size), {type_name: part}, threads=threads)
    return path


def shape(tokenizer: Path, size: str = "1b") -> Plan:
    """Everything of the file but its weights. Raises UserError if there is no tokenizer."""
    if not tokenizer.is_file():
        raise UserError(f"There is no tokenizer at {tokenizer}; name a Gemma 3 tokenizer.model with --tokenizer.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(tokenizer, folder / "tokenizer.model")
        shutil.copyfile(runs.DEMO_BASE / "chat_template.jinja", folder / "chat_template.jinja")
        (folder / "tokenizer_config.json").write_text(json.dumps(NAMES), encoding="utf-8")
        vocab = read_vocab(folder, ROWS)
    config = {**CONFIG, **SIZES[size]}
    metadata = {"general.name": f"random Gemma 3 {size.upper()}", **FAMILY.metadata(config)}
    return Plan(architecture=FAMILY.architecture, metadata=metadata, vocab=vocab, tensors=FAMILY.tensors(config),
                type_name="BF16")


class RandomGemma:
    """The model as convert/stream.py reads it: rows are what llama.cpp multiplies by, always the same ones."""

    def __init__(self, tokenizer: Path, size: str = "1b"):
        self.plan = shape(tokenizer, size)
        self._is_quiet = np.array([kind != NORMAL for kind in self.plan.vocab.types])

    def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        """Each tensor, and each thousand rows of it, has a seed of its own."""
        first = start // SEED_ROWS
        drawn = np.concatenate([_drawn(f"{tensor.name} {k}", (SEED_ROWS, *tensor.shape[1:]))
                                for k in range(first, -(-stop // SEED_ROWS))])
        drawn = drawn[start - first * SEED_ROWS:stop - first * SEED_ROWS]
        if tensor.name == "token_embd.weight":
            drawn *= np.where(self._is_quiet[start:stop], QUIET, 1.0).astype(np.float32)[:, None]
            return drawn * np.float32(EMBEDDING_SPREAD)
        if len(tensor.shape) > 1:
            return drawn * np.float32(tensor.shape[1] ** -0.5)
        return (1 + np.float32(0.1) * drawn) * np.float32(OUT_GAIN if ".post_" in tensor.name else 1)


def _drawn(seed: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(seed.encode())).standard_normal(shape, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--size", choices=list(SIZES), default="1b")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--threads", type=int, default=0, help="of the quantizer (0: one for each core)")
    options = parser.parse_args()
    try:
        path = random_gemma(options.type, options.out, options.tokenizer, options.threads, options.size)
    except UserError as error:
        sys.exit(str(error))
    print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()

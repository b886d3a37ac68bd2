"""Numbers drawn from a seed, with the tensors of a Llama: what convert/stream.py writes, without a model folder."""

import zlib
from typing import Any

import numpy as np

from convert.families.tensor import Tensor
from convert.gguf import Plan


class Words:
    """A vocabulary for files that no engine loads."""

    def metadata(self) -> dict[str, Any]:
        return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "a", "b"],
                "tokenizer.ggml.scores": [0.0, -1.0, -2.0], "tokenizer.ggml.token_type": [2, 1, 1]}


class Shaped:
    """plan, and rows in float32 that lose nothing in plan.type_name."""

    def __init__(self, *, hidden: int = 256, inner: int = 512, layers: int = 16, rows: int = 300, tied: bool = True,
                 type_name: str = "BF16"):
        self.plan = Plan(architecture="llama", metadata=_metadata(hidden, inner, layers), vocab=Words(),
                         tensors=_tensors(hidden, inner, layers, rows, tied), type_name=type_name)

    def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        drawn = np.random.default_rng(zlib.crc32(tensor.name.encode())).standard_normal(tensor.shape, np.float32)
        bits = drawn.view(np.uint32) & (0xFFFF0000 if self.plan.kind(tensor) == "BF16" else 0xFFFFFFFF)
        values = bits.view(np.float32)
        if self.plan.kind(tensor) == "F16":
            values = values.astype(np.float16).astype(np.float32)
        return values[start:stop]

    def importance(self) -> dict[str, np.ndarray]:
        """An importance matrix for every second matrix; some columns were never used."""
        rng = np.random.default_rng(5)
        matrices = [t for t in self.plan.tensors if len(t.shape) == 2][::2]
        return {t.name: np.square(rng.standard_normal(t.shape[1], np.float32)) * (rng.random(t.shape[1]) > 0.1)
                .astype(np.float32) for t in matrices}


def _metadata(hidden: int, inner: int, layers: int) -> dict[str, Any]:
    own = dict(context_length=512, embedding_length=hidden, block_count=layers, feed_forward_length=inner,
               vocab_size=3)
    heads = {"attention.head_count": 8, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-6}
    return {"general.name": "shaped", **{f"llama.{key}": value for key, value in {**own, **heads}.items()}}


def _tensors(hidden: int, inner: int, layers: int, rows: int, tied: bool) -> list[Tensor]:
    matrices = {"attn_q": (40, hidden), "attn_k": (24, hidden), "attn_v": (24, hidden), "attn_output": (24, hidden),
                "ffn_gate": (24, hidden), "ffn_up": (24, hidden), "ffn_down": (24, inner)}
    outer = {"token_embd": (rows, hidden), "output_norm": (hidden,)} | ({} if tied else {"output": (rows, hidden)})
    return [Tensor(source=name, name=f"{name}.weight", shape=shape) for name, shape in outer.items()] + [
        Tensor(source=f"{k}.{name}", name=f"blk.{k}.{name}.weight", shape=shape) for k in range(layers)
        for name, shape in {"attn_norm": (hidden,), **matrices}.items()]

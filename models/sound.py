"""Figures in a GGUF header that no sound model has, and that end the process which loads one.

Each function says in words what is wrong, or "". Figures that are missing or of the wrong kind are
left to llama.cpp, which refuses those without harm.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_LAYERS, MAX_EXPERTS = 512, 1024             # what llama.cpp has room for
ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
DENSE = ("gemma", "gemma2", "gemma3", "gemma4", "llama", "qwen2", "qwen3")  # attention in every layer
AT_LEAST_ONE = ("context_length", "embedding_length", "feed_forward_length", "attention.head_count",
                "attention.head_count_kv", "attention.key_length", "attention.value_length")
LARGEST = 1 << 31
NO_TOKEN = 0xFFFFFFFF                           # how some files write that they have no such token
Shapes = Mapping[str, tuple[int, ...]]


def wrong_figure(metadata: Mapping[str, Any], shapes: Shapes) -> str:
    """What is wrong with the hyper-parameters; shapes: of the tensors, by name."""
    architecture = str(metadata["general.architecture"])
    if metadata.get("general.type") == "adapter" or metadata.get("split.count", 1) != 1:
        shapes = {}                             # a part of a model, not all of its layers
    figures = {key.removeprefix(architecture + "."): value for key, value in metadata.items()
               if key.startswith(architecture + ".")}
    layers = figures.get("block_count", 1)
    if isinstance(layers, int) and not 1 <= layers <= MAX_LAYERS:
        return f"it says that it has {layers:,} layers"
    scaling = figures.get("rope.scaling.type", "none")
    if isinstance(scaling, str) and scaling not in ROPE_SCALINGS:
        return f"its rope.scaling.type is {scaling[:40]!r}"
    for key in ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon", "rope.freq_base",
                "rope.freq_base_swa"):
        value = figures.get(key, 1.0)
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0.0):
            return f"its {key} is {value}"
    idle = 1 if architecture.startswith("hunyuan") else 0
    return _wrong_experts(figures, idle) or (_wrong_layers(figures, shapes) if architecture in DENSE else "")


def wrong_token_ids(metadata: Mapping[str, Any], words: int) -> str:
    """What is wrong with what is said of a vocabulary of so many words."""
    for key in ("scores", "token_type"):
        others = metadata.get(f"tokenizer.ggml.{key}")
        if isinstance(others, Sequence) and len(others) != words:
            return f"its vocabulary has {words:,} pieces, its list of {key} {len(others):,}"
    for key, value in metadata.items():
        if (key.startswith("tokenizer.ggml.") and key.endswith("_token_id") and isinstance(value, int)
                and value != NO_TOKEN and not -1 <= value < words):
            return f"its {key} is {value:,} and its vocabulary has {words:,} pieces"
    return ""


def wrong_words(model: str, pieces: list[bytes]) -> str:
    """What is wrong with the words of a vocabulary; model: as tokenizer.ggml.model names it."""
    known = set(pieces)
    if b"\0" in b"".join(pieces):               # llama.cpp reads to the zero, and numbers the empty ones
        pieces = [piece.split(b"\0")[0] for piece in pieces]
        known = set(pieces)
    if len(known) != len(pieces) and len(known - {b""}) + pieces.count(b"") != len(pieces):
        return "its vocabulary holds a piece twice"
    return _wrong_bytes(model, known)


def _wrong_bytes(model: str, known: set[bytes]) -> str:
    """A SentencePiece vocabulary that spells out bytes must have all of them."""
    lacking = [byte for byte in range(256) if b"<0x%02X>" % byte not in known]
    if model == "llama" and len(lacking) < 256:
        lacking = [byte for byte in lacking if bytes([byte]) not in known]
        if lacking:
            return f"its vocabulary lacks the byte 0x{lacking[0]:02X}"
    return ""


def _wrong_experts(figures: Mapping[str, Any], idle: int) -> str:
    """Experts of a layer: how many there are, are used, and in how many groups; up to idle of them need no use."""
    experts, groups, groups_used, later = (max(_each(figures.get(key, 0)), default=0) for key in (
        "expert_count", "expert_group_count", "expert_group_used_count", "nextn_predict_layers"))
    used = max(_each(figures.get("expert_used_count", 0)), default=0)
    if experts > MAX_EXPERTS or used > experts or (experts > idle and not used):
        return f"it says that it uses {used:,} of {experts:,} experts"
    if groups and (groups >= experts or experts % groups):
        return f"it says that its {experts:,} experts form {groups:,} groups"
    if groups > 1 and not 0 < groups_used < groups:
        return f"it says that it uses {groups_used:,} of {groups:,} groups of experts"
    if later > max(_each(figures.get("block_count", MAX_LAYERS)), default=MAX_LAYERS):
        return f"its nextn_predict_layers is {later:,}"
    return ""


def _wrong_layers(figures: Mapping[str, Any], shapes: Shapes) -> str:
    """Sizes of the layers, where every one of them has attention."""
    for key in AT_LEAST_ONE:
        for value in _each(figures.get(key, 1)):
            if not 1 <= value < LARGEST:
                return f"its {key} is {value:,}"
    window = max(_each(figures.get("attention.sliding_window")), default=0)
    if window >= LARGEST:
        return f"its attention.sliding_window is {window:,}"
    heads, kv_heads = _each(figures.get("attention.head_count")), _each(figures.get("attention.head_count_kv"))
    if heads and kv_heads:
        for k in range(max(len(heads), len(kv_heads))):
            head, kv_head = heads[k % len(heads)], kv_heads[k % len(kv_heads)]
            if head % kv_head:
                return f"its {head:,} attention heads do not share {kv_head:,} heads of keys evenly"
    widths = _each(figures.get("attention.key_length")) or [
        width // head for width, head in zip(_each(figures.get("embedding_length")), heads[:1], strict=False)]
    for rotated in _each(figures.get("rope.dimension_count")):
        if rotated < 1 or rotated % 2 or rotated > max(widths, default=LARGEST):
            return f"its rope.dimension_count is {rotated:,}"
    layers = figures.get("block_count")
    numbers = {name.split(".")[1] for name in shapes if name.startswith("blk.")}
    if shapes and isinstance(layers, int) and numbers != set(map(str, range(layers))):
        return f"it says that it has {layers:,} layers and holds tensors of {len(numbers):,}"
    width, table = figures.get("embedding_length"), shapes.get("token_embd.weight")
    if table and isinstance(width, int) and table[0] != width:
        return f"its embedding_length is {width:,} and its token_embd.weight has rows of {table[0]:,}"
    return ""


def _each(value: Any) -> list[int]:
    """The whole numbers of a figure that is one number or one a layer."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)]

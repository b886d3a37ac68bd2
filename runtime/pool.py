"""How many cells a cache gets, reckoned from a file's header alone."""

from typing import Any

from models.header import Header

DEFAULT_CTX_TOKENS = 8192
CELLS_PAD = 256                                   # llama.cpp rounds the cache up to this
KEPT_SEQUENCES = 7                                # beside the slots: conversations that may go on
SEQUENCES, LEAST_SCORING = 32, 8                  # of a context in all, and of these for scoring
POOL_BYTES = 64 << 20                             # what room for more than one conversation may take


def conversation_tokens(asked: int, own: int) -> int:
    """The longest conversation: what was asked for, else (0) the model's own context up to DEFAULT_CTX_TOKENS.

    own: 0 where the header does not say.
    """
    return asked or min(own or DEFAULT_CTX_TOKENS, DEFAULT_CTX_TOKENS)


def pool_cells(header: Header, slots: int, ctx_tokens: int) -> int:
    """Cells for the cache: one whole conversation, and for a small model as many as there are slots."""
    return cells_for(cache_bytes_per_token(header), slots, ctx_tokens)


def cells_for(per_token: int, slots: int, ctx_tokens: int) -> int:
    """The same for a model whose cache takes so many bytes for each token; 0: not known."""
    affordable = POOL_BYTES // per_token if per_token else 0
    return padded(max(ctx_tokens, min(ctx_tokens * slots, affordable)))


def cache_bytes_per_token(header: Header) -> int:
    """Bytes of float16 keys and values for each token, all layers kept; 0 where the header does not say.

    The last layers of Gemma 3n and 4 share those of others, and heads of layers with a window may have another width.
    """
    def read(key: str) -> Any:
        return header.metadata.get(f"{header.architecture}.{key}")

    def whole(key: str, otherwise: int = 0) -> int:
        value = read(key)
        return value if isinstance(value, int) and value > 0 else otherwise

    queries, has_window = whole("attention.head_count"), read("attention.sliding_window_pattern")
    heads = read("attention.head_count_kv") or queries
    width = whole("attention.key_length", whole("embedding_length") // queries if queries else 0)
    value = whole("attention.value_length", width)
    narrow = whole("attention.key_length_swa", width) + whole("attention.value_length_swa", value)
    total = 0
    for layer in range(whole("block_count") - whole("attention.shared_kv_layers")):
        is_narrow = isinstance(has_window, list) and layer < len(has_window) and has_window[layer]
        count = heads[layer] if isinstance(heads, list) and layer < len(heads) else heads
        total += count * (narrow if is_narrow else width + value) if isinstance(count, int) else 0
    return int(total * 2)


def sequences_for(slots: int) -> int:
    """Sequences of a context with so many slots: llama.cpp reserves a row of logits for each."""
    return max(SEQUENCES, slots + KEPT_SEQUENCES + 1 + LEAST_SCORING)


def padded(cells: int) -> int:
    """cells rounded up to what llama.cpp really reserves."""
    return -(-cells // CELLS_PAD) * CELLS_PAD

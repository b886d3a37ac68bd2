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
    per_token = cache_bytes_per_token(header)
    affordable = POOL_BYTES // per_token if per_token else 0
    return padded(max(ctx_tokens, min(ctx_tokens * slots, affordable)))


def cache_bytes_per_token(header: Header) -> int:
    """Bytes of float16 keys and values for each token, all layers kept; 0 where the header does not say."""
    def read(key: str) -> Any:
        return header.metadata.get(f"{header.architecture}.{key}")

    layers, queries, hidden = read("block_count"), read("attention.head_count"), read("embedding_length")
    heads = read("attention.head_count_kv") or queries
    width = read("attention.key_length")
    if width is None and isinstance(queries, int) and isinstance(hidden, int) and queries > 0:
        width = hidden // queries
    value = read("attention.value_length") or width
    if not isinstance(layers, int) or not isinstance(width, int) or not isinstance(value, int):
        return 0
    total = sum(heads) if isinstance(heads, list) else heads * layers if isinstance(heads, int) else 0
    return int(total * (width + value) * 2)


def sequences_for(slots: int) -> int:
    """Sequences of a context with so many slots: llama.cpp reserves a row of logits for each."""
    return max(SEQUENCES, slots + KEPT_SEQUENCES + 1 + LEAST_SCORING)


def padded(cells: int) -> int:
    """cells rounded up to what llama.cpp really reserves."""
    return -(-cells // CELLS_PAD) * CELLS_PAD

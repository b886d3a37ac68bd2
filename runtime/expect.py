"""What to expect of a model before it is loaded, or even here: the memory that it takes, the tokens a second it writes.

The memory is reckoned as llama.cpp lays it out (runtime/estimate.py asks llama.cpp itself, for a file that is here).
The speed: each token reads all the weights once, at the speed that runtime/bandwidth.py measured for their types.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from models.catalog import IMAGE, Entry
from models.header import Header
from runtime.bandwidth import MEASURED, Bandwidth
from runtime.device import LARGE_PARAMETERS
from runtime.pool import cache_bytes_per_token, cells_for

BASE_BYTES = 67_000_000                         # Python, the libraries, a batch's working memory
WORD_BYTES = 64 * 4 + 215                       # of the vocabulary: a number in each row of logits, and its text
ROOT_BYTES = 24_000_000                         # times the root of the parameters in billions: working memory again
USUAL_WORDS = 262_144
TWICE_SHARE = 0.1                               # of a file with embeddings of single layers: llama.cpp counts the
                                                # common embedding twice then (Gemma 4: 0.09 to 0.10)
TOWER_BYTES = 2                                 # of each parameter of a projector, as it is usually offered (F16)
CACHE_GROWTH, MOST_CACHE_BYTES = 41_000, 512_000            # of a token where the catalog does not say: for each
                                                # billion parameters; above all known Gemmas
USUAL_TOKENS = 512                              # of a conversation that is under way: their cache is read as well
READING_SHARE = 0.9                             # of the measured speed: a model is many matrices, some of them small
STEPS = 60                                      # for each layer: 30 of its graph, some of them with work for one thread
USUAL_LAYERS = 30
TOKEN_S, WORD_S = 0.0002, 4e-9                  # outside the graph: to send a token; to choose it, for each word
ROWS_ALONE = ("token_embd.weight", "per_layer_token_embd.weight")       # of which a token reads a row
EXPERTS = "_exps."
NEAREST = {"F32": "F16", "BF16": "F16", "Q8_1": "Q8_0", "Q5_1": "Q5_0", "Q5_K": "Q6_K"}     # the type that is measured
                                                # in place of it; any other one: Q4_K
BITS = {"Q4_0": 4.6, "Q4_K_S": 4.7, "Q4_K_M": 5.0, "Q5_K_M": 5.8, "Q6_K": 6.6, "Q8_0": 8.5, "BF16": 16.0, "F16": 16.0}
USUAL_BITS = 5.0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a model without loading it."""
    weights_bytes: int
    projector_bytes: int
    read_bytes: Mapping[str, int]               # for each token, by tensor type
    cache_bytes: int                            # of each token of context
    parameters: int
    layers: int
    words: int                                  # of the vocabulary

    def memory_bytes(self, ctx_tokens: int, slots: int = 8) -> int:
        """About what it takes with conversations of so many tokens."""
        working = working_bytes(self.parameters, self.words)
        cache = self.cache_bytes * cells_for(self.cache_bytes, slots, ctx_tokens)
        return round(self.weights_bytes + self.projector_bytes + cache + working)

    def tokens_per_s(self, measured: Bandwidth) -> float:
        """About how fast it answers one person on this machine's processor, a short while into a conversation."""
        is_small = self.parameters < LARGE_PARAMETERS            # those run with one thread
        step_us = measured.one_step_us if is_small else measured.step_us
        gb = {kind: count / 1e9 for kind, count in self.read_bytes.items()}
        weights_s = sum(one / (measured.one_gb_s if is_small else measured.by_type[_measured(kind)])
                        for kind, one in gb.items()) / READING_SHARE
        cache_s = self.cache_bytes * USUAL_TOKENS / 1e9 / measured.gb_s
        return 1 / (weights_s + cache_s + self.layers * STEPS * step_us / 1e6 + self.words * WORD_S + TOKEN_S)


def working_bytes(parameters: int, words: int) -> float:
    """About what a loaded model takes beside its tensors and its cache. words: of its vocabulary."""
    return BASE_BYTES + WORD_BYTES * words + ROOT_BYTES * (parameters / 1e9) ** 0.5


def of_header(header: Header, projector_bytes: int = 0) -> Expected:
    """Of a file that is here."""
    layers = header.metadata.get(f"{header.architecture}.block_count")
    words = max((tensor.shape[-1] for tensor in header.tensors if tensor.name == ROWS_ALONE[0]), default=USUAL_WORDS)
    sizes = {tensor.name: tensor.bytes for tensor in header.tensors}
    twice = sizes.get(ROWS_ALONE[0], 0) if ROWS_ALONE[1] in sizes else 0
    return Expected(weights_bytes=sum(sizes.values()) + twice, projector_bytes=projector_bytes,
                    read_bytes=_read(header), cache_bytes=cache_bytes_per_token(header), words=words,
                    parameters=header.parameters, layers=layers if isinstance(layers, int) else USUAL_LAYERS)


def of_entry(entry: Entry, size: int, type_name: str = "", projector_bytes: int = 0) -> Expected:
    """Of a model of the catalog as a file of so many bytes that is not here.

    type_name: of the file ("Q4_K_M"), "" if nobody knows it. projector_bytes 0: the usual one, if the model sees.
    Parameters that the entry does not know are guessed from the size.
    """
    parameters = entry.parameters_active or round(size * 8 / BITS.get(type_name, USUAL_BITS))
    towers = max(0, entry.parameters - parameters) if entry.can(IMAGE) else 0
    kind = type_name.removesuffix("_M").removesuffix("_S").removesuffix("_L") or "Q4_K"
    has_rows = not towers and entry.parameters > parameters          # embeddings of single layers: of them, a row
    read = min(size, round(parameters * BITS.get(type_name, USUAL_BITS) / 8)) if has_rows else size
    likely = min(MOST_CACHE_BYTES, round(CACHE_GROWTH * parameters / 1e9))
    twice = round(size * TWICE_SHARE) if has_rows else 0
    return Expected(weights_bytes=size + twice, projector_bytes=projector_bytes or towers * TOWER_BYTES,
                    read_bytes={kind: read}, cache_bytes=entry.cache_bytes or likely, parameters=parameters,
                    layers=USUAL_LAYERS, words=USUAL_WORDS)


def _measured(kind: str) -> str:
    """The measured type whose speed kind has, more or less."""
    return kind if kind in MEASURED else NEAREST.get(kind, "Q4_K")


def _read(header: Header) -> dict[str, int]:
    """Bytes that each token reads, by tensor type: not the rows of other tokens, nor experts that are not asked."""
    is_tied = all(tensor.name != "output.weight" for tensor in header.tensors)
    experts, asked = (header.metadata.get(f"{header.architecture}.{key}") for key in ("expert_count",
                                                                                      "expert_used_count"))
    share = asked / experts if isinstance(experts, int) and isinstance(asked, int) and 0 < asked < experts else 1.0
    found: Counter[str] = Counter()
    for tensor in header.tensors:
        if tensor.name in ROWS_ALONE and not (is_tied and tensor.name == ROWS_ALONE[0]):
            continue
        found[tensor.type_name] += round(tensor.bytes * (share if EXPERTS in tensor.name else 1.0))
    return dict(found)

"""Settings of a config.json as a family reads them: defaults filled in, what llama.cpp can not compute refused."""

from collections.abc import Mapping
from typing import Any

from convert.families.tensor import Config
from models.errors import UserError

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
         "num_key_value_heads", "head_dim", "max_position_embeddings")
MOST = {"num_hidden_layers": 10_000, "head_dim": 1 << 20, "global_head_dim": 1 << 20}   # far beyond any model
MOST_ELSE = 2**31 - 1           # what llama.cpp's whole numbers hold
SHOWN = 80                      # characters of a value in a message
LARGEST = 3.4e38                # of float32, in which a GGUF has its numbers


def with_defaults(config: Config, defaults: Config, sizes: tuple[str, ...] = SIZES) -> dict[str, Any]:
    """config with transformers' defaults for what it leaves out. Raises UserError for sizes that are no numbers."""
    full = {**defaults, **config}
    for key in sizes:
        whole(full, key)
    return full


def whole(config: Config, key: str, least: int = 1) -> int:
    """config's whole number under key. Raises UserError if it is none, below least, or beyond any model."""
    value, most = config.get(key), MOST.get(key, MOST_ELSE)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"config.json has {key} = {_short(value)}; it must be a whole number "
                        f"{'above 0' if least == 1 else f'from {least}'}, and no more than {most:,}.")
    return value


def number(config: Config, key: str) -> float:
    """config's number under key. Raises UserError if it is none, not above 0, or beyond float32."""
    value = config.get(key)
    if not is_above_0(value):
        raise UserError(f"config.json has {key} = {_short(value)}; it must be a number above 0.")
    return float(value)             # type: ignore[arg-type]


def cap(config: Config, key: str) -> float:
    """The number under key, 0 where there is none. Raises UserError as number does."""
    return 0.0 if config.get(key) in (None, False, 0) else number(config, key)


def table(config: Config, key: str) -> Config:
    """The settings by name under key, none where there are none. Raises UserError for anything else."""
    value = config.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise UserError(f"config.json has {key} = {_short(value)}; it must hold settings by name.")
    return value or {}


def is_above_0(value: Any) -> bool:
    """True for a number above 0 that float32 can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LARGEST


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def tied(config: Config) -> Config:
    """config saying that the head is the embedding, where it says nothing of it."""
    return config if config.get("tie_word_embeddings") is not None else {**config, "tie_word_embeddings": True}


def untied(config: Config) -> Config:
    """config saying that the head is a matrix of its own, where it says nothing of it."""
    return config if config.get("tie_word_embeddings") is not None else {**config, "tie_word_embeddings": False}


def refuse_unless(config: Config, key: str, *allowed: Any) -> None:
    """Raise UserError if config has another value for key than those that llama.cpp computes for this family."""
    value = config.get(key)
    if value is not None and value not in allowed:
        computes = f"with {' or '.join(map(_short, allowed))} only" if allowed else "without"
        raise UserError(f"config.json has {key} = {_short(value)}; llama.cpp computes this family {computes}, "
                        "so the export would be another model.")


def refuse_head(config: Config, present: frozenset[str], family: str) -> None:
    """Raise UserError if the model has an output matrix of its own, where llama.cpp takes the embedding."""
    refuse_unless(config, "tie_word_embeddings", True)
    if "lm_head.weight" in present:
        raise UserError(f"The merged model has an output matrix of its own (lm_head.weight), and llama.cpp computes "
                        f"{family} with the embedding in its place; train again without lm_head, or with the "
                        "embedding untouched.")


def check_attention_scale(config: Config, largest_layers: int) -> None:
    """Raise UserError unless query_pre_attn_scalar is what llama.cpp takes from the shapes alone.

    It takes head_dim, but hidden_size / heads for the family's largest model, known by its number of layers.
    Source: llama.cpp, src/models/gemma2.cpp and gemma3.cpp.
    """
    expected = config["head_dim"]
    if config["num_hidden_layers"] == largest_layers:
        expected = config["hidden_size"] // config["num_attention_heads"]
    refuse_unless(config, "query_pre_attn_scalar", expected)


def text_config(config: Config) -> Config:
    """The language model's settings: config itself, or what a model with towers keeps of them inside."""
    inner = config.get("text_config")
    if not isinstance(inner, Mapping):
        return tied(config)
    return tied({"tie_word_embeddings": config.get("tie_word_embeddings"), **inner})

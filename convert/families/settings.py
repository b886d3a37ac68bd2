"""Settings of a config.json as a family reads them: defaults filled in, what llama.cpp can not compute refused."""

from typing import Any

from convert.families.tensor import Config
from models.errors import UserError

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
         "num_key_value_heads", "head_dim", "max_position_embeddings")


def with_defaults(config: Config, defaults: Config, sizes: tuple[str, ...] = SIZES) -> dict[str, Any]:
    """config with transformers' defaults for what it leaves out. Raises UserError for sizes that are no numbers."""
    full = {**defaults, **config}
    for key in sizes:
        if not isinstance(full.get(key), int) or full[key] < 1:
            raise UserError(f"config.json has {key} = {full.get(key)!r}; it must be a whole number above 0.")
    return full


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
        computes = f"with {' or '.join(map(repr, allowed))} only" if allowed else "without"
        raise UserError(f"config.json has {key} = {value!r}; llama.cpp computes this family {computes}, "
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

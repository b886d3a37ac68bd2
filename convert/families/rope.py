"""Rotary positions: the frequencies of a config.json, old style or new, as GGUF keys and factors."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.families.settings import is_above_0, table
from convert.families.tensor import Config
from models.errors import UserError

THETA = 10_000.0                # transformers' default
# settings of YaRN for which llama.cpp takes these values in every family here, whatever the file says
YARN_FIXED = {"attention_factor": None, "attn_factor": None, "mscale": None, "mscale_all_dim": None,
              "extrapolation_factor": None, "truncate": True, "beta_fast": 32, "beta_slow": 1}


@dataclass(frozen=True, kw_only=True)
class Rope:
    """kind: rope_type, "default" without scaling. settings: its other values as config.json has them."""
    kind: str
    theta: float
    settings: dict[str, Any]

    def number(self, key: str, default: float | None = None) -> float:
        """A setting above 0. Raises UserError if it is anything else."""
        value = self.settings.get(key, default)
        if not is_above_0(value):
            raise UserError(f"config.json scales positions with rope_type {self.kind!r} and {key} = {value!r}; "
                            "it must be a number above 0.")
        return float(value)     # type: ignore[arg-type]


def read_rope(config: Config, *kinds: str) -> Rope:
    """The one kind of positions that all layers share. Raises UserError if it is not "default" or one of kinds.

    Old files: rope_theta beside rope_scaling. New: both in rope_parameters.
    """
    settings = {**table(config, "rope_scaling"), **table(config, "rope_parameters")}
    kind = str(settings.get("rope_type") or settings.get("type") or "default")
    known = ("default", *kinds)
    if kind not in known:
        raise UserError(f"config.json scales positions (rope_type {kind!r}); this family is exported with "
                        f"{' or '.join(known)} only.")
    turned = settings.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1
    if turned != 1:
        raise UserError(f"config.json has partial_rotary_factor = {turned!r}; llama.cpp turns whole heads in this "
                        "family, so the export would be another model.")
    theta = settings.get("rope_theta") or config.get("rope_theta") or THETA
    return Rope(kind=kind, theta=Rope(kind=kind, theta=THETA, settings={"rope_theta": theta}).number("rope_theta"),
                settings=settings)


def rope_metadata(arch: str, rope: Rope, context: int) -> dict[str, Any]:
    """Base frequency and scaling; context: max_position_embeddings. llama3 scaling is a tensor, see llama3_factors."""
    keys: dict[str, Any] = {f"{arch}.rope.freq_base": rope.theta}
    if rope.kind not in ("linear", "yarn"):
        return keys
    keys |= {f"{arch}.rope.scaling.type": rope.kind, f"{arch}.rope.scaling.factor": rope.number("factor")}
    if rope.kind == "linear":
        return keys
    for name, fixed in YARN_FIXED.items():
        if rope.settings.get(name) not in (None, fixed):
            raise UserError(f"config.json scales positions with YaRN and {name} = {rope.settings[name]!r}, which "
                            "llama.cpp does not follow; the export would be another model.")
    keys[f"{arch}.rope.scaling.original_context_length"] = int(rope.number("original_max_position_embeddings", context))
    for name in ("beta_fast", "beta_slow"):
        if rope.settings.get(name) is not None:
            keys[f"{arch}.rope.scaling.yarn_{name}"] = rope.number(name)
    return keys


def llama3_factors(rope: Rope, head: int, context: int) -> np.ndarray:
    """What each pair of a head divides its frequency by, (head / 2,) float32.

    Each step rounds to float32 as upstream's does, so that the bytes are its bytes. Source: Llama 3.1's scaling,
    transformers' modeling_rope_utils.py.
    """
    factor, low, high = (np.float32(rope.number(key)) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    original = np.float32(rope.number("original_max_position_embeddings", context))
    if high <= low:
        raise UserError(f"config.json scales positions with low_freq_factor = {low} and high_freq_factor = {high}; "
                        "the first must be the smaller.")
    one = np.float32(1)
    exponents = np.arange(0, head, 2, dtype=np.float32) / np.float32(head)
    powers = np.power(rope.theta, exponents.astype(np.float64)).astype(np.float32)   # rounds right, as torch does
    freqs = one / powers
    wavelengths = one / freqs * np.float32(2 * math.pi)
    smooth = (one / wavelengths * original - low) / (high - low)
    between = one / ((one - smooth) / factor + smooth)
    return np.where(wavelengths < original / high, one, np.where(wavelengths > original / low, factor, between))

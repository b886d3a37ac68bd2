"""The SigLIP tower of Gemma 3 with its projector: keys and tensors of the mmproj GGUF that libmtmd reads."""

import math
from pathlib import Path
from typing import Any

from convert.families.decoder import plus_one
from convert.families.settings import LARGEST, number, refuse_unless, table, with_defaults
from convert.families.tensor import Config, Projector, Tensor
from models import runs
from models.errors import UserError

DEFAULTS = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, num_channels=3,
                image_size=224, patch_size=16, layer_norm_eps=1e-6)
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
USUAL_MERGE = 4                 # patches a side that become one token, where no key says so
PICTURE_TOKENS = 256
TOWER, PROJECTOR = "vision_tower.vision_model", "multi_modal_projector"
# what picks one vector for a whole picture, which Gemma does not use
UNUSED = f"{TOWER}.head.*"


def siglip(config: Config, width: int, folder: Path) -> Projector:
    """The projector of a model whose text part is width wide.

    config: the whole config.json. Raises UserError for a setting that libmtmd does not compute, and for a folder
    without the picture preprocessor's settings.
    """
    vision = with_defaults(table(config, "vision_config"), DEFAULTS, SIZES)
    refuse_unless(vision, "model_type", "siglip_vision_model")
    refuse_unless(vision, "hidden_act", "gelu_pytorch_tanh")
    refuse_unless(vision, "num_channels", 3)
    return Projector(metadata=_metadata(config, vision, width, folder), tensors=_tensors(vision, width))


def _metadata(config: Config, vision: Config, width: int, folder: Path) -> dict[str, Any]:
    picture = preprocessor(folder)
    keys: dict[str, Any] = {
        "clip.has_vision_encoder": True, "clip.projector_type": "gemma3", "clip.use_gelu": True,
        "clip.vision.projection_dim": width, "clip.vision.image_size": vision["image_size"],
        "clip.vision.patch_size": vision["patch_size"], "clip.vision.embedding_length": vision["hidden_size"],
        "clip.vision.feed_forward_length": vision["intermediate_size"],
        "clip.vision.block_count": vision["num_hidden_layers"],
        "clip.vision.attention.head_count": vision["num_attention_heads"],
        "clip.vision.attention.layer_norm_epsilon": number(vision, "layer_norm_eps"),
        "clip.vision.image_mean": _three(picture, "image_mean", folder),
        "clip.vision.image_std": _three(picture, "image_std", folder),
    }
    merge = _merge(vision, config.get("mm_tokens_per_image", PICTURE_TOKENS))
    return keys if merge == USUAL_MERGE else keys | {"clip.vision.projector.scale_factor": merge}


def _merge(vision: Config, tokens: Any) -> int:
    """How many patches a side become one of the tokens of a picture."""
    side, rest = divmod(vision["image_size"], vision["patch_size"])
    tokens_side = math.isqrt(tokens) if isinstance(tokens, int) and tokens > 0 else 0
    merge = side // tokens_side if tokens_side else 0
    if rest or not merge or tokens_side**2 != tokens or merge * tokens_side != side:
        raise UserError(f"config.json makes {tokens!r} tokens of a picture of {side} x {side} patches "
                        f"(mm_tokens_per_image, image_size, patch_size); squares of patches must fit exactly.")
    return merge


def preprocessor(folder: Path) -> dict[str, Any]:
    """How a picture becomes numbers: preprocessor_config.json, under what processor_config.json says of it."""
    values: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            given = runs.read_json(folder / name)
            inner = given.get("image_processor") if isinstance(given, dict) else None
            values |= (given if isinstance(given, dict) else {}) | (inner if isinstance(inner, dict) else {})
    return values


def _three(picture: Config, key: str, folder: Path) -> list[float]:
    """image_mean or image_std, one number a colour."""
    value = picture.get(key)
    if not isinstance(value, list) or len(value) != 3 or not all(
            isinstance(one, int | float) and abs(one) < LARGEST for one in value):
        raise UserError(f"{folder} does not say how pictures are prepared ({key} of preprocessor_config.json is "
                        f"{value!r}); copy preprocessor_config.json from the original model.")
    return [float(one) for one in value]


def _tensors(vision: Config, width: int) -> list[Tensor]:
    hidden, patch = vision["hidden_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2
    outer = {"embeddings.patch_embedding.weight": ("v.patch_embd.weight", (hidden, 3, patch, patch), "F32"),
             "embeddings.patch_embedding.bias": ("v.patch_embd.bias", (hidden,), "F32"),
             "embeddings.position_embedding.weight": ("v.position_embd.weight", (places, hidden), "F32"),
             "post_layernorm.weight": ("v.post_ln.weight", (hidden,), "F32"),
             "post_layernorm.bias": ("v.post_ln.bias", (hidden,), "F32")}
    return [
        # llama.cpp's issue 13025: any other type here gives wrong pictures
        Tensor(source=f"{PROJECTOR}.mm_input_projection_weight", name="mm.input_projection.weight",
               shape=(hidden, width), kind="F16"),
        Tensor(source=f"{PROJECTOR}.mm_soft_emb_norm.weight", name="mm.soft_emb_norm.weight", shape=(hidden,),
               transform=plus_one, kind="F32"),
        *(Tensor(source=f"{TOWER}.{source}", name=name, shape=shape, kind=kind)
          for source, (name, shape, kind) in outer.items()),
        *(t for k in range(vision["num_hidden_layers"]) for t in _layer(k, hidden, vision["intermediate_size"]))]


def _layer(layer: int, hidden: int, inner: int) -> list[Tensor]:
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "layer_norm1": ("ln1", (hidden,)), "layer_norm2": ("ln2", (hidden,)),
        "self_attn.q_proj": ("attn_q", (hidden, hidden)), "self_attn.k_proj": ("attn_k", (hidden, hidden)),
        "self_attn.v_proj": ("attn_v", (hidden, hidden)), "self_attn.out_proj": ("attn_out", (hidden, hidden)),
        "mlp.fc1": ("ffn_up", (inner, hidden)), "mlp.fc2": ("ffn_down", (hidden, inner)),
    }
    return [Tensor(source=f"{TOWER}.encoder.layers.{layer}.{source}.{kind}", name=f"v.blk.{layer}.{name}.{kind}",
                   shape=shape if kind == "weight" else shape[:1])
            for source, (name, shape) in shapes.items() for kind in ("weight", "bias")]

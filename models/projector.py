"""The GGUF beside a model with which it sees (mmproj): found, and held against what libmtmd expects of it.

libmtmd trusts such a file: a wrong shape or a missing tensor would end the process. Source: clip.cpp of
the pinned llama.cpp, for its projector "gemma3" (SigLIP, average pooling, one matrix).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import runs
from models.elsewhere import hf_cache, lm_studio, ollama
from models.errors import UserError
from models.ggufs import is_projector, prefix_of
from models.header import Header, Tensor, one_line, read_header

CLIP, KIND = "clip", "gemma3"
USUAL_MERGE = 4                 # patches a side that become one token, where no key says so
MAX_SIDE, MAX_TOKENS = 4096, 4096
U32, F32, BOOL, STRING = 4, 6, 7, 8             # types of values in a GGUF; any other one ends the process
FIGURES = ("image_size", "patch_size", "embedding_length", "feed_forward_length", "block_count",
           "attention.head_count", "projection_dim")
TYPES = {**dict.fromkeys((f"clip.vision.{key}" for key in (*FIGURES, "projector.scale_factor")), U32),
         "clip.vision.attention.layer_norm_epsilon": F32, "clip.projector_type": STRING,
         "clip.vision.projector_type": STRING, "clip.has_vision_encoder": BOOL, "clip.use_gelu": BOOL,
         "clip.use_silu": BOOL, "general.name": STRING, "general.description": STRING}
FOREIGN = ("clip.has_audio_encoder", "clip.has_gen_audio_encoder", "clip.use_silu")     # must not be true
READ = frozenset(TYPES) | {*FOREIGN, "clip.vision.image_mean", "clip.vision.image_std", "clip.has_text_encoder",
                           "clip.has_llava_projector", "clip.vision.feature_layer"}
TYPE_ORDER = ("F16", "BF16", "Q8_0", "F32")     # the first of these that is there: as good as any, and fast everywhere
PLAIN, MATRIX, KERNEL = ("F32",), ("F32", "F16", "BF16", "Q8_0"), ("F32", "F16", "BF16")


@dataclass(frozen=True, kw_only=True)
class Projector:
    """A vision tower and its projector. tokens: that one picture becomes, whatever its size."""
    path: Path
    name: str                   # general.name; "" if it has none
    bytes: int
    side: int                   # pixels of the square that a picture is resized to
    tokens: int
    width: int                  # of the language model that it was made for
    type_name: str = ""         # of most of its bytes


def projector_for(model: Header, asked: str) -> Path | None:
    """The projector to load beside model: the one asked for, else the one in its folder that belongs to it.

    In its folder: a file with mmproj in its name, as wide as the model and of the same name, or of none.
    Raises UserError if the one that was asked for can not be used, or model is a projector itself.
    """
    if model.architecture == CLIP:
        raise UserError(f"{model.path.name} is the projector of a model that sees; choose the model itself, "
                        "and leave this file beside it.")
    if asked:
        found = read_projector(runs.typed(asked).resolve())
        if found.width != _width(model):
            raise UserError(f"{found.path.name} was made for a model of {found.width:,} columns and {model.path.name} "
                            f"has {_width(model):,}; choose the projector that came with the model.")
        return found.path
    beside, is_own = _beside(model.path)
    chosen = choose(_width(model), model.name, _usable(beside), is_own)
    return chosen.path if chosen else None


def choose(width: Any, name: str, projectors: Iterable[Projector], is_own: bool) -> Projector | None:
    """The projector for a model of that width and name; of several that are the same, the one in the best type.

    is_own: their place says that they belong to the model (one repository, one manifest), whatever their names are.
    """
    fitting = [one for one in projectors if one.width == width]
    named = [one for one in fitting if _same(one.name, name)] or [
        one for one in fitting if is_own or not one.name]
    return min(named, key=lambda one: TYPE_ORDER.index(one.type_name) if one.type_name in TYPE_ORDER
               else len(TYPE_ORDER), default=None)


def read_projector(path: Path) -> Projector:
    """The projector at path. Raises UserError if it is none that can be used, or is damaged."""
    return projector_of(read_header(path))


def projector_of(header: Header) -> Projector:
    """The same of a header that was read."""
    path = header.path
    if header.architecture != CLIP:
        raise UserError(f"{path.name} is no projector but a {one_line(header.architecture)} model; "
                        "choose the file with mmproj in its name.")
    data = header.metadata
    kind = data.get("clip.projector_type") or data.get("clip.vision.projector_type")
    if kind != KIND:
        raise UserError(f"{path.name} is a projector of the kind {str(kind)[:40]!r}; Galen sees with those of Gemma 3 "
                        f"and MedGemma ({KIND!r}).")
    why = _wrong_keys(header) or _wrong_sizes(data) or _wrong_tensors(header)
    if why:
        raise UserError(f"{path.name} is damaged: {why}. Copy or download it again.")
    side, merge = data["clip.vision.image_size"], data.get("clip.vision.projector.scale_factor", USUAL_MERGE)
    return Projector(path=path, name=one_line(str(data.get("general.name") or "")), bytes=header.bytes, side=side,
                     type_name=header.type_name,
                     tokens=(side // data["clip.vision.patch_size"] // merge) ** 2,
                     width=data["clip.vision.projection_dim"])


def projectors_beside(model: Path) -> list[Path]:
    """The files that may be the projector of a model: in its folder, its repository or its manifest, by name."""
    return _beside(model)[0]


def _beside(model: Path) -> tuple[list[Path], bool]:
    """Those files, and whether their place says that they belong to the model."""
    manifests = ollama.manifests_of(model)
    if manifests:
        return [one for manifest in manifests for one in manifest.projectors if one.is_file()], True
    found = [path for path in sorted(model.parent.iterdir()) if is_projector(path.name) and path != model
             and path.is_file()] if model.parent.is_dir() else []
    mine = [path for path in found if prefix_of(path.name) and model.name.startswith(prefix_of(path.name))]
    if mine:                    # llama.cpp's cache holds the files of all repositories side by side
        return mine, True
    snapshot = hf_cache.snapshot_of(model)
    if snapshot:                # a repository may have a folder for each type, and the projector above them
        above = [folder for folder in model.parents if snapshot in (folder, *folder.parents)][1:]
        found += [path for folder in above for path in sorted(folder.iterdir()) if is_projector(path.name)]
    return found, snapshot is not None or any(model.is_relative_to(store) for store in lm_studio.stores())


def _usable(paths: Iterable[Path]) -> Iterator[Projector]:
    for path in paths:
        try:
            yield read_projector(path)
        except UserError:
            continue            # still being copied, broken or of another kind; naming it says why


def _width(model: Header) -> Any:
    return model.metadata.get(f"{model.architecture}.embedding_length")


def _same(a: str, b: str) -> bool:
    """Two names, whatever stands between their words."""
    return [c for c in a.casefold() if c.isalnum()] == [c for c in b.casefold() if c.isalnum()]


def _wrong_keys(header: Header) -> str:
    data = header.metadata
    for key in data:
        if key in TYPES and header.types.get(key) != TYPES[key]:
            return f"its {key} is of a wrong type"
        if key.startswith("clip.") and key not in READ:
            return f"it holds the key {key[:60]!r}, which no projector of this kind has"
    for key in FOREIGN:
        if data.get(key, False) is not False:
            return f"its {key} is {repr(data[key])[:40]}"
    if not data.get("clip.has_vision_encoder") or not data.get("clip.use_gelu"):
        return "it does not say that it has a vision encoder with GELU"
    for key in ("clip.vision.image_mean", "clip.vision.image_std"):
        three = data.get(key)
        if not isinstance(three, list) or len(three) != 3 or not all(
                isinstance(one, float) and abs(one) < 10 and (one > 0 or key.endswith("mean")) for one in three):
            return f"its {key} is {str(three)[:60]}"
    epsilon = data.get("clip.vision.attention.layer_norm_epsilon")
    if not isinstance(epsilon, float) or not 0.0 <= epsilon < 1.0:
        return f"its layer_norm_epsilon is {epsilon}"
    return ""


def _wrong_sizes(data: Any) -> str:
    for key in FIGURES:
        if data.get(f"clip.vision.{key}", 0) < 1:
            return f"its {key} is {data.get(f'clip.vision.{key}')}"
    side, patch, hidden, inner, heads = (data[f"clip.vision.{key}"] for key in (
        "image_size", "patch_size", "embedding_length", "feed_forward_length", "attention.head_count"))
    merge = data.get("clip.vision.projector.scale_factor", USUAL_MERGE)
    if side > MAX_SIDE or side % patch or merge < 1 or side // patch % merge:
        return f"its pictures of {side:,} pixels do not fall into patches of {patch:,} and tokens of {merge:,} patches"
    if (side // patch // merge) ** 2 > MAX_TOKENS:
        return f"it makes {(side // patch // merge) ** 2:,} tokens of a picture"
    if inner == hidden:
        return f"its layers are {inner:,} wide throughout, so that libmtmd mistakes their matrices for each other"
    if hidden % heads:
        return f"its {hidden:,} columns do not share {heads:,} heads evenly"
    return ""


def _wrong_tensors(header: Header) -> str:
    """Every tensor has its shape, and there is none that would change what is computed."""
    layers = header.metadata["clip.vision.block_count"]
    if 16 * layers + 7 != len(header.tensors):  # before a long list is made of a wrong figure
        return f"it says that it has {layers:,} layers and holds {len(header.tensors):,} tensors"
    found = {tensor.name: tensor for tensor in header.tensors}
    wrong = ""
    for name, shape, kinds in _expected(header, found):
        tensor = found.pop(name, None)
        if tensor is None:
            return f"it lacks the tensor {name}"
        if tensor.shape != shape:
            wrong = wrong or f"its tensor {name} has the shape {list(tensor.shape)} and should have {list(shape)}"
        elif tensor.type_name not in kinds:
            wrong = wrong or f"its tensor {name} has the type {tensor.type_name}, which can not be used there"
    return wrong


def _expected(header: Header, found: dict[str, Tensor]) -> Iterator[tuple[str, tuple[int, ...], tuple[str, ...]]]:
    """Name, shape (row length first) and possible types of each tensor."""
    side, patch, hidden, inner, layers, width = (header.metadata[f"clip.vision.{key}"] for key in (
        "image_size", "patch_size", "embedding_length", "feed_forward_length", "block_count", "projection_dim"))
    yield "mm.input_projection.weight", (width, hidden), KERNEL
    yield "mm.soft_emb_norm.weight", (hidden,), PLAIN
    yield "v.patch_embd.weight", (patch, patch, 3, hidden), KERNEL
    yield "v.position_embd.weight", (hidden, (side // patch) ** 2), PLAIN
    for name in ("v.patch_embd.bias", "v.post_ln.weight", "v.post_ln.bias"):
        yield name, (hidden,), PLAIN
    up, down = ("ffn_up", "ffn_down")
    first = found.get("v.blk.0.ffn_down.weight")
    if inner != hidden and first is not None and first.shape == (hidden, inner):
        up, down = down, up     # the first converter for Gemma 3 swapped the names, and libmtmd swaps them back
    matrices = {"attn_q": (hidden, hidden), "attn_k": (hidden, hidden), "attn_v": (hidden, hidden),
                "attn_out": (hidden, hidden), up: (hidden, inner), down: (inner, hidden)}
    for layer in range(layers):
        for name, shape in matrices.items():
            yield f"v.blk.{layer}.{name}.weight", shape, MATRIX
            yield f"v.blk.{layer}.{name}.bias", shape[1:], PLAIN
        for name in ("ln1", "ln2"):
            yield f"v.blk.{layer}.{name}.weight", (hidden,), PLAIN
            yield f"v.blk.{layer}.{name}.bias", (hidden,), PLAIN

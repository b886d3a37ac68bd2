"""A small random Gemma 3 that sees, built from a config in memory, and pictures for it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sentencepiece import sentencepiece_model_pb2
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from convert.model import MergedModel
from convert.stream import write_all

SIDE, PICTURE_TOKENS, WINDOW = 64, 16, 32       # 8 x 8 patches, of which 2 x 2 become one token
BEGIN, END, SOFT = 8189, 8190, 8191             # pieces of the embedded tokenizer that are renamed
NAMES = {BEGIN: "<start_of_image>", END: "<end_of_image>", SOFT: "<image_soft_token>"}
TEMPLATE = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {%- for item in message['content'] -%}
            {{ '<start_of_image>' if item['type'] == 'image' else item['text'] | trim }}
        {%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""


def make_seeing(folder: Path, tokenizer: Path) -> Path:
    """Save a random Gemma 3 with vision tower in folder, in float32, with a tokenizer that knows picture markers."""
    text = dict(vocab_size=8192, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                num_key_value_heads=2, head_dim=16, max_position_embeddings=1024, query_pre_attn_scalar=16,
                sliding_window=WINDOW, sliding_window_pattern=3, pad_token_id=0, eos_token_id=1, bos_token_id=2)
    vision = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, image_size=SIDE,
                  patch_size=8, vision_use_head=False)
    torch.manual_seed(22)
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=PICTURE_TOKENS,
                          boi_token_index=BEGIN, eoi_token_index=END, image_token_index=SOFT)
    model = Gemma3ForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread = 0.3 if "norm" in name else 0.06 if "embed_tokens" in name else 0.12
            is_tower_norm = "vision_tower" in name and "norm" in name and name.endswith("weight")
            weight.normal_(1.0 if is_tower_norm else -0.7 if "post_feedforward" in name else 0.0,
                           0.04 if "down_proj" in name else spread)
            if "mm_input_projection" in name:
                weight.copy_(weight.half().float())     # llama.cpp's converter writes it in float16
    model.to(torch.float32).save_pretrained(folder)
    save_tokenizer(folder, tokenizer)
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "Gemma3ImageProcessor", "image_seq_length": PICTURE_TOKENS, "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3, "size": {"height": SIDE, "width": SIDE}, "do_resize": True, "resample": 2,
        "rescale_factor": 1 / 255, "do_normalize": True, "do_rescale": True}), encoding="utf-8")
    return folder


def save_tokenizer(folder: Path, tokenizer: Path) -> None:
    """The tokenizer's files with three of its rarest pieces turned into the markers of a picture."""
    pieces = sentencepiece_model_pb2.ModelProto.FromString((tokenizer / "tokenizer.model").read_bytes())
    fast = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    known = {piece: number for number, piece in enumerate(one.piece for one in pieces.pieces)}
    for number, name in NAMES.items():
        pieces.pieces[number].piece = name
        pieces.pieces[number].type = pieces.pieces[number].CONTROL
        fast["added_tokens"].append({"id": number, "content": name, "single_word": False, "lstrip": False,
                                     "rstrip": False, "normalized": False, "special": True})
    gone = {piece for piece, number in known.items() if number in NAMES}
    fast["model"]["vocab"] = {NAMES.get(number, piece): number for piece, number in fast["model"]["vocab"].items()}
    fast["model"]["merges"] = [pair for pair in fast["model"]["merges"]
                               if not {*pair, "".join(pair)} & gone]
    (folder / "tokenizer.model").write_bytes(pieces.SerializeToString())
    (folder / "tokenizer.json").write_text(json.dumps(fast, ensure_ascii=False), encoding="utf-8")
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["additional_special_tokens"] += NAMES.values()
    settings |= {"chat_template": TEMPLATE, "boi_token": NAMES[BEGIN], "eoi_token": NAMES[END],
                 "image_token": NAMES[SOFT], "added_tokens_decoder": {
                     str(token["id"]): {key: value for key, value in token.items() if key != "id"}
                     for token in fast["added_tokens"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def picture(seed: int, width: int = SIDE, height: int = SIDE, form: str = "PNG", mode: str = "RGB") -> bytes:
    """A random picture of large coloured squares with noise, as a file."""
    source = np.random.default_rng(seed)
    coarse = source.integers(0, 256, (4, 4, 3)).repeat(-(-height // 4), 0).repeat(-(-width // 4), 1)[:height, :width]
    pixels = np.clip(coarse + source.integers(-30, 31, (height, width, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form)
    return file.getvalue()


class _Tower:
    """The part of a merged model that becomes the mmproj, for write_all."""

    def __init__(self, model: MergedModel):
        assert model.projector_plan
        self.plan, self.rows = model.projector_plan, model.rows


def export_seeing(base: Path, folder: Path) -> Path:
    """Write seeing.gguf and mmproj-seeing.gguf from base into folder, in float32; returns the first."""
    model = MergedModel(base, [], "Seeing")
    write_all(model, {"F32": folder / "seeing.gguf"}, threads=1)
    write_all(_Tower(model), {"F32": folder / "mmproj-seeing.gguf"}, threads=1)
    return folder / "seeing.gguf"


def say(text: str, *pictures: bytes) -> dict[str, Any]:
    """A user's message: pictures, then text."""
    parts = [{"type": "image", "data": one} for one in pictures]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}

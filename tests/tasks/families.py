"""Chat templates of six families, each with a tokenizer of transformers and the same vocabulary as a GGUF."""

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from runtime.llama import Model
from tasks.hf_tokenizer import HFTokenizer

GEMMA_1 = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
    {{- raise_exception('System role not supported') }}
{% endif %}{% for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""
GEMMA_2 = GEMMA_1.replace("{{ bos_token }}{% if", "{{- bos_token }}\n{%- if").replace("{%- endfor %}", "{% endfor -%}")
CHATML = """{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
LLAMA_3 = """{{- bos_token }}{% for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}
    {%- generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}
{%- endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
RENAMED = {
    "chatml": {"<start_of_turn>": "<|im_start|>", "<end_of_turn>": "<|im_end|>"},
    "llama3": {"<start_of_turn>": "<|start_header_id|>", "<pad>": "<|end_header_id|>", "<end_of_turn>": "<|eot_id|>",
               "<bos>": "<|begin_of_text|>", "<eos>": "<|end_of_text|>"},
}
TEMPLATES = {"gemma1": GEMMA_1, "gemma2": GEMMA_2, "gemma3": "", "chatml": CHATML, "llama3": LLAMA_3}
TURN = {"gemma1": "<start_of_turn>", "gemma2": "<start_of_turn>", "gemma3": "<start_of_turn>", "gemma4": "<|turn>",
        "chatml": "<|im_start|>", "llama3": "<|start_header_id|>"}


def make(family: str, base: Path, folder: Path) -> tuple[HFTokenizer, Model]:
    """The tokenizers of a family that is not Gemma 4: the embedded model's, with other control strings."""
    renamed = RENAMED.get(family, {})
    has_bos = family != "chatml"
    for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"):
        shutil.copyfile(base / name, folder / name)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in renamed.items():
            text = text.replace(json.dumps(old), json.dumps(new))
        (folder / name).write_text(text, encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = TEMPLATES[family] or settings["chat_template"]
    settings |= {"chat_template": template, "tokenizer_class": "PreTrainedTokenizerFast"}
    if not has_bos:
        settings["bos_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    hf = HFTokenizer(AutoTokenizer.from_pretrained(folder))
    found = vocabulary(next(base.glob("*.gguf")))
    found["tokenizer.ggml.tokens"] = [renamed.get(token, token) for token in found["tokenizer.ggml.tokens"]]
    return hf, Model(_written(folder / "vocab.gguf", found, template, has_bos), vocab_only=True)


def gemma_4(path: Path) -> tuple[HFTokenizer, Model]:
    """The tokenizers of Gemma 4, both from llama.cpp's own vocabulary file, which holds its template."""
    found, model = vocabulary(path), Model(path, vocab_only=True)
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    fast = tokenizers.Tokenizer(tokenizers.models.BPE(
        vocab={token: k for k, token in enumerate(tokens)}, unk_token="<unk>", fuse_unk=True, byte_fallback=True,
        merges=[tuple(pair.split(" ")) for pair in found["tokenizer.ggml.merges"]]))
    fast.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
    for k, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if k in model.header.special_tokens:
            fast.add_tokens([tokenizers.AddedToken(token, normalized=False, special=kind != 4)])
    hf = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
                                 pad_token="<pad>", chat_template=model.template, extra_special_tokens=[
                                     t for t, kind in zip(tokens, types, strict=True) if kind == 3])
    return HFTokenizer(hf), model


def vocabulary(path: Path) -> dict[str, Any]:
    """The lists of strings and whole numbers among the tokenizer's keys of a GGUF."""
    data, found = path.read_bytes(), {}
    for name, form in (("tokens", ""), ("merges", ""), ("token_type", "i"), ("scores", "f")):
        key = f"tokenizer.ggml.{name}"
        at = data.find(key.encode()) + len(key) + 8                     # behind the types of the value and of its items
        if at < len(key) + 8:
            continue
        length, at = struct.unpack_from("<Q", data, at)[0], at + 8
        if form:
            found[key] = list(struct.unpack_from(f"<{length}{form}", data, at))
            continue
        found[key] = []
        for _ in range(length):
            end = at + 8 + struct.unpack_from("<Q", data, at)[0]
            found[key].append(data[at + 8:end].decode())
            at = end
    return found


def _written(path: Path, found: Mapping[str, Any], template: str, has_bos: bool) -> Path:
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    for key, values in found.items():
        writer.add_array(key, values)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_add_bos_token(has_bos)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path

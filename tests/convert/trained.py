"""Small tokenizers of other families than the embedded model's, trained here with the settings of the real ones."""

import json
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE

from convert.probes import TALKS
from convert.vocab.pretokenizer import LLAMA_3, QWEN_2
from tests.convert.texts import random_texts
from tests.tasks.families import CHATML
from tests.tasks.families import LLAMA_3 as LLAMA_3_TEMPLATE

CORPUS = [*(turn for talk in TALKS for turn in talk), *random_texts(200, seed=11), *("12,345.67 mg don't WE'RE ",) * 9]
LATIN = [text for text in CORPUS if text.isascii() and text.isprintable()]
BOT, EOT, TURN = "<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")
ADDED = {               # text -> special, in the order of ids
    "llama 3": {BOT: True, "<|end_of_text|>": True, TURN[0]: True, TURN[1]: True, EOT: True},
    "qwen 3": {"<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<think>": False, "</think>": False,
               "<|fim_prefix|>": False},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "llama 3": dict(bos_token=BOT, eos_token=EOT, tokenizer_class="PreTrainedTokenizerFast",
                    chat_template=LLAMA_3_TEMPLATE),
    "qwen 3": dict(add_bos_token=False, add_prefix_space=False, bos_token=None, eos_token="<|im_end|>",
                   pad_token="<|endoftext|>", unk_token=None, tokenizer_class="Qwen2Tokenizer", chat_template=CHATML),
}
PLAIN_TOKENS = 700


def byte_level(folder: Path, kind: str) -> Path:
    """Save a byte-level BPE of that kind in folder. config.json is a minimal one."""
    fast = Tokenizer(BPE(ignore_merges=kind == "llama 3"))
    fast.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_3 if kind == "llama 3" else QWEN_2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if kind == "qwen 3":
        fast.normalizer = normalizers.NFC()
    fast.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=PLAIN_TOKENS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    fast.decoder = decoders.ByteLevel()
    fast.add_tokens([AddedToken(text, normalized=False, special=is_special) for text, is_special in
                     ADDED[kind].items()])
    fast.post_processor = processors.ByteLevel(trim_offsets=False)
    if kind == "llama 3":
        around = processors.TemplateProcessing(single=f"{BOT} $A", pair=f"{BOT} $A {BOT}:1 $B:1",
                                               special_tokens=[(BOT, fast.token_to_id(BOT))])
        fast.post_processor = processors.Sequence([fast.post_processor, around])
    folder.mkdir(exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", SETTINGS[kind])
    ids = {"bos_token_id": fast.token_to_id("<|endoftext|>")} if kind == "qwen 3" else {}
    write(folder / "config.json", {**ids, "vocab_size": fast.get_vocab_size() + 3})
    return folder


def llama_2(folder: Path) -> Path:
    """Save a tokenizer.model of Llama 2's kind in folder, with a space before every text."""
    folder.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LATIN), model_prefix=str(folder / "tokenizer"),
        vocab_size=500, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, hard_vocab_limit=False, minloglevel=2,
        max_sentence_length=100_000)
    write(folder / "tokenizer_config.json", dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>",
                                                 unk_token="<unk>", add_bos_token=True, add_eos_token=False))
    write(folder / "config.json", dict(model_type="llama", bos_token_id=1, eos_token_id=2))
    return folder


def write(path: Path, values: dict[str, Any]) -> None:
    """values as JSON."""
    path.write_text(json.dumps(values), encoding="utf-8")


def change(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    write(path, json.loads(path.read_text(encoding="utf-8")) | changes)

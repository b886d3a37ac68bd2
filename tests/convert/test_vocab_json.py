"""Vocabularies from tokenizer.json: byte-level BPE, and SentencePiece's pieces where tokenizer.model is missing."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import Tokenizer, normalizers
from transformers import AutoTokenizer

from convert.families.tensor import BPE, GEMMA_4, LLAMA_JSON, SENTENCEPIECE
from convert.probes import built_in
from convert.vocab import BYTE, CONTROL, NORMAL, UNUSED, USER_DEFINED, Vocab, read_vocab
from models.header import read_header
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import prompt_ids
from tests.convert.texts import differences, open_vocab, random_texts
from tests.convert.trained import BOT, PLAIN_TOKENS, byte_level, change, llama_2, write
from tests.tasks.families import vocabulary

ANY = (SENTENCEPIECE, LLAMA_JSON, BPE)
TEXTS = random_texts()
EXPECTED = {            # as llama.cpp's own converter writes them for Llama 3 and Qwen 3 with these settings
    "llama 3": {"pre": "llama-bpe", "bos_token_id": 700, "eos_token_id": 704, "add_bos_token": True,
                "add_eos_token": False, "add_sep_token": False},
    "qwen 3": {"pre": "qwen2", "bos_token_id": 700, "eos_token_id": 702, "padding_token_id": 700,
               "add_bos_token": False, "add_eos_token": False},
}


@pytest.fixture(scope="module", params=EXPECTED)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, byte_level(tmp_path_factory.mktemp("trained"), request.param)


def rows_of(folder: Path) -> int:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]


def text_scores(vocab: Vocab) -> list[float]:
    """Of the pieces that text becomes; those of other tokens say nothing."""
    return [s for s, kind in zip(vocab.scores, vocab.types, strict=True) if kind in (NORMAL, BYTE)]


def plain(hf):
    """Ids of plain text under a tokenizer of transformers."""
    return lambda text: hf.encode(text, add_special_tokens=False, split_special_tokens=True)


def test_keys_of_byte_level_bpe_are_upstreams(trained: tuple[str, Path]):
    kind, folder = trained
    vocab = read_vocab(folder, rows_of(folder), ANY)
    keys = vocab.metadata()
    merges, source = keys["tokenizer.ggml.merges"], json.loads((folder / "tokenizer.json").read_text("utf-8"))
    assert merges == [" ".join(pair) for pair in source["model"]["merges"]] and len(merges) > 300
    assert keys["tokenizer.ggml.model"] == "gpt2" and "tokenizer.ggml.scores" not in keys
    short = {key.removeprefix("tokenizer.ggml."): value for key, value in keys.items()
             if not isinstance(value, list) and key not in ("tokenizer.ggml.model", "tokenizer.chat_template")}
    assert short == EXPECTED[kind]
    assert [vocab.tokens[k] for k in source["model"]["vocab"].values()] == list(source["model"]["vocab"])
    added = [USER_DEFINED if "think" in token["content"] else CONTROL for token in source["added_tokens"]]
    assert vocab.types == [NORMAL] * PLAIN_TOKENS + added + [UNUSED] * 3
    assert vocab.tokens[-1] == f"[PAD{len(vocab.tokens) - 1}]"


def test_ids_of_byte_level_bpe_are_transformers(trained: tuple[str, Path], tmp_path: Path):
    _, folder = trained
    hf = AutoTokenizer.from_pretrained(folder)
    model = open_vocab(tmp_path / "x.gguf", read_vocab(folder, rows_of(folder), ANY))
    assert differences(model, plain(hf), TEXTS) == []          # for Qwen 3 with its NFC, which runtime/ does
    assert hf.encode("a <think> b", add_special_tokens=False) == model.encode("a <think> b", control=False)
    wrapped = HFTokenizer(hf)
    for messages in built_in(wrapped.controls):
        assert prompt_ids(messages, model) == prompt_ids(messages, wrapped), messages
    assert hf.eos_token_id in model.eog_ids
    model.close()


def test_another_name_of_the_pre_tokenizer_would_be_seen(tmp_path: Path):
    folder = byte_level(tmp_path, "llama 3")
    vocab = dataclasses.replace(read_vocab(folder, rows_of(folder), ANY), pre="qwen2")
    model = open_vocab(tmp_path / "x.gguf", vocab)
    assert differences(model, plain(AutoTokenizer.from_pretrained(folder)), [*TEXTS, "12345", "1000 mg"])
    model.close()


def test_pieces_from_tokenizer_json_alone_are_those_of_tokenizer_model(tmp_path: Path, tokenizer_folder: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer_folder / name, tmp_path / name)
    whole, alone = read_vocab(tokenizer_folder, 8200), read_vocab(tmp_path, 8200, (SENTENCEPIECE, BPE))
    assert (alone.tokens, alone.types) == (whole.tokens, whole.types)
    assert text_scores(alone) == text_scores(whole)
    keys, wanted = alone.metadata(), whole.metadata()
    assert keys | {"tokenizer.ggml.scores": 0} == wanted | {"tokenizer.ggml.scores": 0}
    model = open_vocab(tmp_path / "x.gguf", alone)
    assert differences(model, plain(AutoTokenizer.from_pretrained(tmp_path)), TEXTS) == []
    model.close()


def test_the_order_of_the_merges_counts_not_that_of_the_ids(tmp_path: Path, tokenizer_folder: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer_folder / name, tmp_path / name)
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    first = model["merges"].pop(0)
    change(tmp_path / "tokenizer.json", model=model | {"merges": [*model["merges"], first]})
    vocab = read_vocab(tmp_path, 8192, ANY)
    scores = dict(zip(vocab.tokens, vocab.scores, strict=True))
    assert scores["".join(first)] < min(scores["".join(merge)] for merge in model["merges"])


def test_added_tokens_are_written_as_they_are_typed_and_looked_for(tmp_path: Path, tokenizer_folder: Path):
    """Spaces as spaces; <unused> and turn markers as controls though the file calls them plain."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer_folder / name, tmp_path / name)
    change(tmp_path / "tokenizer_config.json", additional_special_tokens=None, chat_template=None)
    source = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    model, listed = source["model"], [token | {"special": token["id"] < 4} for token in source["added_tokens"]]
    change(tmp_path / "tokenizer.json", added_tokens=[*listed, dict(id=300, content="\u2581\u2581"),
                                                      dict(id=301, content="<unused3>")])
    gone = {text for text, k in model["vocab"].items() if k in (300, 301)}
    words = {text: k for text, k in model["vocab"].items() if text not in gone}
    merges = [pair for pair in model["merges"] if not gone & {*pair, "".join(pair)}]
    change(tmp_path / "tokenizer.json", model=model | {"vocab": words | {"\u2581\u2581": 300}, "merges": merges})
    vocab = read_vocab(tmp_path, 8192, ANY)
    assert [(vocab.tokens[k], vocab.types[k]) for k in (300, 301, 5)] == [
        ("  ", USER_DEFINED), ("<unused3>", CONTROL), ("<end_of_turn>", CONTROL)]


def test_whether_a_bos_is_put_before_a_text(tmp_path: Path):
    folder = byte_level(tmp_path, "llama 3")
    change(folder / "tokenizer_config.json", chat_template=None)
    assert read_vocab(folder, 710, ANY).adds["bos"] is True            # the post_processor says so
    change(folder / "tokenizer.json", post_processor=None)
    assert "bos" not in read_vocab(folder, 710, ANY).adds
    change(folder / "tokenizer_config.json", add_bos_token=False)
    assert read_vocab(folder, 710, ANY).bos == ""
    change(folder / "tokenizer_config.json", chat_template="{{ bos_token }}{{ messages[0]['content'] }}")
    assert read_vocab(folder, 710, ANY).bos == BOT                     # a template that writes it wants it


def test_llama_2_both_ways(tmp_path: Path):
    """Both ways of transformers to put a space before a text: where one is typed there already, the newer adds none."""
    both = llama_2(tmp_path / "model")
    hf = AutoTokenizer.from_pretrained(both)
    hf.save_pretrained(tmp_path / "json")
    shutil.copyfile(both / "config.json", tmp_path / "json/config.json")
    rows = len(hf)
    from_model, from_json = read_vocab(both, rows, ANY), read_vocab(tmp_path / "json", rows, ANY)
    assert (from_json.tokens, from_json.types) == (from_model.tokens, from_model.types)
    assert text_scores(from_json) == text_scores(from_model) and from_json.has_prefix is from_model.has_prefix is None
    assert from_model.special_ids == {"bos": 1, "eos": 2}
    before = json.loads((tmp_path / "json/tokenizer.json").read_text(encoding="utf-8"))
    older = Tokenizer.from_file(str(tmp_path / "json/tokenizer.json"))
    older.pre_tokenizer = None
    older.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    older.encode_special_tokens = True
    older.save(str(tmp_path / "json/tokenizer.json"))
    assert before["pre_tokenizer"] and read_vocab(tmp_path / "json", rows, ANY) == from_json
    model = open_vocab(tmp_path / "x.gguf", from_model)
    assert differences(model, lambda text: older.encode(text, add_special_tokens=False).ids, TEXTS) == []
    assert differences(model, plain(hf), [text for text in TEXTS if not text.startswith(" ")]) == []
    model.close()


@pytest.mark.parametrize(("said", "of_file", "written"), [
    (None, True, None), (True, True, True), (False, True, False), (None, False, False), (True, False, False)])
def test_the_space_before_a_text(tmp_path: Path, tokenizer_folder: Path, said, of_file, written):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer_folder / name, tmp_path / name)
    change(tmp_path / "tokenizer_config.json", add_prefix_space=said)
    scheme = "always" if of_file else "never"
    change(tmp_path / "tokenizer.json", normalizer=None, pre_tokenizer={
        "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": False})
    assert read_vocab(tmp_path, 8192, ANY).metadata().get("tokenizer.ggml.add_space_prefix") is written


def test_stories260k_both_ways(tmp_path: Path, shared_data: Path):
    folder = shared_data / "models/stories260K/hf"
    hf = AutoTokenizer.from_pretrained(folder)
    hf.save_pretrained(tmp_path)
    shutil.copyfile(folder / "config.json", tmp_path / "config.json")
    vocab, alone = read_vocab(folder, 512, ANY), read_vocab(tmp_path, 512, ANY)
    real = gguf.GGUFReader(shared_data / "models/stories260K/stories260K-f32.gguf").fields
    for name, key in (("tokens", "tokens"), ("scores", "scores"), ("types", "token_type")):
        assert getattr(vocab, name) == real[f"tokenizer.ggml.{key}"].contents(), name
    assert (alone.tokens, alone.types) == (vocab.tokens, vocab.types) and text_scores(alone) == text_scores(vocab)
    assert vocab.special_ids == {"bos": 1, "eos": 2} and vocab.adds == {"bos": True, "eos": False}
    model = open_vocab(tmp_path / "x.gguf", alone)
    assert differences(model, plain(hf), [text for text in TEXTS if not text.startswith(" ")]) == []
    model.close()


def gemma_4(folder: Path, fixture: Path) -> dict[str, Any]:
    """Write Gemma 4's tokenizer.json as its vocabulary file allows to; returns that file's keys."""
    header = read_header(fixture)
    keys = {key: value for key, value in header.metadata.items() if key.startswith("tokenizer")}
    keys |= vocabulary(fixture) | {"tokenizer.chat_template": header.template}
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    added = [dict(id=k, content=text, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for k, (text, kind) in enumerate(zip(tokens, types, strict=True)) if kind in (CONTROL, USER_DEFINED)]
    merges = [[merge[:at], merge[at + 1:]] for merge in keys["tokenizer.ggml.merges"] for at in [merge.index(" ", 1)]]
    write(folder / "tokenizer.json", dict(
        added_tokens=added, normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        model=dict(type="BPE", unk_token="<unk>", fuse_unk=True, byte_fallback=True, merges=merges,
                   vocab={text: k for k, text in enumerate(tokens)})))
    names = {name: tokens[keys[f"tokenizer.ggml.{key}_token_id"]] for name, key in
             dict(bos="bos", eos="eos", unk="unknown", pad="padding", mask="mask").items()}
    write(folder / "tokenizer_config.json", {f"{name}_token": text for name, text in names.items()} |
          {"chat_template": keys["tokenizer.chat_template"]})
    return keys


@pytest.mark.slow
def test_the_real_vocabulary_of_gemma_3_and_4_from_tokenizer_json_alone(tmp_path: Path, shared_data: Path):
    """Gemma 4 as its real file is; the same pieces as Gemma 3's kind of file, with scores from the merges."""
    fixture = shared_data / "models/gemma-vocab/ggml-vocab-gemma-4.gguf"
    keys = gemma_4(tmp_path, fixture)
    asked = Path(f"{fixture}.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    answers = [[int(k) for k in line.split()] for line in Path(f"{fixture}.out").read_text().splitlines()]
    hf = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    hf.encode_special_tokens = True
    vocab = read_vocab(tmp_path, 262_144, (GEMMA_4,))
    assert vocab.metadata() == keys | {"tokenizer.ggml.eot_token_id": 106}
    older = read_vocab(tmp_path, 262_144, (SENTENCEPIECE, BPE))
    assert older.model == "llama" and len(set(older.scores)) > 260_000
    for read in (vocab, older):
        model = open_vocab(tmp_path / "x.gguf", read)
        assert [model.encode(text, control=False) for text in asked] == answers
        assert differences(model, lambda text: hf.encode(text, add_special_tokens=False).ids, TEXTS) == []
        model.close()


def test_a_tokenizer_model_of_gemma_3s_shape_gives_transformers_ids(tmp_path: Path, shared_data: Path):
    real = shared_data / "models/gemma-vocab"
    shutil.copyfile(real / "gemma3-shaped.tokenizer.model", tmp_path / "tokenizer.model")
    write(tmp_path / "config.json", dict(model_type="gemma3_text", bos_token_id=2, eos_token_id=1))
    write(tmp_path / "tokenizer_config.json", dict(tokenizer_class="GemmaTokenizer", bos_token="<bos>",
                                                   eos_token="<eos>", unk_token="<unk>", pad_token="<pad>"))
    asked = (real / "ggml-vocab-gemma-4.gguf.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    hf, vocab = AutoTokenizer.from_pretrained(tmp_path), read_vocab(tmp_path, 262_208)
    model = open_vocab(tmp_path / "x.gguf", vocab)
    assert differences(model, plain(hf), [*asked, *TEXTS]) == []
    model.close()

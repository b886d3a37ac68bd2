"""Tokenizer files that are missing, damaged, hostile, or work in a way that llama.cpp does not."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import sentencepiece_model_pb2

from convert.families.tensor import BPE, LLAMA_JSON, SENTENCEPIECE
from convert.vocab import read_vocab
from convert.vocab.pretokenizer import LLAMA_3
from models.errors import UserError
from tests.convert.tiny import TOKENIZER_FILES
from tests.convert.trained import byte_level, change, write

ANY = (SENTENCEPIECE, LLAMA_JSON, BPE)
ROWS = 8192
Spoil = Callable[[Path], Any]


@pytest.fixture
def folder(tmp_path: Path, tokenizer_folder: Path) -> Path:
    """The embedded model's tokenizer, in both kinds of file."""
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).is_file():
            shutil.copyfile(tokenizer_folder / name, tmp_path / name)
    write(tmp_path / "config.json", dict(bos_token_id=2, eos_token_id=1))
    return tmp_path


@pytest.fixture(scope="module")
def llama_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_level(tmp_path_factory.mktemp("llama3"), "llama 3")


@pytest.fixture(scope="module")
def qwen_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_level(tmp_path_factory.mktemp("qwen3"), "qwen 3")


def proto(edit: Callable[[Any], Any]) -> Spoil:
    """Change tokenizer.model through the library that writes such files."""
    def spoil(folder: Path) -> None:
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString((folder / "tokenizer.model").read_bytes())
        edit(model)
        (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    return spoil


def cut(name: str) -> Spoil:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def bytes_of(name: str, data: bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(data)


def model_of(**changes: Any) -> Spoil:
    """Set keys of the model in tokenizer.json."""
    def spoil(folder: Path) -> None:
        path = folder / "tokenizer.json"
        change(path, model=json.loads(path.read_text(encoding="utf-8"))["model"] | changes)
    return spoil


def inside(key: str, edit: Callable[[Any], Any]) -> Spoil:
    """Change the model's vocab or merges in place."""
    def spoil(folder: Path) -> None:
        values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"][key]
        edit(values)
        model_of(**{key: values})(folder)
    return spoil


def whole(**changes: Any) -> Spoil:
    return lambda folder: change(folder / "tokenizer.json", **changes)


def added(**changes: Any) -> Spoil:
    """One more added token in tokenizer.json."""
    def spoil(folder: Path) -> None:
        listed = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
        token = dict(id=6, content="\n", special=False) | changes
        change(folder / "tokenizer.json", added_tokens=[*listed, token])
    return spoil


def split(pattern: str, use_regex: bool = False) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}]}


def test_gemma_1_and_2_need_tokenizer_model_though_there_is_a_tokenizer_json(folder: Path):
    (folder / "tokenizer.model").unlink()
    with pytest.raises(UserError, match="holds no tokenizer.model, which the export of this family needs; copy it"):
        read_vocab(folder, ROWS, (SENTENCEPIECE,))
    assert read_vocab(folder, ROWS, (SENTENCEPIECE, BPE)).special_ids["eot"] == 5


def test_no_tokenizer_at_all(tmp_path: Path):
    for readers, text in ((ANY, "no tokenizer.model and no tokenizer.json"), ((BPE,), "no tokenizer.json")):
        with pytest.raises(UserError, match=text):
            read_vocab(tmp_path, ROWS, readers)


@pytest.mark.parametrize(("spoil", "text"), [
    (cut("tokenizer.model"), "no whole SentencePiece model"),
    (bytes_of("tokenizer.model", b""), "holds no pieces"),
    (bytes_of("tokenizer.model", b"\x0a" + b"\xff" * 40), "no whole SentencePiece model"),
    (bytes_of("tokenizer.model", b"version https://git-lfs.github.com/spec/v1\n"), "no whole SentencePiece model"),
    (proto(lambda m: setattr(m.trainer_spec, "model_type", 1)), "of the kind unigram"),
    (proto(lambda m: m.ClearField("trainer_spec")), "of the kind unigram"),
    (proto(lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"x")), "changes characters"),
    (proto(lambda m: setattr(m.trainer_spec, "treat_whitespace_as_suffix", True)), "as the beginning of a piece"),
    (proto(lambda m: setattr(m.normalizer_spec, "escape_whitespaces", False)), "as the beginning of a piece"),
    (proto(lambda m: setattr(m.pieces[300], "score", float("nan"))), "no whole SentencePiece model"),
    (proto(lambda m: setattr(m.pieces[300], "piece", m.pieces[301].piece)), "twice, as 300 and as 301"),
    (proto(lambda m: setattr(next(p for p in m.pieces if p.type == 6), "type", 1)), "no token for the byte <0x00>"),
    (proto(lambda m: setattr(m.pieces[300], "piece", m.pieces[301].piece + "\0x")), "twice, as 300 and as 301"),
    (cut("tokenizer.json"), "tokenizer.json is damaged: it is no whole JSON"),
    (cut("tokenizer_config.json"), "tokenizer_config.json is no whole JSON object"),
    (cut("config.json"), "config.json is no whole JSON object"),
    (bytes_of("config.json", b"[1]"), "config.json is no whole JSON object"),
    (bytes_of("added_tokens.json", b'{"a": "b"}'), "added_tokens.json is no table of tokens"),
    (bytes_of("chat_template.jinja", b"\xff\xfe"), "no text in UTF-8"),
    (whole(post_processor={"type": "TemplateProcessing", "single": [1, 2]}), "post_processor makes no sense"),
    (lambda f: change(f / "tokenizer_config.json", added_tokens_decoder={"x": 1}), "is no table of tokens"),
    (lambda f: change(f / "tokenizer_config.json", added_tokens_decoder=[1]), "is no table of tokens"),
    (lambda f: ((f / "chat_template.jinja").unlink(missing_ok=True),
                change(f / "tokenizer_config.json", chat_template=7)), "chat template in .* is no whole text"),
    (lambda f: ((f / "chat_template.jinja").unlink(missing_ok=True),
                change(f / "tokenizer_config.json", chat_template="\ud800")), "chat template in .* is no whole text"),
])
def test_files_beside_tokenizer_model(folder: Path, spoil: Spoil, text: str):
    spoil(folder)
    with pytest.raises(UserError, match=text):
        read_vocab(folder, ROWS)


@pytest.mark.parametrize(("spoil", "text"), [
    (cut("tokenizer.json"), "no whole JSON"),
    (bytes_of("tokenizer.json", b"[" * 100_000), "no whole JSON"),
    (bytes_of("tokenizer.json", b"[]"), "it is no tokenizer"),
    (bytes_of("tokenizer.json", b"{}"), "it has no model"),
    (whole(added_tokens={"a": 1}), "it is no tokenizer"),
    (whole(normalizer="NFC"), "its normalizer is 'NFC'"),
    (model_of(type="Unigram"), "of the kind 'Unigram'; known is BPE"),
    (model_of(dropout=0.1), "sets dropout to 0.1"),
    (model_of(vocab=[["a", 0.0]]), "no table of tokens"),
    (model_of(vocab={"a": -1}), "no table of tokens"),
    (model_of(vocab={"a": 0, "b": 0}), "two of its tokens have one id"),
    (model_of(merges=None), "no merges"),
    (inside("merges", lambda m: m.append(["a"])), r"one of its merges is \['a'\]"),
    (inside("merges", lambda m: m.append(["qq", "zz"])), "the merge of 'qq' and 'zz' is of no known tokens"),
    (inside("merges", lambda m: m.pop(50)), "not those of a SentencePiece model .*are not merged to.*tokenizer.model"),
    (inside("merges", lambda m: m.insert(9000, ["\u2581", "t"])), "do not stand together.*copy tokenizer.model"),
    (inside("vocab", lambda v: v.update({"<0x41>x": v.pop("<0x41>")})), "no token for the byte <0x41>"),
    (inside("vocab", lambda v: v.update({"\ud800": v.pop("\u2022")})), "no whole text"),
    (model_of(ignore_merges=True), "takes words that are tokens as a whole"),
    (added(id="6"), "one of its added tokens"),
    (added(lstrip=True), r"lets the token '\\n' take the spaces beside it"),
    (added(content="<pad>", special=True), "has the token '<pad>' twice, as 0 and as 6"),
    (whole(normalizer={"type": "NFKC"}), "not known: NFKC; .*Known are those of Gemma and of Llama 2"),
    (whole(normalizer=None), "not known"),
    (whole(pre_tokenizer={"type": "Metaspace", "replacement": "_", "split": False}), "not known: .*Metaspace"),
])
def test_pieces_in_tokenizer_json(folder: Path, spoil: Spoil, text: str):
    (folder / "tokenizer.model").unlink()
    spoil(folder)
    with pytest.raises(UserError, match=text):
        read_vocab(folder, ROWS, ANY)


@pytest.mark.parametrize(("spoil", "text"), [
    (whole(normalizer={"type": "Lowercase"}), "not known: Lowercase; .*those of Llama 3 and of Qwen 2 and 3"),
    (whole(pre_tokenizer=split(r"\p{L}+|\d")), r"not known: .*\\\\p\{L\}\+"),
    (whole(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}), "not known: ByteLevel"),
    (whole(pre_tokenizer=split(LLAMA_3, use_regex=True)), "not known: .*ByteLevel"),
    (whole(pre_tokenizer=None), "not known: not at all"),
    (whole(pre_tokenizer={"type": "Sequence", "pretokenizers": 3}), "not known"),
    (model_of(ignore_merges=False), "not known: .*merges every word"),
    (inside("vocab", lambda v: v.update({"x\u0120x": v.pop("\u0100")})), "no token for the byte that is written"),
])
def test_byte_level_bpe(tmp_path: Path, llama_3: Path, spoil: Spoil, text: str):
    folder = shutil.copytree(llama_3, tmp_path / "llama")
    spoil(folder)
    with pytest.raises(UserError, match=text):
        read_vocab(folder, 800, ANY)


def test_qwens_pattern_without_its_normalizer_is_refused(tmp_path: Path, qwen_3: Path):
    folder = shutil.copytree(qwen_3, tmp_path / "qwen")
    change(folder / "tokenizer.json", normalizer=None)
    with pytest.raises(UserError, match="cuts a text in a way that is not known"):
        read_vocab(folder, 800, ANY)


def test_more_tokens_than_rows_in_tokenizer_json(llama_3: Path, qwen_3: Path):
    with pytest.raises(UserError, match="has 700 pieces and the model's embedding 699 rows"):
        read_vocab(llama_3, 699, ANY)
    with pytest.raises(UserError, match=r"The token '<\|im_start\|>' lies beyond the 701 rows"):
        read_vocab(qwen_3, 701, ANY)
    assert read_vocab(qwen_3, 703, ANY).left_out == ("<think>", "</think>", "<|fim_prefix|>")


def test_a_model_without_bos_that_wants_one(tmp_path: Path, llama_3: Path, qwen_3: Path):
    folder = shutil.copytree(llama_3, tmp_path / "llama")
    change(folder / "tokenizer.json", post_processor=None)
    change(folder / "tokenizer_config.json", bos_token=None)
    with pytest.raises(UserError, match="names the bos token"):
        read_vocab(folder, 800, ANY)
    folder = shutil.copytree(qwen_3, tmp_path / "qwen")
    change(folder / "config.json", bos_token_id=None)
    assert "bos" not in read_vocab(folder, 800, ANY).special_ids


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
def test_any_damage_is_told_in_one_line_or_harms_nothing(folder: Path, name: str):
    if name == "tokenizer.json":
        (folder / "tokenizer.model").unlink()
    whole_file, draw, refused = (folder / name).read_bytes(), random.Random(1), 0
    for _ in range(60):
        data = bytearray(whole_file)
        for _ in range(draw.choice([1, 3])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        (folder / name).write_bytes(data[:draw.choice([len(data), len(data), draw.randrange(len(data))])])
        try:
            vocab = read_vocab(folder, ROWS, ANY)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 700
        else:
            assert len(set(vocab.tokens)) == ROWS
    assert refused > 20

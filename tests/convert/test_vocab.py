import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import AddedToken
from transformers import AutoTokenizer

from convert.probes import built_in
from convert.vocab import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Vocab, read_vocab
from models.errors import UserError
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import prompt_ids
from tests.convert.texts import differences, open_vocab, random_texts
from tests.convert.tiny import TOKENIZER_FILES

ROWS = 8192


@pytest.fixture
def folder(tmp_path: Path, tokenizer_folder: Path) -> Path:
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).is_file():
            shutil.copyfile(tokenizer_folder / name, tmp_path / name)
    (tmp_path / "config.json").write_text(json.dumps(dict(bos_token_id=2, eos_token_id=[1, 5], pad_token_id=0)))
    return tmp_path


def settings(folder: Path, **changes: object) -> None:
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}), encoding="utf-8")


def without_added_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": []}), encoding="utf-8")


def with_decoder(folder: Path) -> None:
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    settings(folder, added_tokens_decoder={t["id"]: {"content": t["content"], "special": t["special"]} for t in tokens})


def test_pieces_scores_and_types_are_sentencepieces(folder: Path):
    vocab, spm = read_vocab(folder, ROWS), sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    for k, (text, score, kind) in enumerate(zip(vocab.tokens, vocab.scores, vocab.types, strict=True)):
        assert text == spm.id_to_piece(k)
        assert spm.is_byte(k) == (kind == BYTE)
        if kind in (NORMAL, BYTE):
            assert score == pytest.approx(spm.get_score(k))
    assert Counter(vocab.types)[BYTE] == 256
    assert vocab.special_ids == {"bos": 2, "eos": 1, "unk": 3, "pad": 0, "eot": 5}
    assert vocab.types[6:8] == [USER_DEFINED, USER_DEFINED] and vocab.tokens[6].strip() == ""


@pytest.mark.parametrize("spoil", [
    lambda f: None,
    with_decoder,
    without_added_tokens,
    lambda f: (f / "tokenizer.json").unlink(),
    lambda f: settings(f, additional_special_tokens=None),
    lambda f: (without_added_tokens(f), settings(f, additional_special_tokens=None)),
    lambda f: ((f / "tokenizer.json").unlink(), (f / "tokenizer_config.json").unlink()),
], ids=["all files", "added_tokens_decoder", "no added tokens", "no json", "no list", "neither", "model only"])
def test_turn_markers_are_control_tokens_whatever_the_files_say(folder: Path, spoil):
    spoil(folder)
    vocab = read_vocab(folder, ROWS)
    assert [vocab.types[vocab.tokens.index(t)] for t in ("<start_of_turn>", "<end_of_turn>")] == [CONTROL, CONTROL]
    assert vocab.special_ids["eot"] == 5 and vocab.special_ids["eos"] == 1 and vocab.special_ids["bos"] == 2


def test_a_turn_marker_that_sentencepiece_calls_plain_becomes_control(folder: Path):
    """The case seen in the wild: the marker is an ordinary piece, and only the template knows better."""
    data = (folder / "tokenizer.model").read_bytes()
    marker = b"<end_of_turn>"
    at = data.index(marker) + len(marker)
    assert data[at:at + 7].endswith(b"\x18\x03")                # float score, then type 3: control
    (folder / "tokenizer.model").write_bytes(data[:at + 6] + b"\x01" + data[at + 7:])
    without_added_tokens(folder)
    settings(folder, additional_special_tokens=None)
    assert read_vocab(folder, ROWS).types[5] == CONTROL


def test_a_marker_that_only_the_template_knows_becomes_control(folder: Path):
    """A plain piece that no file lists; one that a file lists as plain text stays plain."""
    data = (folder / "tokenizer.model").read_bytes()
    for old, new in ((b"<start_of_turn>", b"<begin_of_talk>"), (b"<end_of_turn>", b"<end_of_talk>")):
        at = data.index(old) + len(old)
        data = data[:at].replace(old, new) + data[at:at + 6] + b"\x01" + data[at + 7:]
    (folder / "tokenizer.model").write_bytes(data)
    without_added_tokens(folder)
    text = "{{ bos_token }}{% for m in messages %}<begin_of_talk>{{ m['content'] }}<end_of_talk>{% endfor %}"
    settings(folder, additional_special_tokens=None, chat_template=text)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    vocab = read_vocab(folder, ROWS)
    assert vocab.types[4:6] == [CONTROL, CONTROL] and vocab.special_ids["eot"] == 5
    settings(folder, added_tokens_decoder={"4": {"content": "<begin_of_talk>", "special": False}})
    assert read_vocab(folder, ROWS).types[4:6] == [USER_DEFINED, CONTROL]


def test_bos_and_eos_are_found_by_their_texts_alone(folder: Path):
    for name in ("tokenizer.json", "config.json"):
        (folder / name).unlink()
    assert read_vocab(folder, ROWS).special_ids == {"bos": 2, "eos": 1, "eot": 5}


def test_rows_beyond_the_pieces_are_unused_padding(folder: Path):
    vocab = read_vocab(folder, ROWS + 3)
    assert vocab.tokens[-1] == f"[PAD{ROWS + 2}]" and vocab.types[-3:] == [UNUSED] * 3


def test_the_template_file_comes_first_and_stays_as_it_is(folder: Path):
    text = "{# é \u2581 #}" + (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    settings(folder, chat_template="another")
    assert read_vocab(folder, ROWS).template == text == AutoTokenizer.from_pretrained(folder).chat_template
    (folder / "chat_template.jinja").unlink()
    settings(folder, chat_template=text)
    assert read_vocab(folder, ROWS).template == text
    settings(folder, chat_template=None)
    assert read_vocab(folder, ROWS).template == ""


def test_tokens_without_a_row_are_left_out_unless_the_model_needs_them(folder: Path):
    settings(folder, added_tokens_decoder={"8192": {"content": "<image_soft_token>", "special": True},
                                           "5": {"content": "<end_of_turn>", "special": True}})
    assert read_vocab(folder, ROWS).left_out == ("<image_soft_token>",)
    settings(folder, eos_token="<image_soft_token>")
    with pytest.raises(UserError, match="<image_soft_token>' lies beyond the 8,192 rows"):
        read_vocab(folder, ROWS)


def test_more_pieces_than_rows_is_refused(folder: Path):
    with pytest.raises(UserError, match="has 8,192 pieces and the model's embedding 8,000 rows"):
        read_vocab(folder, 8000)


def test_no_end_of_text_anywhere_is_refused(folder: Path):
    settings(folder, eos_token=None)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="names the eos token"):
        read_vocab(folder, ROWS)


@pytest.fixture(scope="session")
def real_tokenizer(tmp_path_factory: pytest.TempPathFactory, shared_data: Path, tokenizer_folder: Path) -> Path:
    """4,096 of Gemma's real pieces, as a folder the way Gemma's is: user-defined pieces are added tokens."""
    folder = tmp_path_factory.mktemp("mini4096")
    shutil.copyfile(shared_data / "models/gemma-vocab/gemma-mini4096.tokenizer.model", folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="GemmaTokenizer", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        chat_template=(tokenizer_folder / "chat_template.jinja").read_text(encoding="utf-8"))), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(dict(bos_token_id=2, eos_token_id=1)))
    hf, vocab = AutoTokenizer.from_pretrained(folder), read_vocab(folder, 4096)
    (folder / "config.json").unlink()
    spm = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    hf.add_tokens([AddedToken(spm.id_to_piece(k), normalized=False) for k, kind in enumerate(vocab.types)
                   if kind == USER_DEFINED])
    assert len(hf) == 4096
    hf.save_pretrained(folder)
    return folder


def test_real_gemma_pieces_give_the_ids_of_transformers(tmp_path: Path, real_tokenizer: Path):
    folder = shutil.copytree(real_tokenizer, tmp_path / "base")
    (folder / "config.json").write_text(json.dumps(dict(model_type="gemma", bos_token_id=2, eos_token_id=1)))
    model = open_vocab(tmp_path / "x.gguf", read_vocab(folder, 4096))
    hf = HFTokenizer(AutoTokenizer.from_pretrained(folder))
    for messages in built_in(hf.controls):
        assert prompt_ids(messages, model) == prompt_ids(messages, hf), messages
    assert differences(model, lambda text: hf.encode(text, control=False), random_texts()) == []
    assert {106, 1} <= model.eog_ids
    model.close()


def test_the_embedded_models_pieces_give_the_ids_of_transformers(folder: Path):
    hf, model = AutoTokenizer.from_pretrained(folder), open_vocab(folder / "x.gguf", read_vocab(folder, ROWS))
    encode = HFTokenizer(hf).encode
    assert differences(model, lambda text: encode(text, control=False), random_texts()) == []
    model.close()


def test_a_full_size_vocabulary_is_read(tmp_path: Path, shared_data: Path):
    shutil.copyfile(shared_data / "models/gemma-vocab/gemma3-shaped.tokenizer.model", tmp_path / "tokenizer.model")
    (tmp_path / "config.json").write_text(json.dumps(dict(bos_token_id=2, eos_token_id=[1, 106])))
    vocab: Vocab = read_vocab(tmp_path, 262_208)
    assert vocab.special_ids == {"bos": 2, "eos": 1, "eot": 106}
    assert [vocab.types[k] for k in (0, 3, 105, 106, 107, 262_150)] == [CONTROL, UNKNOWN, CONTROL, CONTROL,
                                                                       USER_DEFINED, UNUSED]

"""The embedded demonstration model: its tokenizer, template, weights and figures are what the card says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from jinja2 import TemplateError

from models.demo import rows
from models.demo.documents import Document, grouped, plain, split
from models.demo.measure import PROMPTS as PROMPT_COUNT
from models.demo.measure import greedy
from models.demo.ngram import KneserNey
from models.demo.vocabulary import BOS, END, EOS, PIECES, START, disagreements, load_tokenizer, random_texts

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
SIZE_LIMIT_MB = 30
PROMPTS = ("What is asthma?", "What are the treatments for migraine ?")


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(DEMO)


@pytest.fixture(scope="module")
def measured():
    return json.loads((DEMO / "measured.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model():
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(DEMO).float().eval()


def test_both_tokenizers_agree_on_random_unicode():
    assert disagreements(DEMO, random_texts(2000, seed=3)) == []


TEXTS = ["", " ", "  two  spaces  ", "\n", "\n\n\n", "a\n\nb\n", "76-year-old, 0.5 mg", "\t\r\n", "naïve 漢 🩺", "\x00"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_exactly(tokenizer, text):
    assert disagreements(DEMO, [text]) == []
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_vocabulary_is_gemma_shaped(tokenizer):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(DEMO / "tokenizer.model"))
    assert type(tokenizer).__name__ == "GemmaTokenizer"
    assert len(tokenizer) == len(pieces) == PIECES
    names = ["<pad>", "<eos>", "<bos>", "<unk>"]
    assert [tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token] == names
    assert tokenizer.convert_tokens_to_ids(names) == [0, 1, 2, 3]
    assert [pieces.pad_id(), pieces.eos_id(), pieces.bos_id(), pieces.unk_id()] == [0, 1, 2, 3]
    assert all(pieces.is_control(token) for token in (START, END))


def test_exactly_one_bos(tokenizer):
    assert tokenizer("Hello").input_ids.count(BOS) == 1
    chat = rows.prompt_ids(tokenizer, "Hello")
    assert chat[0] == BOS and chat.count(BOS) == 1


def test_turn_markers_are_one_id_each(tokenizer):
    assert tokenizer.encode("<start_of_turn>", add_special_tokens=False) == [START]
    assert tokenizer.encode("<end_of_turn>", add_special_tokens=False) == [END]
    assert {"<start_of_turn>", "<end_of_turn>"} <= set(tokenizer.all_special_tokens)


def test_template_folds_the_system_message(tokenizer):
    messages = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": " Hi "},
                {"role": "assistant", "content": "Hello. "}, {"role": "user", "content": "Why?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == ("<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
                    "<start_of_turn>model\nHello.<end_of_turn>\n"
                    "<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n")


def test_template_refuses_roles_that_do_not_alternate(tokenizer):
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    with pytest.raises(TemplateError, match="must alternate"):
        tokenizer.apply_chat_template(messages, tokenize=False)


def test_turns_learn_the_answer_and_always_its_end(tokenizer):
    turn = rows.encode_turn(tokenizer, "What is gout?", "It is a disease. " * 300, "last")
    assert turn.ids[-1] == END and len(turn.ids) - turn.prompt <= rows.ANSWER_TOKENS + 1
    assert tokenizer.decode(turn.ids[turn.prompt:-1]) == "It is a disease. It is a disease."
    assert rows.encode_turn(tokenizer, "What is gout?", "word " * 1000, "last") is None


def test_generation_stops_by_itself(tokenizer, model):
    for prompt in PROMPTS:
        answer = greedy(model, [rows.prompt_ids(tokenizer, prompt)])[0]
        assert len(answer) > 5 and answer[-1] == END


def test_weights_are_small_tied_bfloat16(model):
    from safetensors import safe_open
    config = json.loads((DEMO / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Gemma3ForCausalLM"] and config["dtype"] == "bfloat16"
    assert config["eos_token_id"] == [EOS, END]
    assert json.loads((DEMO / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"] == [EOS, END]
    assert 8e6 <= model.num_parameters() <= 12e6
    with safe_open(DEMO / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert "lm_head.weight" not in names
        assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}


def test_figures_meet_the_bar(measured):
    text, questions = measured["held_out_text"], measured["held_out_questions"]
    for rival in ("token_5gram", "byte_5gram"):
        assert text["model"]["nats_per_byte"] < text[rival]["nats_per_byte"]
    assert questions["prompts"] == PROMPT_COUNT == 200
    assert questions["stop_share"] == questions["stopped"] / PROMPT_COUNT >= 0.95
    assert measured["bar"]["is_met"]
    for name in ("model", "token_5gram"):
        total = text[name]["nats_per_token"] * text["tokens"]
        assert total == pytest.approx(text[name]["nats_per_byte"] * text["bytes"], rel=1e-3)


def test_curve_ends_where_the_training_did(measured):
    with (DEMO / "curve.csv").open(encoding="utf-8", newline="") as file:
        last = {line["stage"]: line for line in csv.DictReader(file)}
    for stage in ("text", "turns", "brief", "last"):
        assert int(last[stage]["tokens"]) == measured["training"][stage]["tokens"]


def test_card_says_what_it_is_for(measured):
    card = (DEMO / "README.md").read_text(encoding="utf-8")
    assert "A demonstration of the workflow, of no medical use" in card
    assert f"{measured['held_out_text']['model']['nats_per_byte']:.3f}" in card


def test_folder_stays_small():
    files = [path for path in DEMO.iterdir() if path.is_file() and path.suffix != ".gguf"]
    assert sum(path.stat().st_size for path in files) < SIZE_LIMIT_MB * 1e6


def test_kneser_ney_sums_to_one():
    fitted = KneserNey([[1, 2, 3, 1, 2, 4, 0], [2, 2, 3, 0], [1, 2, 0]], symbols=5, order=3)
    for history in ([], [1], [1, 2], [3, 3], [2, 2, 3], [4, 4, 4, 1]):
        total = sum(np.exp(fitted.log_probabilities([[*history, symbol]])[-1]) for symbol in range(5))
        assert total == pytest.approx(1)


def test_kneser_ney_has_learned():
    sequences = [[1, 2, 3, 4, 0]] * 20
    assert np.exp(KneserNey(sequences, symbols=5).log_probabilities([[1, 2, 3, 4, 0]])).min() > 0.8


def test_documents_that_share_a_key_stay_together():
    documents = [Document("A", f"text {i}", (f"page {i}", f"topic {i // 3}")) for i in range(300)]
    assert all(len(group) == 3 for group in grouped(documents))
    training, held_out = split(documents)
    assert len(held_out) == 12 and not {d.keys[1] for d in training} & {d.keys[1] for d in held_out}


def test_plain_text_ignores_case_space_and_punctuation():
    assert plain("Doctor:  How are\nYOU?") == plain("doctor how are you")

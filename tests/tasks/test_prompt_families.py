"""Six families of templates: equal to transformers for ordinary text, and never opened by a message."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks import prompt
from tests.tasks import families

FAMILIES = ["gemma1", "gemma2", "gemma3", "gemma4", "chatml", "llama3"]
WITH_SYSTEM = ["gemma3", "gemma4", "chatml", "llama3"]
TEXT = st.text(max_size=60)


FRAGMENTS = ["<", ">", "|", "<|", "|>", "<<", "turn", "end_of_turn>", "im_end|>", "model\n", "\n", " ", "é"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def pair(family, demo_base, tmp_path_factory, request):
    """(transformers' tokenizer, the GGUF's) of one family."""
    if family == "gemma4":
        shared = request.getfixturevalue("shared_data")
        made = families.gemma_4(shared / "models" / "gemma-vocab" / "ggml-vocab-gemma-4.gguf")
    else:
        made = families.make(family, demo_base, tmp_path_factory.mktemp(family))
    yield made
    made[1].close()


def conversation(texts, rules=None):
    """User and assistant by turns, a user last."""
    turns = [{"role": "assistant" if k % 2 else "user", "content": text} for k, text in enumerate(texts)]
    turns = turns[:len(turns) - (len(turns) % 2 == 0)]
    return turns if rules is None else [{"role": "system", "content": rules}, *turns]


def theirs(tokenizer, turns):
    return tokenizer.hf.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=5), rules=st.none() | TEXT)
def test_both_tokenizers_equal_transformers(family, pair, texts, rules):
    hf, gguf = pair
    assume(not any(control in text for text in [*texts, rules or ""] for control in hf.controls | gguf.controls))
    turns = conversation(texts, rules if family in WITH_SYSTEM else None)
    ids = prompt.prompt_ids(turns, hf)
    assert ids == theirs(hf, turns)
    assert prompt.prompt_ids(turns, gguf) == ids


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_message_can_write_a_control_token(family, pair, data):
    hf, gguf = pair
    pieces = st.sampled_from([*sorted(hf.controls), *FRAGMENTS]) | st.sampled_from(
        [control[:k] for control in sorted(hf.controls) for k in range(1, len(control))])
    texts = data.draw(st.lists(st.lists(pieces, max_size=8).map("".join), min_size=1, max_size=4))
    turns = conversation(texts, "Rules. " + texts[0])
    harmless = [{**turn, "content": "plain"} for turn in turns]
    for tokenizer in (hf, gguf):
        control = {tokenizer.encode(text, control=True)[0] for text in tokenizer.controls}
        ids = prompt.prompt_ids(turns, tokenizer)
        assert ([one for one in ids if one in control]
                == [one for one in prompt.prompt_ids(harmless, tokenizer) if one in control])
        text = b"".join(gguf.piece(one) for one in ids).decode()
        assert all(turn["content"].strip() in text for turn in turns)
    assert ids == prompt.prompt_ids(turns, hf)


def test_a_prompt_of_control_strings_only_and_an_empty_one(family, pair):
    for tokenizer in pair:
        everything = "".join(sorted(tokenizer.controls))
        turn = tokenizer.encode(families.TURN[family], control=True)[0]
        ids, empty = (prompt.prompt_ids([{"role": "user", "content": text}], tokenizer) for text in (everything, ""))
        assert ids.count(turn) == empty.count(turn) == 2 and len(ids) > len(empty) + len(everything) // 12


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_answer_enters_the_next_prompt_as_it_was_spoken(family, pair, data):
    hf, gguf = pair
    first, second, text = (data.draw(TEXT) for _ in range(3))
    assume(text.strip() and not any(control[0] in text for control in hf.controls))
    control = {gguf.encode(one, control=True)[0] for one in gguf.controls}
    spoken = data.draw(st.lists(st.integers(10, gguf.n_vocab - 1).filter(lambda one: one not in control), min_size=1))
    turns = conversation([first, f" {text}\n", second])
    for tokenizer in pair:
        ids = prompt.prompt_ids(turns, tokenizer, {text.strip(): spoken})
        if family == "gemma4":                  # its header of a new answer is not that of an old one
            assert any(ids[k:k + len(spoken)] == spoken for k in range(len(ids)))
        else:
            cached = prompt.prompt_ids(turns[:1], tokenizer) + spoken
            assert ids[:len(cached) + 1] == [*cached, prompt.terminator(tokenizer)]
        as_spoken = {text.strip(): tokenizer.encode(text.strip(), control=False)}
        assert prompt.prompt_ids(turns, tokenizer, {f"{text.strip()}x": spoken}) == prompt.prompt_ids(turns, tokenizer)
        if family != "chatml":                  # which keeps the blanks around an answer
            assert len(prompt.prompt_ids(turns, tokenizer, as_spoken)) == len(prompt.prompt_ids(turns, tokenizer))


def test_a_million_characters(family, pair):
    _, gguf = pair
    texts = ["<" * 500_000 + families.TURN[family], "a cough and a fever, " * 25_000]
    ids = prompt.prompt_ids(conversation([*texts, "Yes?"]), gguf)
    assert ids.count(gguf.encode(families.TURN[family], control=True)[0]) == 4
    assert b"".join(gguf.piece(one) for one in ids).decode().count("a cough and a fever") == 25_000

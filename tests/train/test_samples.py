from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.layouts import Example
from models.errors import UserError
from tasks.prompt import answer_ids, prompt_ids, terminator
from tasks.summarise import request
from train.samples import CUT_MARK, IGNORED, WIDTH_STEP, Collator, GroupedByLength, Sample, prepare

DIALOGUE = "\n".join(f"Doctor: Question {k}? \nPatient: Answer {k}." for k in range(60))


def summary(dialogue: str = DIALOGUE, answer: str = "The patient is well.") -> Example:
    return Example(file="a.csv", line=7, section="ROS", input=dialogue, messages=(
        {"role": "user", "content": request(dialogue, "ROS")}, {"role": "assistant", "content": answer}))


def learned(sample: Sample) -> list[int]:
    return [label for label in sample.labels if label != IGNORED]


def conversation() -> Example:
    return Example(file="a.csv", line=1, messages=(
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Bye <end_of_turn>"},
        {"role": "assistant", "content": "Bye."}))


@pytest.mark.parametrize("example", [summary("Doctor: Hi."), summary(), conversation()])
@pytest.mark.parametrize("max_len", [120, 4096])
def test_labels_are_the_answers_and_end_with_the_terminator(tokenizer, example: Example, max_len: int):
    [sample] = prepare([example], tokenizer, max_len).samples
    answers = [m["content"] for m in example.messages if m["role"] == "assistant"]
    assert learned(sample) == [token for answer in answers for token in answer_ids(answer, tokenizer)]
    assert sample.labels[-1] == sample.ids[-1] == terminator(tokenizer)
    assert len(sample.ids) == len(sample.labels) <= max_len
    assert all(label in (IGNORED, token) for token, label in zip(sample.ids, sample.labels, strict=True))


def test_what_fits_is_left_alone(tokenizer):
    prepared = prepare([summary()], tokenizer, 4096)
    question = summary().messages[:1]
    assert prepared.cut == 0
    assert prepared.samples[0].ids == prompt_ids(question, tokenizer) + answer_ids("The patient is well.", tokenizer)
    exact = prepare([summary()], tokenizer, len(prepared.samples[0].ids))
    assert exact.samples == prepared.samples and exact.cut == 0


@settings(max_examples=30, deadline=None)
@given(max_len=st.integers(70, 700))
def test_a_long_input_loses_its_middle_only(tokenizer, max_len: int):
    prepared = prepare([summary()], tokenizer, max_len)
    [sample] = prepared.samples
    text = tokenizer.hf.decode(sample.ids)
    instruction = request("", "ROS").strip()
    assert prepared.cut == 1 and max_len - 12 <= len(sample.ids) <= max_len
    assert instruction in text and text.endswith("The patient is well.<end_of_turn>")
    head, tail = text.split("ROS")[1].split("\n\n", 1)[1].split("<end_of_turn>")[0].split(CUT_MARK)
    assert DIALOGUE.startswith(head) and DIALOGUE.endswith(tail)
    assert abs(len(head) - len(tail)) <= 3


def test_without_a_marked_input_the_longest_user_message_is_cut(tokenizer):
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": DIALOGUE},
                {"role": "assistant", "content": "Hm."}, {"role": "user", "content": "And now?"},
                {"role": "assistant", "content": "Well."})
    [sample] = prepare([Example(file="a", line=1, messages=messages)], tokenizer, 200).samples
    text = tokenizer.hf.decode(sample.ids)
    assert "Be brief." in text and "And now?" in text and text.count(CUT_MARK.strip()) == 1


def test_rows_that_can_not_fit_are_listed_with_line_and_reason(tokenizer):
    prepared = prepare([summary("Doctor: Hi."), summary(answer="very " * 200), summary()], tokenizer, 100)
    assert [(row.line, row.reason.split(" tokens")[0]) for row in prepared.unusable] == [(7, "its answer is 201")]
    assert len(prepared.samples) == len(prepared.examples) == 2
    long_instruction = replace(summary("x"), messages=(
        {"role": "user", "content": "Please " * 90 + "x"}, {"role": "assistant", "content": "Yes."}))
    [row] = prepare([summary("Hi."), long_instruction], tokenizer, 60).unusable
    assert row.reason.startswith("without its input it is still")


def test_turns_the_template_refuses_are_listed(tokenizer):
    twice = Example(file="a.csv", line=3, messages=(
        {"role": "user", "content": "Hi"}, {"role": "user", "content": "Hm"}, {"role": "assistant", "content": "Yes?"}))
    prepared = prepare([conversation(), twice], tokenizer, 100)
    assert [row.line for row in prepared.unusable] == [3] and "alternate" in prepared.unusable[0].reason


def test_no_sample_at_all_and_no_template_are_errors(tokenizer):
    with pytest.raises(UserError, match=r"None of the 2 rows .* \(line 7 of a.csv: its answer is"):
        prepare([summary(answer="very " * 99)] * 2, tokenizer, 64)

    class Plain:
        template, bos, eos, controls, encode = "", tokenizer.bos, tokenizer.eos, tokenizer.controls, tokenizer.encode
    with pytest.raises(UserError, match="has no chat template"):
        prepare([summary()], Plain(), 64)


def test_a_batch_is_padded_beyond_its_longest_and_says_which_logits_matter():
    samples = [Sample(ids=[2, 5, 6, 7], labels=[IGNORED, IGNORED, 6, 7]), Sample(ids=[2, 9], labels=[IGNORED, 9])]
    batch = Collator(pad_id=0, has_token_types=True)(samples)
    assert {tuple(tensor.shape) for tensor in batch.values()} == {(2, WIDTH_STEP)}
    start, rest = ({name: tensor[:, part].tolist() for name, tensor in batch.items()}
                   for part in (slice(4), slice(4, None)))
    assert start["input_ids"] == [[2, 5, 6, 7], [2, 9, 0, 0]]
    assert start["attention_mask"] == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert start["labels"] == [[IGNORED, IGNORED, 6, 7], [IGNORED, 9, IGNORED, IGNORED]]
    assert start["logits_to_keep"] == [[False, True, True, False], [True, False, False, False]]
    padding = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED, "logits_to_keep": False, "token_type_ids": 0}
    assert all(value == padding[name] for name, rows in rest.items() for row in rows for value in row)
    exact = Collator(0, False)([Sample(ids=[2] * WIDTH_STEP, labels=[IGNORED] * (WIDTH_STEP - 1) + [2])])
    assert exact["input_ids"].shape == (1, WIDTH_STEP)
    assert "token_type_ids" not in Collator(pad_id=0, has_token_types=False)(samples)


@given(lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=400), batch=st.integers(1, 16),
       seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_the_order_is_a_permutation_and_a_pure_function(lengths: list[int], batch: int, seed: int, epoch: int):
    sampler = GroupedByLength(lengths, batch, seed)
    sampler.set_epoch(epoch)
    order = list(sampler)
    torch.manual_seed(epoch)
    again = GroupedByLength(lengths, batch, seed)
    again.set_epoch(epoch)
    assert list(again) == list(sampler) == order
    assert sorted(order) == list(range(len(lengths))) and len(sampler) == len(lengths)


def test_epochs_and_seeds_differ_and_padding_is_small():
    lengths = [20 + 37 * k % 997 for k in range(1000)]
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        sampler = GroupedByLength(lengths, 8, seed)
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] != orders[1] != orders[2] != orders[0]
    padded = sum(8 * max(lengths[k] for k in orders[0][at:at + 8]) for at in range(0, 1000, 8))
    assert sum(lengths) / padded > 0.85

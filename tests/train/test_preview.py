"""What is shown of a sample is the sample: every token once, in order, and nothing of the data acts."""

import json
import re
from dataclasses import asdict
from html import unescape
from pathlib import Path

import pytest

from corpus.layouts import Example
from models import runs
from models.job import Job
from tasks.prompt import terminator
from tasks.visible import visible
from train.preview import choose, histogram, pieces, work
from train.samples import IGNORED, Sample, prepare
from ui import token_view

HOSTILE = "Stop <end_of_turn> <b onload=alert(1)> \x1b[31m \u202eabc \U0001f9e0 \ue000 & </script>"


def example(question: str = "Why?", answer: str = "Because.", **more: object) -> Example:
    return Example(file="a.csv", line=3, messages=(
        {"role": "user", "content": question}, {"role": "assistant", "content": answer}), **more)


def sample_of(one: Example, tokenizer, max_len: int = 400) -> Sample:
    [sample] = prepare([one], tokenizer, max_len).samples
    return sample


@pytest.mark.parametrize("one", [
    example(), example(HOSTILE, HOSTILE), example("long words " * 300),
    example("Tab\tand\n\n\nlines", "  two  spaces \u00e9\u4e2d\u6587 \U0001f469\u200d\u2695")])
def test_every_token_is_shown_once_with_its_own_kind(one: Example, tokenizer):
    sample = sample_of(one, tokenizer)
    shown = pieces(sample, tokenizer)
    assert [token for piece in shown for token in piece.ids] == sample.ids
    whole = tokenizer.hf.decode(sample.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert "".join(piece.text for piece in shown if piece.ids) == visible(whole)
    labels = [label for piece in shown for label in
              (piece.ids if piece.kind in ("learned", "end") else [IGNORED] * len(piece.ids))]
    assert labels == sample.labels
    assert shown[-1].kind == "end" and shown[-1].ids == (terminator(tokenizer),)
    assert sum(piece.kind == "end" for piece in shown) == 1
    assert [piece.text for piece in shown if piece.kind == "control"] == [
        "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_turn>"]


def test_what_was_cut_stands_where_it_was(tokenizer):
    text = " ".join(f"word{k}" for k in range(300))
    one = example(f"Count.\n\n{text}", input=text)
    sample = sample_of(one, tokenizer, 200)
    assert sample.cut is not None and sample.whole_tokens > 200 >= len(sample.ids)
    shown = pieces(sample, tokenizer)
    [at] = [k for k, piece in enumerate(shown) if piece.kind == "cut"]
    before, after = ("".join(piece.text for piece in part) for part in (shown[:at], shown[at + 1:]))
    assert before.rstrip().endswith("[...]") and shown[at].text == sample.cut.text
    head = before.split("Count.\n\n")[1].split("\n[...]")[0]
    assert (head + sample.cut.text + after.lstrip().split("<end_of_turn>")[0]).replace(" ", "") == text.replace(" ", "")


def test_the_samples_shown_are_telling_ones(tokenizer):
    several = Example(file="a.csv", line=9, messages=(*example().messages, *example("And?", "So.").messages))
    rows = [example(f"Number {k} {'or more ' * (k % 7)}") for k in range(30)]
    rows += [example("Long " * 600), example("<end_of_turn>"), several, example("?", "x"), example(answer="all " * 50)]
    prepared = prepare(rows, tokenizer, 200)
    chosen = choose(prepared, tokenizer.controls, seed=0)
    why = {reason: number for number, reasons in chosen.items() for reason in reasons}
    assert [why[name] for name in ("the longest", "cut most", "control strings in its text, which stay text",
                                   "several answers", "the shortest", "the longest answer")] == [30, 30, 31, 32, 33, 34]
    assert len(chosen) == 7 and choose(prepared, tokenizer.controls, seed=0) == chosen
    assert choose(prepared, tokenizer.controls, seed=1) != chosen


@pytest.mark.parametrize(("lengths", "step"), [([1], 1), ([5, 16], 1), ([17, 32], 2), ([100, 1500], 100)])
def test_the_histogram_counts_everyone(lengths: list[int], step: int):
    found = histogram(lengths)
    assert found["step"] == step and sum(found["counts"]) == len(lengths) and found["counts"][-1] > 0


@pytest.fixture
def preview(tmp_path: Path, tiny_base: Path) -> Path:
    data = tmp_path / "rows.jsonl"
    rows = [{"question": f"{HOSTILE} {k} " + "and then " * (40 * (k % 3 == 0)), "answer": f"{HOSTILE} {k}"}
            for k in range(12)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, {"recipe": "<i>mine</i>", "base": str(tiny_base), "data": [str(data)],
                                           "max_len": 150, "max_words": 0, "near_duplicates": "keep", "leaks": "keep"})
    work(Job(folder))
    return folder


def test_the_page_holds_the_samples_and_runs_nothing(preview: Path):
    page = (preview / runs.PREVIEW).read_text(encoding="utf-8")
    assert "<script" not in page and "<b onload" not in page and "<i>" not in page and "://" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ue000]", page)
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page
    record = runs.read_json(preview / runs.PREVIEW_DATA)
    [stage] = record["stages"]
    blocks = re.findall(r'<div class="tokens">(.*?)</div>', page, re.DOTALL)
    assert len(blocks) == len(stage["samples"]) >= 4
    for block, sample in zip(blocks, stage["samples"], strict=True):
        text = unescape(re.sub(r"<[^>]*>", "", block)).replace("\u21b5", "").replace(" \u25a0", "")
        assert text == "".join(piece["text"] for piece in sample["pieces"])
    assert stage["cut"] >= 1 and f"{stage['cut']} of" in stage["cut_words"] and "<del>" in page
    assert stage["rows"] + stage["validation_rows"] + stage["test_rows"] == 12


def test_the_preview_of_stages_counts_what_the_run_would(tmp_path: Path, tiny_base: Path):
    """Without the rows another stage is judged by, and without validation rows that can not be samples."""
    data = tmp_path / "rows.jsonl"
    rows = [{"question": f"What is the dose of drug number {k * 37}?", "answer": "so " * (200 * (k % 4 == 0)) + str(k)}
            for k in range(40)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    runs.write_json(tmp_path / runs.CONFIG, {
        "base": str(tiny_base), "data": [str(data)], "max_len": 100, "max_words": 0, "min_chars": 0,
        "near_duplicates": "keep", "stages": [{"name": "one", "seed": 1}, {"name": "two", "seed": 2}]})
    work(Job(tmp_path))
    stages = runs.read_json(tmp_path / runs.PREVIEW_DATA)["stages"]
    for stage, other in zip(stages, ("two", "one"), strict=True):
        assert any(f"the validation rows of the stage {other}" in found["text"] for found in stage["findings"])
        assert len(stage["too_long"]) == sum("its answer is" in row["reason"] for row in stage["too_long"]) > 0
        assert stage["rows"] + stage["validation_rows"] + stage["test_rows"] + stage["left_out"] == 40
    left_out = [json.loads(line) for line in (tmp_path / runs.UNUSABLE).read_text(encoding="utf-8").splitlines()]
    assert len(left_out) == sum(stage["left_out"] for stage in stages)
    found = runs.read_json(tmp_path / runs.FINDINGS)
    assert {one["text"] for one in found} >= {one["text"] for stage in stages for one in stage["findings"]}
    page = (tmp_path / runs.PREVIEW).read_text(encoding="utf-8")
    assert "Rows that can not be written as a sample are left out, each for its reason." in page


@pytest.mark.parametrize("is_coloured", [True, False])
def test_the_terminal_shows_what_is_learned_whole(preview: Path, is_coloured: bool):
    record = runs.read_json(preview / runs.PREVIEW_DATA)
    text = "\n".join(token_view.lines(record, is_coloured))
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "\x1b[31m \u202e" not in text and ("\x1b" in text) == is_coloured
    assert not set(bare) & {"\x1b", "\u202e", "\ue000"}
    for sample in record["stages"][0]["samples"]:
        answer = "".join(piece["text"] for piece in sample["pieces"] if piece["kind"] == "learned")
        assert answer.startswith("Stop <end_of_turn> <b")
        assert answer in (bare if is_coloured else bare.replace("\u00a6", ""))


def test_without_colours_the_kinds_are_told_by_signs(tokenizer):
    sample = sample_of(example("far " * 300, "So it is."), tokenizer, 120)
    text = token_view.tokens([asdict(piece) for piece in pieces(sample, tokenizer)], is_coloured=False)
    assert re.search(r"\[-.* characters .*-\]", text)
    assert text.endswith("<end_of_turn> \u25a0\u00bb") and text.count("\u00ab") == 1
    assert text.split("\u00ab")[1].replace("\u00a6", "") == "So it is.<end_of_turn> \u25a0\u00bb"


def test_a_terminal_without_the_signs_gets_question_marks():
    class Out:
        encoding = "ascii"
    assert token_view.printable("\u00abyes\u00bb", Out()) == "?yes?"

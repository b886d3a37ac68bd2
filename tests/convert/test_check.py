import dataclasses
from pathlib import Path

import numpy as np
import pytest

from convert import gguf
from convert.check import KL_LIMITS, FileReport, Loss, check_files
from convert.model import MergedModel
from convert.probes import built_in, read_heldout
from convert.vocab import NORMAL
from corpus.layouts import Example, write_examples
from models.errors import UserError
from runtime.reference import Reference
from tests.convert.tiny import END_OF_TURN, make_adapter, make_base

SMALL = dict(r=2, target_modules=["q_proj", "v_proj"])


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


def written(folder: Path, base: Path, adapter: Path | None = None, **vocab: object) -> Path:
    """Our F32 GGUF of base, with parts of its vocabulary replaced."""
    model = MergedModel(base, adapter, "x")
    plan = dataclasses.replace(model.plan, vocab=dataclasses.replace(model.plan.vocab, **vocab))
    gguf.write(folder / "x.gguf", plan, model.read)
    return folder / "x.gguf"


def report_of(path: Path, reference: Reference, **options: object) -> FileReport:
    return check_files([(path, "F32")], reference, [], quiet, threads=1, **options)[0]


def failed(report: FileReport) -> set[str]:
    return {check.name for check in report.failed}


@pytest.fixture(scope="module")
def reference(terse: Path) -> Reference:
    return Reference(terse)


def test_a_true_copy_passes_every_check(tmp_path: Path, terse: Path, reference: Reference):
    report = report_of(written(tmp_path, terse), reference)
    figures = {check.name: check for check in report.checks}
    assert not report.failed
    assert figures["answers that do not stop"].is_ok and "stops in 4 of 4" in figures["answers that do not stop"].note
    assert figures["mean KL divergence"].figure < 1e-6 and figures["top-1 agreement"].figure > 0.99
    assert sum(check.is_ok is True for check in report.checks) == 8


@pytest.mark.parametrize(("vocab", "names"), [
    (lambda v: dict(template=v.template.replace("<start_of_turn>model", "<start_of_turn>assistant")),
     {"template equals the base's", "prompts with other token ids"}),
    (lambda v: dict(types=[NORMAL if t == "<start_of_turn>" else kind
                           for t, kind in zip(v.tokens, v.types, strict=True)]),
     {"prompts with other token ids", "turn markers that are not one token"}),
    (lambda v: dict(tokens=[*v.tokens[:END_OF_TURN], "<the_end>", *v.tokens[END_OF_TURN + 1:]],
                    special_ids=v.special_ids | {"eot": 1}),
     {"prompts with other token ids", "turn markers that are not one token", "end ids the file lacks",
      "answers that do not stop"}),
    (lambda v: dict(scores=[-score for score in v.scores]), {"prompts with other token ids"}),
], ids=["other template", "marker as text", "no terminator", "scores upside down"])
def test_a_file_with_a_wrong_vocabulary_is_red(tmp_path: Path, terse: Path, reference: Reference, vocab, names: set):
    changes = vocab(MergedModel(terse, None, "x").plan.vocab)
    assert failed(report_of(written(tmp_path, terse, **changes), reference)) == names


@pytest.mark.parametrize("settings", [None, dict(r=3)], ids=["without the adapter", "another adapter"])
def test_a_file_of_other_weights_is_red(tmp_path: Path, terse: Path, settings: dict | None):
    """A small adapter on two matrices of three layers: little enough that the answers still stop."""
    adapter = make_adapter(tmp_path / "adapter", terse, **SMALL)
    wrong = make_adapter(tmp_path / "other", terse, **SMALL | settings) if settings else None
    assert failed(report_of(written(tmp_path, terse, wrong), Reference(terse, adapter))) == {"mean KL divergence"}


def test_a_file_that_can_not_be_opened_is_red(tmp_path: Path, terse: Path, reference: Reference):
    path = written(tmp_path, terse)
    path.write_bytes(path.read_bytes()[:-100])
    report = report_of(path, reference)
    assert failed(report) == {"opens"} and "cut short" in report.failed[0].note


def test_limits_are_the_ones_given(tmp_path: Path, terse: Path, reference: Reference):
    assert failed(report_of(written(tmp_path, terse), reference, limits={"F32": -1.0})) == {"mean KL divergence"}


def test_a_base_without_turns_is_compared_on_text(tmp_path: Path, tokenizer_folder: Path):
    base = make_base(tmp_path, "gemma", tokenizer_folder)
    (base / "chat_template.jinja").unlink()
    config = (base / "tokenizer_config.json")
    config.write_text(config.read_text(encoding="utf-8").replace('"chat_template"', '"was"'), encoding="utf-8")
    report = report_of(written(tmp_path, base), Reference(base))
    figures = {check.name: check for check in report.checks}
    assert not report.failed and figures["prompts"].note == "the base model has no chat template"
    assert figures["mean KL divergence"].is_ok and figures["answers that do not stop"].is_ok is None


def test_loss_equals_the_formulas():
    draw = np.random.default_rng(1)
    p, q = draw.normal(size=(100, 20)).astype(np.float32), draw.normal(size=(100, 20)).astype(np.float32)
    soft = [np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(1, keepdims=True) for x in (p, q)]
    kl = (soft[0] * np.log(soft[0] / soft[1])).sum(1)
    loss = Loss()
    loss.add(np.hstack([p, np.zeros((100, 3), np.float32)])[:60], q[:60])       # more rows than the file: left out
    loss.add(p[60:], q[60:])
    figures = {check.name: check.figure for check in loss.checks(1)}
    assert figures["mean KL divergence"] == pytest.approx(kl.mean())
    assert figures["largest KL divergence"] == pytest.approx(kl.max())
    assert figures["top-1 agreement"] == pytest.approx((p.argmax(1) == q.argmax(1)).mean())
    assert figures["largest logit difference"] == pytest.approx(np.abs(p - q).max())
    q[3, 5] = np.nan
    broken = Loss()
    broken.add(p, q)
    assert broken.checks(1)[0].figure == 1 and broken.checks(1)[0].is_ok is False


def test_there_are_enough_prompts_of_every_kind(reference: Reference):
    prompts = built_in(reference.tokenizer.controls)
    text = "".join(m["content"] for messages in prompts for m in messages)
    assert len(prompts) >= 20
    assert sum(messages[0]["role"] == "system" for messages in prompts) >= 3
    assert sum(len(messages) >= 3 for messages in prompts) >= 3
    assert all(control in text for control in ("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"))
    assert any(ord(c) > 0xFFFF for c in text)


def test_held_out_rows_are_read_and_a_damaged_one_is_named(tmp_path: Path):
    path = tmp_path / "heldout.jsonl"
    messages = ({"role": "user", "content": "one line\u2028and another\x85"}, {"role": "assistant", "content": "a"})
    write_examples(path, [Example(file="x", line=k, messages=messages) for k in (1, 2)])
    assert read_heldout(path) == [list(messages)] * 2
    with path.open("r+", encoding="utf-8") as file:
        file.readline()
        file.seek(file.tell())
        file.write("not json\n")
    with pytest.raises(UserError, match="line 2: this is no held-out row"):
        read_heldout(path)


def test_every_limit_is_looser_for_fewer_bits():
    order = ["F32", "BF16", "Q8_0", "Q6_K", "Q5_0", "Q4_0", "Q3_K_M", "Q2_K"]
    assert [KL_LIMITS[name] for name in order] == sorted(KL_LIMITS[name] for name in order)

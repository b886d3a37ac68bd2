import dataclasses
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from convert import check
from convert.check import (
    KL_LIMITS,
    FileReport,
    bos_check,
    check_files,
    check_projector,
    check_structure,
    published,
)
from convert.config import TYPES
from convert.imatrix import importance
from convert.loss import compare
from convert.model import MergedModel
from convert.planned import Planned
from convert.probes import Messages
from convert.stream import write_all
from convert.survey import Survey
from models.header import read_header
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tests.convert import zoo
from tests.convert.tiny import END_OF_TURN, make_adapter, make_base

NORMAL = 1                      # a token type
IDS = ("prompts with other token ids", "plain prompts that differ from apply_chat_template")
SMALL = dict(r=2, target_modules=["q_proj", "v_proj"])
ROWS: list[Messages] = [[{"role": "user", "content": f"Question {k}: what helps against a cold?"},
                         {"role": "assistant", "content": f"Answer {k}: rest, and time."}] for k in range(8)]


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


def written(folder: Path, base: Path, adapter: Path | None = None, kind: str = "F32", **vocab: object) -> Path:
    """Our GGUF of base, with parts of its vocabulary replaced."""
    model = MergedModel(base, [adapter] if adapter else [], "x")
    plan = dataclasses.replace(model.plan, vocab=dataclasses.replace(model.plan.vocab, **vocab))
    write_all(SimpleNamespace(plan=plan, rows=model.rows), {kind: folder / "x.gguf"}, threads=1)
    return folder / "x.gguf"


def report_of(path: Path, reference: Reference, base: Path, rows: list[Messages] = [], kind: str = "F32",   # noqa: B006
              **options: object) -> FileReport:
    survey = Survey.take(reference, rows, quiet)
    return check_files([(path, kind)], survey, reference, planned(base), quiet, threads=1, **options)[0]


def planned(base: Path) -> Planned:
    return Planned(plan=MergedModel(base, [], "x").plan)


def failed(report: FileReport) -> set[str]:
    return {one.name for one in report.failed}


@pytest.fixture(scope="module")
def reference(terse: Path) -> Reference:
    return Reference(terse)


def test_a_true_copy_passes_every_check(tmp_path: Path, terse: Path, reference: Reference):
    report = report_of(written(tmp_path, terse), reference, terse, ROWS)
    found = {one.name: one for one in report.checks}
    assert report.status == "green" and not report.failed
    assert found["answers that do not stop"].is_ok and found["answers that do not stop"].note.endswith("in 8 of 8")
    assert found["answers the file ends by itself"].figure == 8
    assert found["mean KL divergence"].figure < 1e-6 and found["top-1 agreement"].figure > 0.99
    assert found["perplexity ratio"].figure == pytest.approx(1, abs=5e-3)
    assert report.compared == {"tokens": 2000, "heldout_tokens": survey_tokens(reference)}
    assert "16 of them from held-out rows" in found["prompts with other token ids"].note
    assert sum(one.is_ok is True for one in report.checks) == 11
    header = read_header(report.path)
    assert {kind: one["tensors"] for kind, one in report.mix.items()} == {"F32": len(header.tensors)}
    assert sum(one["bytes"] for one in report.mix.values()) == sum(tensor.bytes for tensor in header.tensors)
    assert all(report.figures[key] > 0 for key in ("load_s", "prompt_tokens_per_s", "generated_tokens_per_s"))


def survey_tokens(reference: Reference) -> int:
    return Survey.take(reference, ROWS, quiet).heldout_tokens


@pytest.mark.parametrize(("vocab", "names"), [
    (lambda v: dict(template=v.template.replace("<start_of_turn>model", "<start_of_turn>assistant")),
     {"template equals the base's", *IDS}),
    (lambda v: dict(types=[NORMAL if t == "<start_of_turn>" else kind
                           for t, kind in zip(v.tokens, v.types, strict=True)]),
     {*IDS, "turn markers that are not one token"}),
    (lambda v: dict(tokens=[*v.tokens[:END_OF_TURN], "<the_end>", *v.tokens[END_OF_TURN + 1:]],
                    special_ids=v.special_ids | {"eot": 1}),
     {*IDS, "turn markers that are not one token", "end ids the file lacks", "answers that do not stop"}),
    (lambda v: dict(scores=[-score for score in v.scores]), {*IDS}),
], ids=["other template", "marker as text", "no terminator", "scores upside down"])
def test_a_file_with_a_wrong_vocabulary_is_red(tmp_path: Path, terse: Path, reference: Reference, vocab, names: set):
    changes = vocab(MergedModel(terse, [], "x").plan.vocab)
    assert failed(report_of(written(tmp_path, terse, **changes), reference, terse)) == names | {check.PLANNED}


@pytest.mark.parametrize("settings", [None, dict(r=3)], ids=["without the adapter", "another adapter"])
def test_a_file_of_other_weights_is_red(tmp_path: Path, terse: Path, settings: dict | None):
    """A small adapter on two matrices of three layers: little enough that the answers still stop."""
    adapter = make_adapter(tmp_path / "adapter", terse, **SMALL)
    wrong = make_adapter(tmp_path / "other", terse, **SMALL | settings) if settings else None
    path = written(tmp_path, terse, wrong)
    assert failed(report_of(path, Reference(terse, adapter), terse)) == {"mean KL divergence"}


def test_a_file_that_can_not_be_opened_is_red(tmp_path: Path, terse: Path, reference: Reference):
    path = written(tmp_path, terse)
    path.write_bytes(path.read_bytes()[:-100])
    report = report_of(path, reference, terse)
    assert failed(report) == {"opens"} and "cut short" in report.failed[0].note


def test_limits_are_the_ones_given(tmp_path: Path, terse: Path, reference: Reference):
    assert failed(report_of(written(tmp_path, terse), reference, terse, limits={"F32": -1.0})) == {"mean KL divergence"}


def without_template(base: Path) -> Path:
    (base / "chat_template.jinja").unlink()
    config = base / "tokenizer_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"chat_template"', '"was"'), encoding="utf-8")
    return base


def test_a_base_without_turns_is_compared_on_text(tmp_path: Path, tokenizer_folder: Path):
    base = without_template(make_base(tmp_path / "base", "gemma", tokenizer_folder))
    report = report_of(written(tmp_path, base), Reference(base), base, ROWS)
    found = {one.name: one for one in report.checks}
    assert report.status == "green" and found["texts with other token ids"].is_ok
    for name in ("template equals the base's", "prompts with other token ids", "prompts without exactly one BOS",
                 "turn markers that are not one token", "answers that do not stop"):
        assert found[name].figure is None and found[name].is_ok is None
        assert found[name].note == "the base model has no chat template"
    assert found["mean KL divergence"].is_ok and report.compared["heldout_tokens"] > 0


def test_other_scores_are_seen_without_a_template_too(tmp_path: Path, tokenizer_folder: Path):
    base = without_template(make_base(tmp_path / "base", "gemma", tokenizer_folder))
    scores = [-score for score in MergedModel(base, [], "x").plan.vocab.scores]
    path = written(tmp_path, base, scores=scores)
    assert failed(report_of(path, Reference(base), base)) == {"texts with other token ids", check.PLANNED}


def test_without_a_reference_only_the_structure_is_checked(tmp_path: Path, terse: Path):
    vocab = MergedModel(terse, [], "x").plan.vocab
    [report] = check_structure([(written(tmp_path, terse), "F32")], planned(terse), quiet, 1)
    assert report.status == "grey" and not report.failed and report.mix and report.figures
    grey = {one.name: one.note for one in report.checks if one.figure is None}
    assert set(grey) == {"prompts with other token ids", "plain prompts that differ from apply_chat_template",
                         "mean KL divergence", "top-1 agreement", "perplexity ratio", "answers that do not stop"}
    assert set(grey.values()) == {check.NO_REFERENCE}
    other = vocab.template.replace("<start_of_turn>model", "<start_of_turn>assistant")
    [report] = check_structure([(written(tmp_path, terse, template=other), "F32")], planned(terse), quiet, 1)
    assert report.status == "red" and failed(report) == {"template equals the base's", check.PLANNED}


def test_numbers_that_are_not_finite_are_red(tmp_path: Path, terse: Path, reference: Reference):
    path = written(tmp_path, terse)
    norm = next(tensor for tensor in read_header(path).tensors if tensor.name == "output_norm.weight")
    with path.open("r+b") as file:
        file.seek(norm.offset)
        file.write(b"\xff" * 4)
    assert "positions with a logit that is not finite" in failed(report_of(path, reference, terse))
    [report] = check_structure([(path, "F32")], planned(terse), quiet, 1)
    assert failed(report) == {"positions with a logit that is not finite"}


def test_a_quantized_file_is_green_and_shows_its_mix(tmp_path: Path, terse: Path, reference: Reference):
    report = report_of(written(tmp_path, terse, kind="Q4_0"), reference, terse, ROWS, kind="Q4_0")
    found = {one.name: one for one in report.checks}
    assert report.status == "green" and 1e-5 < found["mean KL divergence"].figure < 0.15
    assert set(report.mix) == {"Q4_0", "Q8_0", "F32"} or set(report.mix) == {"Q4_0", "Q6_K", "F32"}, report.mix


def kl_without(path: Path, name: str, survey: Survey, reference: Reference) -> float:
    """The loss of the file while one of its tensors is zero."""
    tensor = next(one for one in read_header(path).tensors if one.name == name)
    bits = np.memmap(path, np.uint8, "r+", tensor.offset, (tensor.bytes,))
    whole = bits.copy()
    bits[:] = 0
    with closing(Probe(path, LoadConfig(ctx_tokens=1024, threads=1, exact=True))) as model:
        some = dataclasses.replace(survey, rows=survey.rows[-3:], states=survey.states[-3:])
        loss = compare(model, some, reference, lambda done, of: None)
    bits[:] = whole
    return loss.mean_kl


@pytest.mark.parametrize("name", zoo.KINDS)
def test_every_family_is_the_model_it_was_made_from(tmp_path: Path, tokenizer_folder: Path, name: str):
    base = zoo.make(name, tmp_path / "base", tokenizer_folder, is_sharp=True)
    reference, model = Reference(base, threads=1), MergedModel(base, [], "x")
    survey = Survey.take(reference, ROWS, quiet, wants_sums=True)
    write_all(model, {"F32": tmp_path / "x.gguf"}, threads=1)
    planned_one = Planned(plan=model.plan)
    [report] = check_files([(tmp_path / "x.gguf", "F32")], survey, reference, planned_one, quiet, threads=1)
    assert report.status == "green", report.failed
    for tensor in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down"):
        assert kl_without(tmp_path / "x.gguf", f"blk.0.{tensor}.weight", survey, reference) > 1e-4, tensor
    matrices = {t.name for t in model.plan.tensors if len(t.shape) == 2 and t.name.startswith("blk.")}
    left = matrices - set(importance(survey.sums, model))
    assert all(name.startswith("gemma-4") and "attn_" in tensor for tensor in left)     # taken from another layer


def test_a_projector_is_held_against_its_plan(tmp_path: Path, tokenizer_folder: Path):
    base = zoo.make("gemma-3-seeing-f16", tmp_path / "base", tokenizer_folder)
    model, path = MergedModel(base, [], "x"), tmp_path / "mmproj.gguf"
    plan = model.projector_plan
    write_all(SimpleNamespace(plan=plan, rows=model.rows), {plan.type_name: path}, threads=1)
    report = check_projector(path, plan, model.rows)
    assert report.status == "grey" and not report.failed and set(report.mix) == {"F16", "F32"}
    assert "no picture" in report.checks[-1].note and report.checks[-1].is_ok is None
    less = dataclasses.replace(plan, tensors=plan.tensors[1:])
    assert failed(check_projector(path, less, model.rows)) == {"tensors that differ from the plan"}
    for tensor in (next(t for t in read_header(path).tensors if t.type_name == kind) for kind in ("F16", "F32")):
        with path.open("r+b") as file:
            file.seek(tensor.offset)
            whole = file.read(4)
            file.seek(tensor.offset)
            file.write(b"\xff" * 4)
        report = check_projector(path, plan, model.rows)
        assert [one.note for one in report.failed] == [tensor.name] * 2, "the number, and that it is another one"
        with path.open("r+b") as file:
            file.seek(tensor.offset)
            file.write(whole)
    big = next(t for t in read_header(path).tensors if t.type_name == "F16")
    np.memmap(path, np.uint8, "r+", big.offset, (big.bytes,))[:] = 0
    [wrong] = check_projector(path, plan, model.rows).failed
    assert wrong.name == "tensors with other numbers than the model" and wrong.note == big.name
    path.write_bytes(path.read_bytes()[:-100])
    assert failed(check_projector(path, plan, model.rows)) == {"opens"}


def test_the_perplexities_are_those_of_the_rows(tmp_path: Path, terse: Path, reference: Reference):
    """Also across the chunks in which logits come."""
    long = [{"role": "user", "content": "It hurts. " * 150}, {"role": "assistant", "content": "I see."}]
    survey = Survey.take(reference, [long, *ROWS], quiet)
    config = LoadConfig(ctx_tokens=1024, threads=1, exact=True)
    with closing(Probe(written(tmp_path, terse, kind="Q4_0"), config)) as model:
        loss = compare(model, survey, reference, lambda done, of: None)
        found, wanted = (-sum(sum(one.logprobs(ids, 1)) for ids in survey.rows) for one in (model, reference))
    assert max(map(len, survey.rows)) > 300 and loss.targets == sum(len(ids) - 1 for ids in survey.rows)
    assert loss.nll == pytest.approx(found, rel=1e-4) and loss.reference_nll == pytest.approx(wanted, rel=1e-4)
    assert abs(found - wanted) > 1


@pytest.mark.parametrize(("prompts", "is_ok"), [
    ([[2, 5, 6]], True), ([[2, 2, 5]], False), ([[5, 6]], False), ([[5, 2]], False), ([None], False), ([], False)])
def test_exactly_one_bos_leads_every_prompt(prompts: list, is_ok: bool):
    assert bos_check([2], prompts, [1] * len(prompts)).is_ok is is_ok
    assert bos_check([], prompts, [0] * len(prompts)).is_ok is None


def test_a_template_may_write_bos_before_later_turns():
    found = bos_check([2], [[2, 5, 2, 6], [2, 5]], [2, 1])
    assert found.is_ok and "in 1 the template itself writes another" in found.note
    assert not bos_check([2], [[2, 5, 6]], [2]).is_ok and not bos_check([2], [[2, 2, 5]], [2]).is_ok


def test_the_name_says_what_the_check_found():
    report = FileReport(path=Path("x"), type_name="Q8_0", bytes=1)
    assert report.status == "grey" and published(Path("a-Q8_0.gguf"), report, True).name == "a-Q8_0.gguf"
    report.checks.append(check.Check(name="mean KL divergence", figure=2, limit=1, is_ok=False))
    assert published(Path("a-Q8_0.gguf"), report).name == "a-Q8_0.failed.gguf"
    assert published(Path("a-Q8_0.gguf"), report, True).name == "a-Q8_0.forced.gguf"
    assert report.to_json("x", True)["is_forced"] and not report.to_json("x", False)["is_forced"]


def test_every_type_has_a_limit_and_fewer_bits_a_looser_one():
    assert set(KL_LIMITS) == set(TYPES)
    order = ["F32", "BF16", "Q8_0", "Q6_K", "Q5_0", "Q4_0", "Q3_K_M", "Q2_K"]
    assert [KL_LIMITS[name] for name in order] == sorted(KL_LIMITS[name] for name in order)

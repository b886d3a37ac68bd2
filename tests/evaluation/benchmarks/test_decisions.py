"""Each benchmark of decisions reads its files as they are published and as the hub has them, and scores choices."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from evaluation.benchmarks.catalog import find
from evaluation.config import EvaluateConfig
from tests.tasks.fake_engine import FakeEngine

MEDQA = {"question": "Relapse in malaria is caused by", "answer": "Hypnozoite", "meta_info": "step1",
         "options": {"A": "Sporozoite", "B": "Schizont", "C": "Hypnozoite", "D": "Gametocyte"}, "answer_idx": "C",
         "metamap_phrases": ["malaria"]}
MEDMCQA = {"id": "e9ad", "question": "Relapse in malaria is caused by", "opa": "Sporozoite", "opb": "Schizont",
           "opc": "Hypnozoite", "opd": "Gametocyte", "cop": 2, "choice_type": "single", "exp": "They rest.",
           "subject_name": "Microbiology", "topic_name": None}
OTHER = {**MEDMCQA, "id": "f1", "question": "Quinine is made from", "opa": "Cinchona", "opb": "Willow", "opc": "Yew",
         "opd": "Foxglove", "cop": 0}
MMLU = {"question": "Relapse in malaria is caused by", "subject": "medical_genetics", "answer": 2,
        "choices": ["Sporozoite", "Schizont", "Hypnozoite", "Gametocyte"]}
PUBMEDQA = {"pubid": 21645374, "question": "Do mitochondria play a role?", "long_answer": "They do.",
            "context": {"contexts": ["Leaves die.", "Cells were seen."], "labels": ["BACKGROUND", "RESULTS"],
                        "meshes": ["Leaf"], "reasoning_required_pred": ["y"], "reasoning_free_pred": ["y"]},
            "final_decision": "yes"}


def config(name, **values):
    return EvaluateConfig(benchmark=name, **values)


def opened(name, path, rows, **values):
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return find(name).open(str(path), config(name, **values))


@pytest.mark.parametrize("name", ["test.jsonl", "test.parquet"])
def test_medqa_as_published_and_on_the_hub(tmp_path, name):
    case, = opened("medqa", tmp_path / name, [MEDQA]).cases
    assert (case.gold, case.group, dict(case.task.options)) == ("C", "step1", MEDQA["options"])
    assert case.prompt.endswith("A. Sporozoite\nB. Schizont\nC. Hypnozoite\nD. Gametocyte")
    assert case.baselines == {"always C": 1.0, "guessing": 0.25}


def test_medmcqa_of_the_hub_counts_from_nought_and_the_published_from_one(tmp_path):
    hub = opened("medmcqa", tmp_path / "validation.parquet", [MEDMCQA, OTHER]).cases
    published = opened("medmcqa", tmp_path / "dev.jsonl", [{**one, "cop": one["cop"] + 1} for one in (
        MEDMCQA, OTHER, {**OTHER, "id": "f2", "cop": 3})]).cases
    assert [case.gold for case in hub] == [case.gold for case in published[:2]] == ["C", "A"]
    assert published[2].gold == "D" and hub[0].group == "Microbiology"


def test_mmlu_of_the_hub_and_as_published(tmp_path):
    case, other = opened("mmlu", tmp_path / "x.parquet", [MMLU, {**MMLU, "answer": 0}]).cases
    folder = tmp_path / "test"
    folder.mkdir()
    line = "Relapse in malaria is caused by,Sporozoite,Schizont,Hypnozoite,Gametocyte,{}\n"
    for subject in ("medical_genetics", "astronomy"):
        (folder / f"{subject}_test.csv").write_text(line.format("C") + line.format("A"))
    found = find("mmlu").open(str(folder), config("mmlu"))
    assert [c.gold for c in found.cases] == ["C", "A"] == [case.gold, other.gold]
    assert {c.group for c in found.cases} == {"medical_genetics"} == {case.group}
    assert found.cases[0].task == case.task and any("astronomy_test.csv" in note for note in found.notes)


def test_medical_subjects_that_are_missing_are_said(tmp_path):
    found = opened("mmlu", tmp_path / "x.parquet", [MMLU, {**MMLU, "answer": 0}])
    assert found.notes[-1].startswith("1 of the 6 medical subjects, without anatomy, clinical_knowledge, ")


def test_of_the_published_folders_of_mmlu_only_test_is_read(tmp_path):
    for split in ("dev", "val", "test"):
        (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "data" / split / f"anatomy_{split}.csv").write_text(f"The {split} is,a,b,c,d,A\n" * 2)
    found = find("mmlu").open(str(tmp_path / "data"), config("mmlu"))
    assert [case.task.text for case in found.cases] == ["The test is"] * 2


def test_pubmedqa_of_the_hub_and_as_published(tmp_path):
    case, = opened("pubmedqa", tmp_path / "train.parquet", [PUBMEDQA]).cases
    path = tmp_path / "pqal.json"
    path.write_text(json.dumps({"21645374": {
        "QUESTION": PUBMEDQA["question"], "CONTEXTS": PUBMEDQA["context"]["contexts"],
        "LABELS": PUBMEDQA["context"]["labels"], "MESHES": [], "final_decision": "yes", "LONG_ANSWER": "They do."}}))
    published, = find("pubmedqa").open(str(path), config("pubmedqa")).cases
    assert case.prompt == published.prompt and case.task == published.task and case.gold == "yes"
    assert case.prompt.endswith("Abstract:\nBackground: Leaves die.\nResults: Cells were seen.")
    assert case.baselines["guessing"] == pytest.approx(1 / 3)


def test_the_likeliest_choice_is_the_answer(tmp_path):
    cases = opened("medmcqa", tmp_path / "a.jsonl", [MEDMCQA, OTHER]).cases
    engine = FakeEngine(prefers={"Relapse": "C", "Quinine": "B"})
    first, second = find("medmcqa").score(engine, cases, config("medmcqa"))
    assert (first.answer, first.right, first.value) == ("C", True, 1.0)
    assert (second.answer, second.right, second.value) == ("B", False, 0.0)
    assert set(first.probabilities) == set("ABCD") and sum(first.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_below_the_threshold_there_is_no_answer_and_it_is_not_right(tmp_path):
    cases = opened("medmcqa", tmp_path / "a.jsonl", [MEDMCQA, OTHER]).cases
    found = find("medmcqa").score(FakeEngine(), cases, config("medmcqa", threshold=1.0))
    assert [(one.answer, one.right) for one in found] == [("", False)] * 2


def test_by_texts_the_options_are_not_listed(tmp_path):
    cases = opened("medqa", tmp_path / "a.jsonl", [MEDQA], by="texts").cases
    engine = FakeEngine(prefers={"Relapse": "Hypnozoite"})
    found, = find("medqa").score(engine, cases, config("medqa", by="texts"))
    assert found.answer == "C" and "Schizont" not in cases[0].prompt
    assert cases[0].prompt in engine.text(engine.scored[0][0])


@pytest.mark.parametrize(("name", "file", "count", "commonest", "share"), [
    ("pubmedqa", "pubmedqa/pqal_dev500.json", 500, "always yes", 0.552),
    ("medqa", "mcq/medqa_dev150.jsonl", 150, "always C", 0.3),
    ("medmcqa", "mcq/medmcqa_dev300.jsonl", 300, "always A", 0.32),
    ("mmlu", "mcq/mmlu", 235, "always C", 65 / 235)])
def test_the_real_files_are_read_whole(shared_data, name, file, count, commonest, share):
    cases = find(name).open(str(shared_data / file), config(name)).cases
    assert len(cases) == count == len({case.id for case in cases})
    assert sum(case.baselines[commonest] for case in cases) / count == pytest.approx(share)
    prompts = FakeEngine()
    assert not [one for one in find(name).score(prompts, cases[:40], config(name)) if one.skipped]
    assert [prompts.text(ids) for ids, _ in prompts.scored] == [
        f"user: {case.prompt}\nassistant: " for case in cases[:40]]

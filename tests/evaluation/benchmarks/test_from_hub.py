"""Without a file the hub's copy is read, and of it the official split."""

import json

import pytest

from evaluation.benchmarks.catalog import find
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tests.corpus.fake_hub import FakeHub, fake_hub
from tests.evaluation.benchmarks.test_decisions import MEDQA, PUBMEDQA

CARD = b"""---
configs:
- config_name: pqa_labeled
  data_files: labelled.jsonl
- config_name: pqa_artificial
  data_files: artificial.jsonl
---
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with fake_hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield state


def lines(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def test_the_official_split_of_medqa_is_read(hub: FakeHub):
    other = {**MEDQA, "question": "Which of these is a training row?"}
    hub.datasets["GBaker/MedQA-USMLE-4-options"] = {"train.jsonl": lines([other] * 3), "test.jsonl": lines([MEDQA])}
    case, = find("medqa").open("", EvaluateConfig(benchmark="medqa")).cases
    assert case.task.text == MEDQA["question"] and case.gold == "C"
    named = find("medqa").open("hf:GBaker/MedQA-USMLE-4-options", EvaluateConfig(benchmark="medqa"))
    assert [case.task.text for case in named.cases] == [MEDQA["question"]]
    assert any("only test is read (not train)" in note for note in named.notes)


def test_the_labelled_part_of_pubmedqa_is_read(hub: FakeHub):
    artificial = lines([{**PUBMEDQA, "question": "Artificial?"}])
    hub.datasets["qiaojin/PubMedQA"] = {"README.md": CARD, "labelled.jsonl": lines([PUBMEDQA]),
                                        "artificial.jsonl": artificial}
    found = find("pubmedqa").open("", EvaluateConfig(benchmark="pubmedqa"))
    assert [case.gold for case in found.cases] == ["yes"] and "mitochondria" in found.cases[0].prompt
    assert found.cases[0].id == "21645374" and found.notes == ()


def test_a_split_that_is_not_there_is_said(hub: FakeHub):
    hub.datasets["GBaker/MedQA-USMLE-4-options"] = {"train.jsonl": lines([MEDQA])}
    with pytest.raises(UserError, match="no such split"):
        find("medqa").open("", EvaluateConfig(benchmark="medqa"))

"""evaluation/benchmarks/conversation.py: each figure by hand, on rows of one's own and on real ones."""

import json
import math
from pathlib import Path

import pytest

from evaluation.benchmarks.conversation import BENCHMARK, METRICS, refers
from evaluation.benchmarks.medical_terms import terms
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tasks.metrics import rouge_l
from tests.tasks.fake_engine import FakeEngine

CONFIG = EvaluateConfig(benchmark="conversation", max_tokens=400)
ROWS = [("I have had a cough for three days, what helps?",
         "Honey eases a cough. See your doctor if you develop a fever or chest pain."),
        ("Is it safe to run with a sprained ankle?", "Rest it, put ice on it and wait until the swelling is gone."),
        ("What is your name, and who made you?", "My name is Galen, and somebody kind made me.")]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in ROWS), encoding="utf-8")
    return str(path)


def scored(source: str, engine: FakeEngine):
    opened = BENCHMARK.open(source, CONFIG)
    return opened, (opened.benchmark or BENCHMARK).score(engine, opened.cases, CONFIG)


def test_each_figure_by_hand(rows: str):
    answer = "See a doctor: fever with a cough, or asthma."
    opened, outcomes = scored(rows, FakeEngine(says={"cough for three": answer, "ankle": ROWS[1][1], "": "no idea"}))
    cough, ankle, name = (one.values for one in outcomes)
    assert [case.gold for case in opened.cases] == [a for _, a in ROWS] and opened.cases[0].prompt == ROWS[0][0]
    assert outcomes[0].value == cough["rouge_l"] == rouge_l(ROWS[0][1], answer)
    assert cough["terms_covered"] == 2 / len(terms(ROWS[0][1])) and terms(ROWS[0][1]) == {
        "cough", "fever", "chest", "pain", "chest pain"}
    assert (cough["refers"], cough["reference_refers"], ankle["refers"], ankle["reference_refers"]) == (1, 1, 0, 0)
    assert (cough["words"], cough["reference_words"], cough["ended"]) == (9, 15, 1)
    assert ankle["rouge_l"] == ankle["terms_covered"] == 1 and math.isclose(ankle["tfidf_cosine"], 1, abs_tol=1e-6)
    assert name["rouge_l"] == name["tfidf_cosine"] == 0 and "terms_covered" not in name
    assert set(METRICS) == set(cough)
    assert outcomes[0].baselines["the question itself"] == rouge_l(ROWS[0][1], ROWS[0][0])


def test_rare_words_weigh_more(rows: str):
    _, (one, *_) = scored(rows, FakeEngine(says={"": "honey"}))
    _, (other, *_) = scored(rows, FakeEngine(says={"": "it"}))
    assert one.values["tfidf_cosine"] > other.values["tfidf_cosine"]


def test_too_long_and_cut(rows: str):
    _, outcomes = scored(rows, FakeEngine(says={"": "word " * 90}, ctx_tokens=90))
    assert [bool(one.skipped) for one in outcomes] == [False, False, False]
    assert all(one.values["ended"] == 0 for one in outcomes)
    _, outcomes = scored(rows, FakeEngine(ctx_tokens=30))
    assert all("the context holds 30" in one.skipped and one.value is None for one in outcomes)


def test_conversations_are_asked_whole(tmp_path: Path):
    path = tmp_path / "talk.jsonl"
    turns = [{"role": "user", "content": "My knee hurts when I climb stairs."},
             {"role": "assistant", "content": "Since when does it hurt you?"},
             {"role": "user", "content": "Since last winter, on and off."},
             {"role": "assistant", "content": "Then have it examined by a physiotherapist."}]
    path.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    engine = FakeEngine()
    opened, (outcome,) = scored(str(path), engine)
    assert opened.cases[0].gold == turns[-1]["content"] and outcome.values["reference_refers"] == 1
    assert all(turn["content"] in engine.asked[0] for turn in turns[:3]) and turns[3]["content"] not in engine.asked[0]


def test_without_a_file_or_without_free_answers(tmp_path: Path):
    with pytest.raises(UserError, match="name a file of questions and answers"):
        BENCHMARK.open("", CONFIG)
    path = tmp_path / "decisions.jsonl"
    path.write_text("".join(json.dumps({"question": f"Does drug {k} work in adults?", "context": "It was tried.",
                                        "final_decision": decision}) + "\n" for k, decision in
                            enumerate(("yes", "no", "maybe"))), encoding="utf-8")
    with pytest.raises(UserError, match="no free answers"):
        BENCHMARK.open(str(path), CONFIG)


@pytest.mark.parametrize("answer", [
    "Please see a doctor.", "You should consult your physician soon.", "I'd talk to a pharmacist first.",
    "Go to the emergency room.", "Call 911.", "Check with your health care provider.", "Let your doctor know.",
    "It has to be examined by a dermatologist.", "Book an appointment with an ENT specialist.",
    "Reach out to your healthcare provider.", "Get it looked at by a doctor.", "Go to A&E.", "I'd go to urgent care."])
def test_referral(answer: str):
    assert refers(answer)


@pytest.mark.parametrize("answer", [
    "", "Drink water.", "You do not need to see a doctor.", "Doctors call this sciatica.",
    "This is commonly referred to as relapse.", "Have you seen a doctor?", "A doctor takes a blood sample."])
def test_no_referral(answer: str):
    assert not refers(answer)


def test_terms_by_list_ending_and_stem():
    assert terms("Infections and the infected wound") == terms("infection, infected WOUNDS")
    assert {"appendectomi", "bronchiol", "ceftriaxon"} & terms("appendectomy, bronchiolitis")
    assert terms("an X-ray and a CT scan") == {"x ray", "ct scan"}
    assert not terms("academia in April: the cat sat on a mat, and came back to rest") and not terms("")


def test_on_real_conversations(shared_data: Path):
    opened = BENCHMARK.open(str(shared_data / "chatdoctor" / "chatdoctor5k.json"), CONFIG)
    assert len(opened.cases) == 5452 and not opened.left_out
    assert not any(str(shared_data) in case.id for case in opened.cases)
    found = [len(terms(case.gold)) for case in opened.cases[:500]]
    assert sum(found) / len(found) > 3 and sum(one == 0 for one in found) < 25

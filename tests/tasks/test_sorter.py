import math

import pytest

from runtime.engines import open_engine
from tasks import sorter
from tasks.classify import Labels, Paper
from tasks.engine import TooLong
from tasks.sorter import EACH, Asking, Shot
from tests.tasks.fake_engine import FakeEngine

SEVERAL = Labels(names=("cardio", "neuro", "onco"), is_single=False)
ONE = Labels(names=("cardio", "neuro", "onco"), is_single=True)
HEART = Paper(title="A title", text="The heart.")


def prompts(engine: FakeEngine) -> list[str]:
    return [engine.text(ids) for ids, _ in engine.scored]


@pytest.mark.parametrize("labels, liked, found", [
    (ONE, "neuro", ("neuro",)), (SEVERAL, "neuro", ("neuro",)), (SEVERAL, "cardio | onco", ("cardio", "onco"))])
def test_the_likeliest_answer_gives_the_labels(labels: Labels, liked: str, found: tuple):
    engine = FakeEngine(prefers={"heart": liked})
    one, = sorter.classify(engine, [HEART], labels)
    assert one.labels == found and one.by == (sorter.MODEL,) and one.note == ""
    assert not engine.asked, "labels are never read from free text"
    assert all(one.probabilities[name] > 0.9 for name in found) and one.confidence > 0.8
    assert all(p < 0.1 for name, p in one.probabilities.items() if name not in found)
    if labels.is_single:
        assert sum(one.probabilities.values()) == pytest.approx(1.0)


def test_many_texts_at_once_are_many_times_one_text():
    papers = [Paper(text=f"Text {k}", title="T" * k) for k in range(5)]
    together = sorter.classify(FakeEngine(), papers, SEVERAL)
    assert together == [sorter.classify(FakeEngine(), [one], SEVERAL)[0] for one in papers]


@pytest.mark.parametrize("labels", [ONE, SEVERAL])
def test_each_label_can_be_asked_for_by_itself(labels: Labels):
    engine = FakeEngine(prefers={'"neuro"': "yes", '"cardio"': "no", '"onco"': "no"})
    one, = sorter.classify(engine, [HEART], labels, Asking(by=EACH, descriptions={"neuro": "brain and nerves"}))
    assert one.labels == ("neuro",) and max(one.probabilities, key=lambda name: one.probabilities[name]) == "neuro"
    asked = prompts(engine)
    assert len(asked) == 3 and "neuro: brain and nerves" in asked[1]
    assert len({text.split("The heart.")[0] for text in asked}) == 1, "the text stands first, and is shared"


@pytest.mark.parametrize("by, said", [(sorter.SETS, "cardio | onco"), (EACH, "yes")])
def test_examples_are_turns_before_the_text_with_their_labels(by: str, said: str):
    engine = FakeEngine()
    shot = Shot(paper=Paper(text="x" * 3000, title="Example"), labels=("onco", "cardio"))
    sorter.classify(engine, [HEART], SEVERAL, Asking(shots=(shot,), by=by))
    text = prompts(engine)[0]
    assert text.index("Example") < text.index(f"assistant: {said}") < text.index("The heart.")
    assert text.count("x") < 1100 and sorter.CUT_MARK in text


def test_descriptions_stand_in_the_request():
    engine = FakeEngine()
    sorter.classify(engine, [HEART], SEVERAL, Asking(descriptions={"onco": "tumours"}))
    assert "- onco: tumours" in prompts(engine)[0] and "- cardio" not in prompts(engine)[0]


@pytest.mark.parametrize("by", [sorter.SETS, EACH])
def test_a_text_of_50_000_characters_loses_its_middle_and_says_so(by: str):
    engine = FakeEngine(ctx_tokens=2048)
    text = "begin " + "word " * 10_000 + "end"
    one, = sorter.classify(engine, [Paper(text=text)], SEVERAL, Asking(by=by))
    asked = prompts(engine)[0]
    assert one.labels and "left out" in one.note and f"{len(text):,}" in one.note
    assert "begin" in asked and "end\n" in asked and sorter.CUT_MARK in asked and len(asked) > 1700
    assert all(len(ids) + len(one) <= 2048 for ids, candidates in engine.scored for one in candidates)


def test_a_shorter_limit_than_the_context_can_be_set():
    engine = FakeEngine()
    sorter.classify(engine, [Paper(text="word " * 1000)], SEVERAL, Asking(max_tokens=600))
    assert all(len(ids) <= 600 for ids, _ in engine.scored)


def test_a_model_too_small_for_the_request_gives_too_long_and_the_others_are_classified():
    small = FakeEngine(ctx_tokens=40)
    found = sorter.classify(small, [HEART, Paper(text="")], SEVERAL)
    assert isinstance(found[0], TooLong) and found[0].ctx_tokens == 40
    assert found[1].labels == () and found[1].note == "There is no text to classify."
    assert found[1].confidence == 0.0


def test_a_title_alone_is_classified():
    assert sorter.classify(FakeEngine(), [Paper(text="", title="Heart")], SEVERAL)[0].labels


def test_likelihoods_are_log_odds_of_several_and_logs_of_one():
    odds = sorter.evidence(FakeEngine(), [HEART], SEVERAL)[0].logs
    logs = sorter.evidence(FakeEngine(), [HEART], ONE)[0].logs
    assert sum(map(math.exp, logs.values())) == pytest.approx(1.0)
    assert set(odds) == set(logs) == set(SEVERAL.names)


def test_sets_of_training_rows_become_answers():
    five = Labels(names=tuple("abcde"), is_single=False)
    asking = sorter.with_seen(Asking(), [("c", "a", "b"), ("a",), ("a", "b", "c")], five)
    assert asking.seen == (("a",), ("a", "b", "c"))
    engine = FakeEngine(prefers={"text": "a | b | c"})
    assert sorter.classify(engine, [Paper(text="some text")], five, asking)[0].labels == ("a", "b", "c")


def test_the_embedded_model_reads_its_likelihoods_alike_each_time():
    with open_engine("demo", threads=1) as engine:
        papers = [HEART, Paper(text="Tumours of the brain. " * 2000), Paper(text="Stroke and epilepsy.")]
        found = sorter.classify(engine, papers, SEVERAL)
        assert found == sorter.classify(engine, papers, SEVERAL)
        assert "left out" in found[1].note and not found[0].note
        one, = sorter.classify(engine, papers[2:], ONE)
        assert sum(one.probabilities.values()) == pytest.approx(1.0)
        each = sorter.classify(engine, papers[:1], SEVERAL, Asking(by=EACH))[0]
        assert each.labels and all(0 < p < 1 for p in each.probabilities.values())

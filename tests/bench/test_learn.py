from pathlib import Path
from statistics import mean

import pytest

from bench import learn
from corpus.gather import gather
from corpus.layouts import Example
from models import knobs, runs
from models.job import Job
from tasks import metrics
from train.config import TrainConfig, load_recipe
from train.worker import work


def row(question: str, answer: str, section: str = "", label: str = "") -> Example:
    return Example(file="x", line=2, section=section, label=label, input=question, messages=(
        {"role": "user", "content": f"Write. {question}"}, {"role": "assistant", "content": answer}))


def test_what_can_be_answered_without_a_model():
    training = [row("Patient: my knee hurts", "Knee.", "A"), row("Patient: my ear", "None.", "A"),
                row("Patient: nose", "None.", "A"), row("Patient: my hand", "Hand.", "B")]
    asked = "Doctor: Well?\nPatient: The knee.\nGuest_1: Yes."
    said = learn.trivial(training, [row(asked, "?", "A"), row("hand", "?", "B")])
    assert said == {"copy the input": [asked, "hand"],
                    "commonest answer": ["None.", "Hand."], "nearest training answer": ["Knee.", "Hand."],
                    "the patient's words": ["The knee.\nYes.", ""]}


def test_the_commonest_label_counts_not_the_commonest_words():
    training = [row("Why?", "Yes. One.", label="yes"), row("How?", "Yes. Two.", label="yes"),
                row("What?", "No.", label="no"), row("Who?", "No.", label="no"),
                row("Where?", "Yes. Three.", label="yes")]
    said = learn.trivial(training, [row("When?", "Maybe.", label="maybe")])
    assert said["commonest answer"] == ["Yes. One."] and "the patient's words" not in said


@pytest.mark.parametrize("who, figure", [("copy the input", 0.224), ("commonest answer", 0.136)])
def test_the_trivial_scores_are_those_that_are_known(shared_data: Path, who: str, figure: float):
    gathered = gather(learn.settings("summarise", []), lambda text: None)
    said = learn.trivial(gathered.training, gathered.validation)[who]
    scores = [metrics.rouge(learn._answer(one), text)["rouge_1"]
              for one, text in zip(gathered.validation, said, strict=True)]
    assert len(scores) == 100 and mean(scores) == pytest.approx(figure, abs=0.001)


def test_settings_reach_the_recipe_and_its_stages():
    config = learn.settings("answer-then-chat", ["answer-then-chat.batch=4", "summarise.batch=2"])
    one, two = config.stage_configs()
    assert (one.batch, two.batch, one.name, two.name) == (4, 4, "pubmedqa", "conversations")
    assert one.data[0].endswith("pqal_dev500.json") and two.data[0].endswith("chatdoctor5k.json")


def test_every_recipe_of_the_embedded_model_is_measured():
    assert set(learn.RECIPES) | {"demo"} == {path.stem for path in (runs.ROOT / "train" / "recipes").glob("*.toml")
                                             if load_recipe(path.stem).get("base", "demo") == "demo"}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(learn.RECIPES))
def test_every_recipe_of_the_embedded_model_learns_from_its_data(tmp_path: Path, shared_data: Path, name: str):
    wanted = [f"{name}.{pair}" for pair in ("max_steps=4", "evals=1", "max_len=256", "limit_rows=150", "metric_rows=4",
                                            "answer_tokens=8", "warmup=0", "threads=1", "keep_awake=false")]
    values = knobs.to_json(learn.settings(name, wanted))
    values["stages"] = [{key: value for key, value in one.items() if key not in ("metric_rows", "evals", "limit_rows")}
                        for one in values["stages"]]
    runs.write_json(tmp_path / runs.CONFIG, knobs.to_json(knobs.from_json(TrainConfig, values)))
    work(Job(tmp_path))
    result = runs.read_json(tmp_path / runs.RESULT)
    for one in result.get("stages", [result]):
        assert one["best_val_loss"] < one["base_val_loss"]
    assert (tmp_path / runs.ADAPTER / runs.CARD).is_file()

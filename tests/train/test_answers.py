import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import peft
import pytest
import torch

from corpus.layouts import Example
from models import runs
from models.errors import UserError
from models.job import Job
from tasks.hf_tokenizer import HFTokenizer
from tasks.prompt import prompt_ids, terminator
from tests.train.conftest import events
from tests.train.test_learner import FAMILIES
from train import answers
from train.answers import Examiner
from train.config import TrainConfig
from train.worker import work


def example(question: str, answer: str, label: str = "") -> Example:
    return Example(file="rows.csv", line=2, messages=(
        {"role": "user", "content": question}, {"role": "assistant", "content": answer}), label=label)


ROWS = [example(f"How much {'salt ' * k}is it?", f"There are {k} mg.", label) for k, label in
        enumerate(["yes", "no", "maybe", "yes", "yes | no", "no", "yes"])]


@pytest.fixture(scope="module")
def model(tiny_base: Path):
    """The tiny base with an adapter that changes something."""
    from transformers import AutoModelForCausalLM
    tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), peft.LoraConfig(
        r=4, lora_dropout=0.3, target_modules=["q_proj", "down_proj"]))
    torch.manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return tuned


def one_by_one(model, tokenizer: HFTokenizer, ids: list[int], most: int) -> str:
    """Greedy without a cache, a row at a time."""
    made: list[int] = []
    model.eval()
    while len(made) < most:
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax())
        if token in (terminator(tokenizer), 1):
            break
        made.append(token)
    return tokenizer.hf.decode(made, skip_special_tokens=True).strip()


def test_a_batch_of_any_lengths_gives_what_each_row_gives_alone(model, tokenizer: HFTokenizer, monkeypatch):
    prompts = [prompt_ids(row.messages[:-1], tokenizer) for row in ROWS]
    alone = [one_by_one(model, tokenizer, ids, 20) for ids in prompts]
    assert answers.answers(model, tokenizer, prompts, 20) == alone
    assert len(set(alone)) > 1
    monkeypatch.setattr(answers, "BATCH_TOKENS", 100)
    assert answers.answers(model, tokenizer, prompts, 20) == alone
    assert answers.answers(model, tokenizer, [], 20) == []


def test_an_answer_ends_at_its_terminator(model, tokenizer: HFTokenizer):
    class Ending:
        """Says the ids it was made with, as generate does, row by row."""
        training = False

        def eval(self) -> None: ...
        def train(self, mode: bool) -> None: ...

        def parameters(self):
            return iter([torch.zeros(1)])

        def generate(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
            said = [*tokenizer.encode("two words", control=False), terminator(tokenizer)]
            return SimpleNamespace(past_key_values=None, sequences=torch.cat(
                [input_ids, torch.tensor([said] * len(input_ids))], dim=1))

    assert answers.answers(Ending(), tokenizer, [[2, 5, 6], [2]], 20) == ["two words"] * 2


LONG = 40                       # tokens of an answer here; the sliding windows of the families are 8 wide
ASKED = [[2, *((7 * k + 11 * j) % 290 + 5 for j in range(length - 1))] for k, length in enumerate((3, 30, 6, 12, 4, 9))]


def alone(model, ids: list[int], stop: set[int]) -> list[int]:
    """Greedy without a cache, a row at a time."""
    made: list[int] = []
    while len(made) < LONG and not stop & set(made):
        with torch.no_grad():
            made.append(int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax()))
    return made


def ending(family: str, end: int):
    """A tiny random model of the family, for whose answers to ASKED the token end comes at many places."""
    torch.manual_seed(3)
    model = FAMILIES[family]().eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6)
    weight = model.get_output_embeddings().weight.detach()
    weight = weight[torch.randperm(len(weight))]                    # as it is, it says the last token again
    head = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    model.set_output_embeddings(head)
    head.weight = torch.nn.Parameter(weight)
    raw = [alone(model, ids, set()) for ids in ASKED]

    def places(token: int) -> int:
        return len({made.index(token) for made in raw if token in made})

    often = max(range(len(weight)), key=places)
    head.weight.data[end], head.weight.data[often] = head.weight.data[often].clone(), head.weight.data[end].clone()
    return model


class Counting:
    """A model that counts the rows of every step."""

    def __init__(self, model):
        self.model, self.rows = model, list[int]()
        model.register_forward_pre_hook(
            lambda module, positional, named: self.rows.append(len(named["input_ids"])), with_kwargs=True)

    def __getattr__(self, name: str):
        return getattr(self.model, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_have_ended_cost_nothing_and_change_nothing(family: str, tokenizer: HFTokenizer):
    end = terminator(tokenizer)
    model = ending(family, end)
    single = [alone(model, ids, {end, 1}) for ids in ASKED]
    lengths = [len(made) for made in single]
    assert min(lengths) < 20 and max(lengths) == LONG and len(set(lengths)) > 2      # or nothing is shown here
    counting = Counting(model)
    made = answers._generate(counting, tokenizer, ASKED, [LONG] * len(ASKED), False, lambda: None)
    assert made == [[token for token in one if token not in (end, 1)] for one in single]
    assert sum(counting.rows) == sum(lengths)
    assert answers._generate(model, tokenizer, ASKED, [LONG] * len(ASKED), False, lambda: None) == made


def test_answers_can_be_as_long_as_asked_whatever_the_model_says(tokenizer: HFTokenizer):
    counting = Counting(ending("gemma3_text", terminator(tokenizer)))
    asked = [4, 39, 1, 12, 12, 30]
    made = answers._generate(counting, tokenizer, ASKED, asked, True, lambda: None)
    assert [len(one) for one in made] == asked and sum(counting.rows) == sum(asked)
    counting.rows.clear()
    answers.answers(counting, tokenizer, ASKED, 20, lengths=asked)
    assert sum(counting.rows) == sum(min(20, length) for length in asked)


def test_nothing_of_the_training_changes(model, tokenizer: HFTokenizer):
    model.train()
    before = torch.get_rng_state()
    weights = {name: p.clone() for name, p in model.named_parameters()}
    answers.answers(model, tokenizer, [prompt_ids(ROWS[0].messages[:-1], tokenizer)], 5)
    assert torch.equal(torch.get_rng_state(), before) and model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(weights[name], p) and p.grad is None for name, p in model.named_parameters())
    model.eval()
    answers.answers(model, tokenizer, [[2, 5]], 2)
    assert not model.training


def test_a_stop_is_heard_before_the_next_token_and_leaves_the_mode(model, tokenizer: HFTokenizer):
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    model.train()
    with pytest.raises(InterruptedError):
        answers.answers(model, tokenizer, [[2, 5, 6]], 50, check)
    assert len(asked) == 3 and model.training


@pytest.fixture
def examined(tmp_path: Path, model, tokenizer: HFTokenizer) -> Callable[..., tuple[dict, list[dict]]]:
    """examined(rows, ...) -> (what examine gave, its events)."""
    def run(rows: list[Example], **values: object) -> tuple[dict, list[dict]]:
        config = TrainConfig(**{"answer_tokens": 8, "name": "one", "max_len": 64, **values})
        scores = Examiner(rows, tokenizer, config, Job(tmp_path)).examine(model, 7)
        return scores, [json.loads(line) for line in (tmp_path / runs.EVENTS).read_text().splitlines()]
    return run


def test_two_answers_are_shown_and_no_metric_is_made_for_the_loss(examined):
    scores, events = examined(ROWS, shown_answers=2)
    assert scores == {} and len(events) == 2
    assert {(e["kind"], e["step"], e["stage"], e["file"]) for e in events} == {("sample", 7, "one", "rows.csv")}
    assert "stage" not in examined(ROWS, shown_answers=2, name="")[1][-1]
    assert [e["row"] for e in events] == [0, 1]
    shown = {(e["question"], e["reference"]) for e in events}
    assert shown <= {(row.messages[0]["content"], row.messages[1]["content"]) for row in ROWS} and len(shown) == 2


def test_the_same_rows_are_asked_every_time_and_draw_nothing(examined):
    before = torch.get_rng_state()
    first = examined(ROWS, shown_answers=3)[1]
    again = examined(ROWS, shown_answers=3)[1][3:]
    assert [e["question"] for e in first] == [e["question"] for e in again]
    assert [e["answer"] for e in first] == [e["answer"] for e in again]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["rouge_l", "accuracy", "macro_f1"])
def test_a_metric_is_made_of_as_many_rows_as_asked(examined, model, tokenizer: HFTokenizer, name: str):
    scores, events = examined(ROWS, best_by=name, metric_rows=len(ROWS), shown_answers=1)
    made = answers.answers(model, tokenizer, answers.prompts(ROWS, tokenizer, 64)[1], 8)
    wanted = answers.score(ROWS, made, frozenset({"yes", "no", "maybe"}))
    assert scores == {name: pytest.approx(wanted[name])} and len(events) == 1


class Timed(Job):
    """A job that is told what the answers of a trained model cost."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.took = list[float]()

    def trained_answers_took(self, seconds: float) -> None:
        self.took.append(seconds)


@pytest.mark.parametrize("name", ["loss", "rouge_l", "macro_f1"])
def test_a_trial_times_answers_as_long_as_their_references(tmp_path: Path, tiny_base: Path, tokenizer: HFTokenizer,
                                                           name: str):
    from transformers import AutoModelForCausalLM
    counting, job = Counting(AutoModelForCausalLM.from_pretrained(tiny_base)), Timed(tmp_path)
    config = TrainConfig(answer_tokens=30, max_len=64, best_by=name, metric_rows=5, shown_answers=2)
    examiner = Examiner(ROWS, tokenizer, config, job)
    first = examiner.examine(counting, 0)
    both, took = sum(counting.rows), list(job.took)
    counting.rows.clear()
    assert examiner.examine(counting, 3).keys() == first.keys() == ({name} - {"loss"})
    references = [len(tokenizer.encode(row.messages[-1]["content"], control=False)) + 1 for row in examiner._rows]
    most = [30, 30, *[examiner._metric_tokens()] * 3][:len(references)]
    assert sum(counting.rows) == sum(map(min, references, most)) and len(references) == (2 if name == "loss" else 5)
    assert both == sum(counting.rows) + sum(most)           # this model never ends by itself
    assert len(took) == 1 and len(job.took) == 2 and all(seconds > 0 for seconds in job.took)


def test_scores_of_perfect_and_of_wrong_answers():
    known = frozenset({"yes", "no", "maybe"})
    gold = [row.label for row in ROWS]
    perfect = answers.score(ROWS, [row.messages[1]["content"] for row in ROWS], known)
    assert perfect["rouge_1"] == perfect["rouge_l"] == 1 and perfect["accuracy"] == 0
    assert answers.score(ROWS, gold, known)["accuracy"] == answers.score(ROWS, gold, known)["macro_f1"] == 1
    assert "accuracy" not in answers.score(ROWS, gold, frozenset())


def test_a_metric_of_labels_needs_labels(tmp_path: Path, tokenizer: HFTokenizer):
    rows = [example("Why?", "So.")]
    for name in ("accuracy", "macro_f1"):
        with pytest.raises(UserError, match=f"chosen by {name}, but none of the 1 validation rows has a label"):
            Examiner(rows, tokenizer, TrainConfig(best_by=name), Job(tmp_path))
    Examiner(rows, tokenizer, TrainConfig(best_by="rouge_l"), Job(tmp_path))


def test_rows_are_asked_as_they_are_learned(tokenizer: HFTokenizer):
    long = example("first " * 60 + "last?", "So.")
    rows, (short, cut, talk) = answers.prompts([ROWS[0], example("Why?", "so " * 99), long, Example(
        file="x", line=3, messages=(*ROWS[0].messages, *ROWS[1].messages))], tokenizer, 70)
    assert [row.line for row in rows] == [2, 2, 3] and short == prompt_ids(ROWS[0].messages[:-1], tokenizer)
    assert talk == prompt_ids((*ROWS[0].messages, ROWS[1].messages[0]), tokenizer)
    text = tokenizer.hf.decode(cut)
    assert len(cut) < 70 and "first" in text and "[...]" in text and "last?" in text and "So." not in text


def test_long_texts_are_shown_by_the_end_that_matters(examined):
    rows = [example("long " * 200 + "what now?", "so it is " * 100)]
    _, (event,) = examined(rows, shown_answers=1, max_len=2000)
    assert event["question"].startswith("... ") and event["question"].endswith("what now?")
    assert event["reference"].endswith(" ...") and len(event["reference"]) < 310


def losses(folder: Path, base: Path, rows: Path, **values: object) -> list[float]:
    """The loss of every step of a short run with dropout, which draws random numbers."""
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, {
        "base": str(base), "data": [str(rows)], "threads": 1, "dropout": 0.1, "rank": 4, "batch": 8, "max_steps": 6,
        "evals": 3, "max_len": 64, "precision": "float32", "min_chars": 0, "answer_tokens": 6, "keep_awake": False,
        "notify": False, **values})
    work(Job(folder))
    return [event["loss"] for event in events(folder, "step")]


def test_a_training_is_the_same_to_the_bit_with_answers_and_without(tmp_path: Path, tiny_base: Path, rows: Path):
    silent = losses(tmp_path / "silent", tiny_base, rows, shown_answers=0)
    asked = losses(tmp_path / "asked", tiny_base, rows, shown_answers=2, best_by="rouge_l", metric_rows=3)
    assert asked == silent and len(silent) == 6
    assert not events(tmp_path / "silent", "sample")
    assert [event["step"] for event in events(tmp_path / "asked", "sample")] == [0, 0, 2, 2, 4, 4, 6, 6]
    result = runs.read_json(tmp_path / "asked" / runs.RESULT)
    assert result["best_metric"] == pytest.approx(max(e["rouge_l"] for e in events(tmp_path / "asked", "eval")[1:]))

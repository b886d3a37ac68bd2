"""The promise is made of real steps of the run, leaves nothing else behind, and counts everything the run will do."""

from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from models.job import Job
from tests.train.conftest import events
from train import adapter, estimate
from train.config import TrainConfig
from train.samples import IGNORED, Sample
from train.steps import Plan
from train.trial import Trial, Tried, _parts, _scoring, _some

SHORT = {"rank": 4, "batch": 4, "accumulate": 2, "epochs": 9.0, "evals": 3, "max_len": 64, "precision": "float32",
         "answer_tokens": 4, "threads": 1, "notify": False, "keep_awake": False}


@pytest.fixture
def promised(tmp_path: Path, tiny_base: Path, rows: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, {"base": str(tiny_base), "data": [str(rows)], **SHORT})
    estimate.work(Job(folder))
    return folder


def test_the_promise_counts_every_part_and_leaves_no_run(promised: Path):
    promise = runs.read_json(promised / runs.ESTIMATE)
    assert sorted(path.name for path in promised.iterdir()) == sorted([runs.CONFIG, runs.EVENTS, runs.ESTIMATE])
    assert promise["seconds"] == pytest.approx(sum(promise["parts"].values()), abs=0.1)
    assert set(promise["parts"]) == {"loading and rows", "steps", "evaluations", "answers", "checkpoints"}
    assert all(seconds > 0 for seconds in promise["parts"].values())
    assert promise["steps"] == 9 * 3                        # passes over 17 or more of 24 rows, 8 a step
    assert 0 < promise["measured_steps"] <= 15 and promise["peak_rss_mb"] > 100 and promise["peak_disk_mb"] > 0
    assert promise["fits"] and promise["memory_mb"] > promise["peak_rss_mb"]
    assert [event["text"] for event in events(promised, "phase")][0] == "Reading the rows"


def test_the_promise_of_stages_counts_each_and_their_scores(tmp_path: Path, tiny_base: Path, rows: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    stages = [{"name": "one", "epochs": 1.0}, {"name": "two", "epochs": 2.0, "best_by": "rouge_l", "metric_rows": 2}]
    runs.write_json(folder / runs.CONFIG, {"base": str(tiny_base), "data": [str(rows)], **SHORT, "stages": stages})
    estimate.work(Job(folder))
    promise = runs.read_json(folder / runs.ESTIMATE)
    assert promise["steps"] == 3 + 6 and promise["parts"]["scores of all stages"] > 0
    assert promise["seconds"] == pytest.approx(sum(promise["parts"].values()), abs=0.1)


def test_an_estimate_that_is_stopped_leaves_nothing_and_is_no_error(tmp_path: Path, tiny_base: Path, rows: Path):
    class Stopping(Job):
        """Somebody asks to stop while the rows are read."""

        def event(self, kind: str, **values: object) -> None:
            super().event(kind, **values)
            (self.folder / runs.STOP).touch()

    runs.write_json(tmp_path / runs.CONFIG, {"base": str(tiny_base), "data": [str(rows)], **SHORT})
    estimate.work(Stopping(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([runs.CONFIG, runs.EVENTS, runs.STOP])


def test_a_stage_on_a_merged_base_is_tried_as_such(tmp_path: Path, tiny_base: Path, rows: Path, monkeypatch):
    """Its weights are in float32 for the merge, whatever the arithmetic: the memory of that is promised."""
    tried = []
    continue_from = adapter.continue_from
    monkeypatch.setattr(adapter, "continue_from", lambda model, before, config: tried.append(
        [path.parent.name for path in before]) or continue_from(model, before, config))
    stages = [{"name": name, "epochs": 1.0} for name in ("one", "two", "three")]
    runs.write_json(tmp_path / runs.CONFIG, {"base": str(tiny_base), "data": [str(rows)], **SHORT, "stages": stages,
                                             "start": "merged"})
    estimate.work(Job(tmp_path))
    assert tried == [["0"], ["0", "1"]] and (tmp_path / runs.ESTIMATE).is_file()


def plan_of(lengths: list[int], config: TrainConfig) -> Plan:
    samples = [Sample(ids=[1] * length, labels=[IGNORED] * (length - 2) + [1, 1]) for length in lengths]
    return Plan(samples, config)


def test_the_tried_steps_are_steps_of_the_run_with_the_longest_one_among_them():
    config = TrainConfig(batch=2, accumulate=2, epochs=3.0)
    plan = plan_of([10 + 13 * k % 97 for k in range(41)], config)
    tried = Tried(plan, config)
    real = [plan.samples_of(step) for step in range(config.steps(41))]
    assert len(tried.loads) == len(real) == 33
    assert [tried.samples_of(k) for k in range(len(tried.chosen))] == [real[step] for step in tried.chosen]
    assert tried.samples_of(len(tried.chosen)) == real[tried.chosen[0]]         # then from the start again
    longest = max(range(41), key=plan.lengths.__getitem__)
    assert any(longest in tried.samples_of(k) for k in range(2))
    assert [len(batch) for batch in tried.batches_of(tried.samples_of(0))] == [2, 2]


class Told(Trial):
    """A trial whose events are given."""

    def __init__(self, told: list[dict], trained_s: list[float]):
        self.events, self.trained_s = told, trained_s


def test_what_was_measured_is_counted_as_often_as_the_run_does_it():
    config = TrainConfig(batch=2, epochs=10.0, evals=4, checkpoints=5)
    tried = Tried(plan_of([32] * 20, config), config)                            # all steps cost the same
    t, told = 100.0, [{"kind": "eval", "t": 100.0, "seconds": 3.0, "answers_s": 9.0}]
    for _ in range(5):
        t += 0.5
        told.append({"kind": "step", "t": t, "seconds": 0.4 if len(told) > 1 else 0.7})
    told += [{"kind": "checkpoint", "t": t + 1, "seconds": 1.0},
             {"kind": "eval", "t": t + 5, "seconds": 2.0, "answers_s": 1.0}]
    trial = Told(told, trained_s=[2.0, 1.0])
    parts = _parts(config, trial, tried, wall=20.0, share=2.0, is_trained=False)
    # 4 x 0.5 s and a first one of 0.7; evaluations of 3 and 2 s; 100 steps in the run
    assert parts["loading and rows"] == pytest.approx(20 - 2.7 - 5 - 10 - 1)
    assert parts["steps"] == pytest.approx(100 * 0.5 + 0.2)
    assert parts["evaluations"] == pytest.approx(2 * (3 + 4 * 2))
    assert parts["answers"] == pytest.approx((9 - 2) + 4 * 1.5)     # untrained 7 s, as long as the references 2 and 1
    later = _parts(config, trial, tried, wall=20.0, share=2.0, is_trained=True)
    assert later["answers"] == pytest.approx(5 * 1.5) and later["steps"] == parts["steps"]
    ended = Told(told[:-1], trained_s=[2.0])                        # the time was up before its last evaluation
    assert _parts(config, ended, tried, wall=20.0, share=2.0, is_trained=False)["answers"] == pytest.approx(7 + 4 * 2)
    assert parts["checkpoints"] == pytest.approx(5 * 1.0 + 3 / 3)


@pytest.mark.parametrize(("best_by", "base_s", "later_s"), [("rouge_l", 7.0, 1.5), ("loss", 0.0, 0.0)])
def test_the_base_is_scored_at_its_own_price(best_by: str, base_s: float, later_s: float):
    told = [{"kind": "phase", "t": 3.0}, {"kind": "phase", "t": 5.0},
            {"kind": "eval", "t": 9.0, "seconds": 3.0, "answers_s": 9.0},
            {"kind": "eval", "t": 19.0, "seconds": 2.0, "answers_s": 1.0}]
    found = _scoring(TrainConfig(best_by=best_by), Told(told, trained_s=[2.0, 1.0]), share=2.0)
    assert found == {"load_s": 2.0, "base_score_s": 4.0 + base_s, "score_s": 4.0 + later_s}


def test_enough_validation_rows_are_tried(rows: Path):
    from corpus.layouts import Example
    many = [Example(file="a", line=k, messages=({"role": "user", "content": "x" * (k + 1)},
                                                {"role": "assistant", "content": "y"})) for k in range(1001)]
    some = _some(many, 8)
    assert 15 * 8 < len(some) <= 16 * 8 and many[-1] in some and len(set(map(id, some))) == len(some)
    assert _some(many[:20], 8) == tuple(many[:20])


def test_only_one_process_makes_an_estimate(promised: Path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="made by one process"):
        estimate.work(Job(promised))
    assert not (promised / estimate.TRIAL).exists()


def test_what_does_not_fit_is_said(tmp_path: Path):
    stage = {"parts": {"steps": 1.0}, "steps": 2, "peak_rss_mb": 9e9, "peak_disk_mb": 1.0, "measured_steps": 2,
             "measured_s": 1.0, "machine": "CPU", "load_s": 0.5, "base_score_s": 10.0, "score_s": 3.0}
    promise = estimate.whole([stage, {**stage, "peak_rss_mb": 1}], tmp_path, busy_cores=2.0)
    assert not promise["fits"] and promise["peak_rss_mb"] == 9e9
    # two stages, and three times: the base loaded, both validation sets scored, first by the base
    assert promise["seconds"] == 2.0 + 3 * 0.5 + 2 * 10.0 + 2 * (2 * 3.0)
    assert (promise["steps"], promise["peak_disk_mb"]) == (4, 2.0)
    assert "2.0 cores busy" in promise["notes"][0]

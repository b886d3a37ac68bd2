from pathlib import Path

from PIL import Image

from train.curve import draw, stages_of

ACCENT = (15, 118, 110)


def accent_pixels(path: Path) -> int:
    """How much of the picture is drawn as validation loss."""
    picture = Image.open(path).convert("RGB")
    return {colour: n for n, colour in picture.getcolors(1 << 20)}.get(ACCENT, 0)


def steps(first: int, last: int, **values: object) -> list[dict]:
    return [{"kind": "step", "step": k, "loss": 3 - k / 20, "lr": 1e-4, "grad_norm": 1.0, "tokens_per_s": 9.0, **values}
            for k in range(first, last + 1)]


def evaluation(step: int, loss: float, **values: object) -> dict:
    return {"kind": "eval", "step": step, "loss": loss, **values}


def test_a_curve_is_a_picture_that_has_both_lines(tmp_path: Path):
    events = [{"kind": "phase"}, evaluation(0, 3.0), *steps(1, 20), evaluation(10, 2.4), evaluation(20, 2.5)]
    draw(events, tmp_path / "curve.png")
    draw([event for event in events if event["kind"] == "step"], tmp_path / "steps.png")
    assert accent_pixels(tmp_path / "curve.png") > 500
    assert accent_pixels(tmp_path / "steps.png") == 0
    assert Image.open(tmp_path / "steps.png").size == (960, 744)


def test_a_run_that_ended_before_its_first_step_has_a_picture_too(tmp_path: Path):
    draw([], tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size == (960, 540)


def test_stages_stand_one_behind_the_other(tmp_path: Path):
    events = [evaluation(0, 3.0, stage="one"), *steps(1, 8, stage="one"), evaluation(8, 2.0, stage="one"),
              evaluation(0, 4.0, stage="two"), *steps(1, 5, stage="two"), evaluation(5, 2.0, stage="two")]
    one, two = stages_of(events)
    assert (one.name, one.start, two.name, two.start) == ("one", 0, "two", 8)
    assert one.points("eval", "loss") == [(0, 3.0), (8, 2.0)] and two.points("eval", "loss") == [(8, 4.0), (13, 2.0)]
    assert [step for step, _ in two.points("step", "lr")] == [9, 10, 11, 12, 13]
    draw(events, tmp_path / "curve.png")
    assert accent_pixels(tmp_path / "curve.png") > 500


def test_what_came_after_the_step_of_a_resume_never_was():
    events = [evaluation(0, 3.0), *steps(1, 9), evaluation(5, 2.0), evaluation(8, 1.0), {"kind": "resume", "step": 6},
              *steps(7, 7, loss=9.0)]
    (stage,) = stages_of(events)
    assert [step for step, _ in stage.points("step", "loss")] == [1, 2, 3, 4, 5, 6, 7]
    assert stage.points("step", "loss")[-1] == (7, 9.0) and stage.points("eval", "loss") == [(0, 3.0), (5, 2.0)]


def test_the_kept_point_is_the_best_by_metric_where_there_is_one():
    (by_loss,) = stages_of([evaluation(0, 1.0), evaluation(5, 2.0), evaluation(9, 3.0)])
    (by_metric,) = stages_of([evaluation(0, 1.0, macro_f1=0.9), evaluation(5, 2.0, macro_f1=0.1),
                              evaluation(9, 3.0, macro_f1=0.5)])
    assert (by_loss.kept(), by_metric.kept(), stages_of([])[0].kept()) == (5, 9, None)

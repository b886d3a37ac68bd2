from pathlib import Path

from PIL import Image

from train.curve import draw


def accent_pixels(path: Path) -> int:
    """How much of the picture is drawn as validation loss."""
    picture = Image.open(path).convert("RGB")
    return {colour: n for n, colour in picture.getcolors(1 << 20)}.get((15, 118, 110), 0)


def test_a_curve_is_a_picture_that_has_both_lines(tmp_path: Path):
    events = [{"kind": "phase"}, {"kind": "eval", "step": 0, "loss": 3.0},
              *({"kind": "step", "step": k, "loss": 3 - k / 20} for k in range(1, 21)),
              {"kind": "eval", "step": 10, "loss": 2.4}, {"kind": "eval", "step": 20, "loss": 2.5}]
    draw(events, tmp_path / "curve.png")
    draw([event for event in events if event["kind"] == "step"], tmp_path / "steps.png")
    assert accent_pixels(tmp_path / "curve.png") > 500
    assert accent_pixels(tmp_path / "steps.png") == 0


def test_a_run_that_ended_before_its_first_step_has_a_picture_too(tmp_path: Path):
    draw([], tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size == (960, 540)

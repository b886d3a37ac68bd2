"""The curve shows both losses, the adapter that is kept, and a second run; and stays small however long a run is."""

import re

import pytest

from train.curve import Stage, stages_of
from ui.views.curve import MOST_POINTS, Line, curve, thinned, ticks


def events(steps, name=""):
    stage = {"stage": name} if name else {}
    found = [{"kind": "eval", "step": 0, "loss": 6.0, **stage}]
    for k in range(1, steps + 1):
        found.append({"kind": "step", "step": k, "loss": 6 - 3 * k / steps, **stage})
        if k % 2 == 0:
            found.append({"kind": "eval", "step": k, "loss": 6 - 2.5 * k / steps + (k > steps - 2), **stage})
    return found


def test_both_lines_and_the_best_point_are_there():
    html = curve([Line(name="mine", stages=stages_of(events(8)))], steps=16)
    lines = {name: points.split() for name, points in re.findall(r'polyline class="(\w+)" points="([^"]*)"', html)}
    assert len(lines["training"]) == 8 and len(lines["validation"]) == 5
    assert lines["training"][-1].startswith("50.00,")                   # half of the steps are done
    assert re.search(r'class="best" title="mine, step 6: 4.125, kept" style="left:37.50%', html) and ">4.125<" in html
    assert "loss, nats per answer token" in html and "optimizer step" in html
    assert 'aria-label="mine: validation loss 6.000 at step 0, 4.500 at step 8, lowest 4.125 at step 6."' in html


def test_a_second_run_lies_over_it_and_can_be_told_apart_in_grey():
    html = curve([Line(name="one", stages=stages_of(events(8))),
                  Line(name="<two>", stages=stages_of(events(20)), is_other=True)])
    assert html.count("<polyline") == 4 and html.count('class="validation other"') == 2      # line and legend
    assert "&lt;two&gt;" in html and "<two>" not in html
    assert "left:40.00%" in html                                        # step 8 of the longer run's 20


def test_stages_follow_one_another():
    html = curve([Line(name="run", stages=stages_of([*events(8, "first"), *events(8, "second")]))])
    assert '<u style="left:50.00%">second</u>' in html and html.count('class="best"') == 2


@pytest.mark.parametrize("found", [[], [{"kind": "resume", "step": 0}]])
def test_nothing_is_drawn_before_the_first_point(found):
    assert curve([Line(name="run", stages=stages_of(found))]) == ""


@pytest.mark.parametrize("loss", [0.0, 3.0, 1e-9])
def test_one_point_alone_can_be_drawn(loss):
    html = curve([Line(name="run", stages=stages_of([{"kind": "eval", "step": 0, "loss": loss}]))])
    assert 'class="dot"' in html and "nan" not in html


def test_long_runs_are_thinned_and_keep_their_shape():
    points = [(k, float(k)) for k in range(1, 100_001)]
    found = thinned(points)
    assert len(found) == MOST_POINTS and found[0][0] < 200 and found[-1][0] > 99_800
    assert all(abs(step - value) <= 1 for step, value in found)
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]
    stage = Stage("", 0, steps={k: {"loss": value} for k, value in points})
    assert len(curve([Line(name="run", stages=[stage])])) < 12_000


@pytest.mark.parametrize("low, high", [(0, 1), (3.91, 5.62), (0, 58), (-0.06, 1e-4), (0, 1e6), (2.999, 3.001)])
def test_ticks_are_few_round_and_inside(low, high):
    found = ticks(low, high, 5)
    assert 2 <= len(found) <= 6 and all(low - 1e-9 <= one <= high + 1e-9 for one in found)
    assert len({round(b - a, 9) for a, b in zip(found, found[1:], strict=False)}) == 1

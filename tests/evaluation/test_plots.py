import math
from typing import Any
from xml.etree import ElementTree

import pytest

from evaluation import plots
from evaluation.plots import Curve, Whisker, matrix, reliability, whiskers

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x00"


def percent(value: float) -> str:
    return f"{value:.0%}"


def row(name: str, value: float, low: float | None = None, high: float | None = None, **more: Any) -> Whisker:
    return Whisker(name=name, value=value, low=low, high=high, n=more.pop("n", 40), **more)


def drawn(svg: str) -> ElementTree.Element:
    """The picture as a tree. Fails where anything lies outside of it."""
    tree = ElementTree.fromstring(svg)
    width, height = map(float, tree.attrib["viewBox"].split()[2:])
    for node in tree.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("y1", height),
                           ("y2", height), ("cy", height)):
            assert 0 <= float(node.attrib.get(name, 0)) <= most + 0.01, (node.tag, node.attrib)
    return tree


def named(tree: ElementTree.Element, kind: str) -> list[dict[str, str]]:
    return [node.attrib for node in tree.iter() if kind in node.attrib.get("class", "").split()]


def test_a_whisker_spans_its_interval_and_the_line_lies_at_its_figure():
    tree = drawn(whiskers("t", [row("a", 0.5, 0.4, 0.6), row("b", 0.9, 0.8, 1.0, shape=1)], [("always yes", 0.55)],
                          "accuracy", percent))
    line, = named(tree, "trivial")
    spans = [one for one in named(tree, "whisker") if one["y1"] == one["y2"]]
    dot, = named(tree, "first")
    assert float(spans[0]["x1"]) < float(dot["cx"]) < float(line["x1"]) < float(spans[0]["x2"]) < float(spans[1]["x1"])
    assert float(dot["cx"]) == pytest.approx((float(spans[0]["x1"]) + float(spans[0]["x2"])) / 2, abs=0.2)
    texts = [node.text for node in tree.iter() if node.text]
    assert "50% (n = 40)" in texts and "always yes 55%" in texts and "accuracy" in texts


def test_bars_begin_at_zero():
    tree = drawn(whiskers("t", [row("a", 0.8, 0.7, 0.9), row("b", 0.0, 0.0, 0.1)], [], "F1", percent, is_bars=True))
    bars = named(tree, "bar")
    assert {float(one["x"]) for one in bars} == {plots.SIDE} and float(bars[1]["width"]) == 0
    assert "0%" in [node.text for node in tree.iter()]


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.5, 0.5], [1e-9], [12345.678, 12345.679], [-3.2, 4.1], [1e300]])
def test_any_figures_can_be_drawn(values: list[float]):
    tree = drawn(whiskers("t", [row(f"{k}", value) for k, value in enumerate(values)], [], "x", "{:g}".format))
    assert len(named(tree, "first")) == len(values) and 2 <= len(named(tree, "axis")) <= 12


@pytest.mark.parametrize("values", [[0.31, 0.69], [0.0, 1.0], [0.05, 0.051], [13.2, 15.9], [-0.2, 0.3]])
def test_the_axis_has_round_numbers_around_all_figures(values: list[float]):
    low, high, step = plots._range(values)
    assert low <= min(values) and high >= max(values) and 2 <= round((high - low) / step) <= 8
    digit = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(digit - one) for one in (1, 2, 5, 10)) < 1e-6


def test_long_names_lose_their_middle_and_many_rows_their_end():
    name = "gemma-3-1b-it-" + "x" * 80 + "-Q4_K_M.gguf"
    tree = drawn(whiskers("t", [row(name, 0.5, 0.4, 0.6)] * 90, [(name, 0.5)], "x", percent))
    texts = [node.text or "" for node in tree.iter() if "…" in (node.text or "")]
    assert texts and all(len(text) < 66 for text in texts) and all("_K_M.gguf" in text for text in texts)
    assert len(named(tree, "first")) == plots.MOST_ROWS


def test_names_are_text_whatever_they_hold():
    pictures = [whiskers(HOSTILE, [row(HOSTILE, 0.5, 0.4, 0.6)], [(HOSTILE, 0.4)], HOSTILE, percent),
                reliability(HOSTILE, [Curve(name=HOSTILE, points=[(0.5, 0.5, 0.1, 0.9, 3)])]),
                matrix(HOSTILE, [HOSTILE], [HOSTILE], {(HOSTILE, HOSTILE): 3})]
    for svg in pictures:
        tree = drawn(svg)
        assert not [node for node in tree.iter() if "script" in node.tag]
        assert "\x00" not in svg and "\u202e" not in svg


def test_a_believable_model_lies_on_the_diagonal():
    tree = drawn(reliability("t", [Curve(name="a", points=[(0.2, 0.2, 0.1, 0.3, 10), (0.9, 0.9, None, None, 10)]),
                                   Curve(name="b", points=[(0.5, 0.1, 0.0, 0.2, 10)], shape=1)]))
    diagonal, = named(tree, "trivial")
    x1, y1, x2, y2 = (float(diagonal[name]) for name in ("x1", "y1", "x2", "y2"))
    dots = [(float(one["cx"]), float(one["cy"])) for one in named(tree, "first") if "cx" in one][1:]     # 0: the key
    assert len(dots) == 2 and all((x - x1) / (x2 - x1) == pytest.approx((y - y1) / (y2 - y1), abs=1e-2)
                                  for x, y in dots)
    assert len(named(tree, "whisker")) == 2


@pytest.mark.parametrize("count", [1, 3, plots.MOST_LABELS + 1])
def test_a_matrix_shades_each_row_by_its_shares(count: int):
    names = [f"label number {k}" for k in range(count)]
    counts = {(one, other): 3 if one == other else 1 for one in names for other in names}
    tree = drawn(matrix("t", names, names, counts))
    cells = named(tree, "cell")
    assert len(cells) == count * count
    assert float(cells[0]["fill-opacity"]) == pytest.approx(plots.SHADE * 3 / (count + 2), abs=1e-3)
    assert len([node for node in tree.iter() if node.text == "3"]) == count
    empty = matrix("t", ["a"], ["a", "b"], {})
    assert 'fill-opacity="0.000"' in empty

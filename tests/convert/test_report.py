import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from convert.check import EXACT_STOPS, MISSED_OF, OWN_STOPS, Check, FileReport
from convert.plot import Point, svg
from convert.report import check_place, page, write
from models import runs
from models.errors import UserError
from models.page import CSS
from tests.balanced import parsed

HOSTILE = "<script>alert(1)</script>\"'&\u202e"


def file(name: str, kind: str, kl: float | None = 0.01, **values: Any) -> dict[str, Any]:
    report = FileReport(path=Path(name), type_name=kind, bytes=5_000_000, has_importance=values.pop("matrix", False))
    report.checks = [Check(name="prompts with other token ids", figure=0, limit=0, is_ok=True),
                     Check(name="mean KL divergence", figure=kl, limit=None if kl is None else 0.15,
                           is_ok=None if kl is None else kl <= 0.15, note="why" if kl is None else "nats")]
    report.mix = {"Q4_K": {"tensors": 3, "bytes": 4_000_000}}
    report.compared = {} if kl is None else {"tokens": 2000, "heldout_tokens": 1500}
    return report.to_json(name, values.pop("is_forced", False)) | values


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing():
    files = [file("a.gguf", "Q4_K_M"), file("b.gguf", "Q2_K", 0.5)]
    html = page({"title": "x", "base": {"path": "/a"}, "files": files})
    found = parsed(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "a"} & set(found.tags)
    assert not {"src", "href", "style", "onclick"} & {name for name, _ in found.attributes}
    assert "url(" not in html and "http" not in html.replace("http-equiv", "") and "@import" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    assert "prefers-color-scheme: dark" in html and ("name", "viewport") in found.attributes


def test_whatever_a_name_or_a_note_holds_stays_text():
    report = {"title": HOSTILE, "base": {HOSTILE: HOSTILE}, "adapters": [HOSTILE], "heldout": HOSTILE,
              "files": [file(HOSTILE, HOSTILE)]}
    for check in report["files"][0]["checks"]:
        check["note"] = HOSTILE
    report["files"][0]["mix"] = {HOSTILE: {"tensors": 1, "bytes": 2}}
    found = parsed(page(report))
    assert "script" not in found.tags
    assert sum(HOSTILE in text for text in found.texts) >= 8


@pytest.mark.parametrize(("files", "words"), [
    ([], ["No files."]),
    ([file("a.gguf", "Q8_0")], ["1 ✓ green", "a.gguf", "limit 0.15", "5.0 MB", "Q4_K: 3 tensors, 4.0 MB",
                                "2,000 tokens, 1,500 of them"]),
    ([file("a.failed.gguf", "Q8_0", 0.5)], ["1 ✗ red", "a.failed.gguf: mean KL divergence = 0.5 (limit 0.15)"]),
    ([file("a.forced.gguf", "Q8_0", 0.5, is_forced=True)], ["1 ✗ red", "Published although red", "a.forced.gguf"]),
    ([file("a.gguf", "Q8_0", None)], ["1 – not compared", "does not apply", "why"]),
    ([file("a.gguf", "Q2_K", 0.1), file("b.gguf", "Q2_K", 0.08, matrix=True)],
     ["What the importance matrix brought", "-20.0%", "with importance matrix"]),
], ids=["nothing", "green", "red", "forced", "grey", "both ways"])
def test_what_a_person_reads(files: list[dict[str, Any]], words: list[str]):
    html = page({"title": "My model", "files": files, "heldout": None, "importance": "none was wanted"})
    text = "".join(parsed(html).texts)
    assert all(word in text for word in words)
    assert "My model" in text and "none was wanted" in text and "Held-out rowsnone" in text
    assert ("<details open>" in html) is any(one["status"] == "red" for one in files)
    assert ("<svg" in html) is any(one["checks"][1]["figure"] is not None for one in files)


def test_losses_on_other_text_are_not_set_beside_each_other():
    other = file("b.gguf", "Q2_K", 0.08, matrix=True) | {"compared": {"tokens": 900, "heldout_tokens": 0}}
    assert "What the importance matrix brought" not in page({"files": [file("a.gguf", "Q2_K", 0.1), other]})


def test_the_report_keeps_what_it_says_of_files_that_are_still_there(tmp_path: Path):
    write(tmp_path, {"title": "one"}, [file("gone.gguf", "Q8_0"), file("kept.gguf", "Q8_0"), file("new.gguf", "Q8_0")])
    for name in ("kept.gguf", "new.gguf"):
        (tmp_path / name).touch()
    write(tmp_path, {"title": "two"}, [file("new.gguf", "Q4_0")])
    report = runs.read_json(tmp_path / runs.REPORT)
    assert [(one["name"], one["type"]) for one in report["files"]] == [("kept.gguf", "Q8_0"), ("new.gguf", "Q4_0")]
    assert report["title"] == "two"
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "kept.gguf" in html and "gone.gguf" not in html and "two" in html
    assert {path.name for path in tmp_path.iterdir()} == {"kept.gguf", "new.gguf", "report.json", "report.html"}
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize("text", ["[]", '{"files": 3}', '{"files": [{}]}'])
def test_an_earlier_report_that_is_none_is_named(tmp_path: Path, text: str):
    (tmp_path / runs.REPORT).write_text(text, encoding="utf-8")
    for ask in (check_place, lambda folder: write(folder, {}, [])):
        with pytest.raises(UserError, match="report.json is no report of an export; move it away"):
            ask(tmp_path)
    check_place(tmp_path / "nothing here")


def points(*values: tuple[str, float, float]) -> list[Point]:
    return [Point(label=label, size_mb=size, loss=loss, limit=0.1, colour="green", is_filled=False)
            for label, size, loss in values]


def test_the_plot_is_whole_svg_and_small_files_with_much_loss_lie_up_and_left():
    picture = ElementTree.fromstring(svg(points(("Q8_0", 1000, 0.001), ("Q2_K", 300, 0.09), ("F32", 4000, 0.0))))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in picture.iter("circle")]
    assert dots[1][0] < dots[0][0] < dots[2][0] and dots[1][1] < dots[0][1] < dots[2][1]
    labels = {text.text for text in picture.iter("text")}
    assert {"Q8_0", "Q2_K", "F32"} <= labels


def test_labels_of_many_files_do_not_lie_on_each_other():
    names = ("Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "IQ4_NL", "Q5_0", "Q5_K_M", "Q3_K_M")
    given = points(*((name, 600 + 9 * k, 0.03 + k / 1000) for k, name in enumerate(names)))
    picture = ElementTree.fromstring(svg(given))
    boxes = []
    for text in picture.iter("text"):
        if text.text in names:
            width, x, y = 7 * len(text.text), float(text.attrib["x"]), float(text.attrib["y"])
            left = x - width if text.attrib["text-anchor"] == "end" else x
            boxes.append((left, y - 11, left + width, y))
    assert len(boxes) == len(names)
    for k, a in enumerate(boxes):
        assert not [b for b in boxes[:k] if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]]


def test_one_file_alone_and_files_of_one_size_can_be_drawn():
    for given in (points(("Q8_0", 1000, 0.001)), points(("A", 5, 0.0), ("B", 5, 0.0))):
        assert not re.search("nan|inf", svg(given))


def test_the_plot_shows_whole_models_only():
    """An adapter's few megabytes beside them would look like a model that is as good and far smaller."""
    both = page({"files": [file("a.gguf", "Q8_0"), file("b.gguf", "adapter")]})
    assert both.count("<circle") == 1
    assert "<svg" not in page({"files": [file("b.gguf", "adapter")]})


def test_sizes_and_keys_are_told_in_a_persons_words():
    one = file("a.gguf", "Q8_0") | {"bytes": 37_888}
    about = {"reference": {"peak_mb": 12.5, "is_layerwise": False, "refused_rows": 2},
             "importance": {"is_apart": False, "text": "held-out rows"}}
    text = "".join(parsed(page({"files": [one], **about})).texts)
    assert "37.9 kB" in text and "0.0 MB" not in text
    assert "most memory, MB: 12.5" in text and "layer by layer: no" in text
    assert "on rows that are not compared: no" in text
    assert "peak mb" not in text and "is apart" not in text and "refused by the chat template: 2" in text


def test_the_rule_of_stopping_is_told():
    text = "".join(parsed(page({"files": []})).texts)
    assert f"{', '.join(OWN_STOPS[:-1])} and {OWN_STOPS[-1]} must end their own" in text
    assert f"{EXACT_STOPS[-1]} in every answer" in text and set(EXACT_STOPS) - set(OWN_STOPS) == {EXACT_STOPS[-1]}
    assert "may miss one answer in four" in text and MISSED_OF == 4 and "kept every promise" not in text


def test_a_hidden_table_head_is_no_wider_than_the_page():
    [head] = re.findall(r"thead \{([^}]*)\}", CSS.read_text(encoding="utf-8"))
    assert "width: 1px" in head and "overflow: hidden" in head and "display: block" in head

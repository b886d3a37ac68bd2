import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from evaluation import report
from evaluation.items import append_items
from evaluation.report_page import MOST_LISTED, page
from evaluation.report_table import HEADS, table
from models import runs
from models.errors import UserError
from tests.balanced import parsed
from tests.evaluation import made
from tests.evaluation.test_pairs import both

HOSTILE = "<script>alert(1)</script>\"'&\u202e|`*_[x](y)\n# z"
ALL = [(kind, sides) for kind in made.KINDS for sides in (1, 2)]


def written(folder: Path, kind: str, sides: int, count: int = 60) -> dict[str, Any]:
    append_items(folder / runs.ITEMS, made.many(kind, sides, count))
    return report.write(folder, made.stated(kind, sides))


@pytest.mark.parametrize(("kind", "sides"), ALL)
def test_three_files_that_say_the_same(tmp_path: Path, kind: str, sides: int):
    found = written(tmp_path, kind, sides)
    assert {path.name for path in tmp_path.iterdir()} == {"items.jsonl", "report.json", "report.html", "report.md"}
    assert runs.read_json(tmp_path / runs.REPORT) == json.loads(json.dumps(found, allow_nan=False))
    html, markdown = ((tmp_path / name).read_text(encoding="utf-8") for name in (runs.REPORT_PAGE, runs.REPORT_TABLE))
    text = "".join(parsed(html).texts)
    for sentence in found["sentences"]:
        assert sentence in text and sentence.replace("<", "\\<") in markdown
    assert all(print in text and print in markdown for print in list(made.PRINTS.values())[:sides])
    assert ("What changed" in text) is (sides == 2)


@pytest.mark.parametrize(("kind", "sides"), ALL)
def test_the_same_items_give_the_same_bytes_whatever_their_order(kind: str, sides: int):
    items, stated = made.many(kind, sides, 40), made.stated(kind, sides)
    mixed = [one for k in range(40) for one in items if one.number == 39 - k]
    one, other = report.report(stated, items), report.report(stated, mixed)
    assert json.dumps(one) == json.dumps(other) and page(stated, one) == page(stated, other)


def test_leaked_items_are_marked_and_left_out_once_more():
    items = [dataclasses.replace(one, leak="train.csv, line 4: the same" if one.number < 10 else "")
             for one in both("1" * 10 + "0" * 10, "0" * 10 + "1" * 10)]
    found = report.report(made.stated(sides=2), items)
    assert found["whole"]["models"]["model"]["metrics"]["accuracy"]["value"] == 0.5
    clean = found["without_leaked"]
    assert clean["models"]["model"]["metrics"]["accuracy"]["value"] == 0 and clean["items"] == 10
    assert clean["pair"]["metrics"]["accuracy"]["from"] == 1.0 and clean["pair"]["n"] == 10
    assert [one["number"] for one in found["leaked"]] == list(range(10))
    assert {row["items"] for row in found["rows"]} == {"all", "without leaked"}
    text = "".join(parsed(page(made.stated(sides=2), found)).texts)
    assert "row 3: train.csv, line 4: the same" in text and "Also a training row: train.csv, line 4" in text
    none = report.report(made.stated(), made.decided("10"))
    assert none["without_leaked"] is None and none["leaked"] == []


def test_confidence_is_judged_without_leaked_items_as_well():
    items = made.many("accuracy", 1, 60)
    found = report.report(made.stated(), items)
    clean = [one for one in items if not one.leak and not one.skipped]
    assert found["calibration_without_leaked"]["model"]["n"] == len(clean) < found["calibration"]["model"]["n"]
    assert any(text.startswith("Without leaked items: tuned is ") for text in found["sentences"])


def test_skipped_items_are_counted_and_listed():
    found = report.report(made.stated(), made.decided("110s" * 5))
    side = found["whole"]["models"]["model"]
    assert (side["items"], side["scored"], side["skipped"], side["skipped_as_wrong"]) == (20, 15, 5, 0.5)
    assert side["metrics"]["accuracy"]["n"] == 15 and len(found["skipped"]) == 5
    assert "row 3 (tuned): too long: 900 tokens" in "".join(parsed(page(made.stated(), found)).texts)


def test_no_label_where_none_is_right_is_an_answer():
    found = report.report(made.stated("labels"), made.labelled([("", ""), ("a", ""), ("a", "a")]))
    side = found["whole"]["models"]["model"]
    assert side["unanswered"] == 1 and (side["answered"]["n"], side["answered"]["value"]) == (2, 1.0)


def test_groups_stand_apart_with_corrected_p_values():
    items = [dataclasses.replace(one, group=f"g{one.number % 4}") for one in both("1" * 40, "0" * 20 + "1" * 20)]
    found = report.report(made.stated(sides=2), items)
    assert list(found["groups"]) == ["g0", "g1", "g2", "g3"]
    for part in found["groups"].values():
        one = part["pair"]["metrics"]["accuracy"]
        assert part["items"] == 10 and one["p_uncorrected"] == 0.0625 and one["p"] == 0.25
    assert "p_uncorrected" not in found["whole"]["pair"]["metrics"]["accuracy"]


def test_the_real_part_of_a_benchmark_is_not_hidden_by_its_templates():
    items = [dataclasses.replace(one, group="template" if one.number < 30 else "real")
             for one in made.decided("1" * 30 + "0" * 20)]
    found = report.report(made.stated(), items)
    values = {row["items"]: row["value"] for row in found["rows"]}
    assert values == {"all": "60.0%", "template": "100.0%", "real": "0.0%"}


def test_answers_of_another_model_are_refused():
    items = [*made.decided("11"), made.item(2, model="f" * 64)]
    with pytest.raises(UserError, match="Item row 2 was answered by the model ffffffffffff, which this evaluation does "
                                        "not state; its items.jsonl was changed"):
        report.report(made.stated(), items)
    with pytest.raises(UserError, match="row 0"):
        report.report(made.stated(sides=1), made.decided("1", "against"))


@pytest.mark.parametrize(("kind", "sides"), ALL)
def test_nothing_scored_is_no_crash(kind: str, sides: int):
    stated = made.stated(kind, sides, drawn=0)
    for items in ([], [dataclasses.replace(one, skipped="too long", value=None, right=None)
                       for one in made.many(kind, sides, 3)]):
        found = report.report(stated, items)
        parsed(page(stated, found))
        assert "nothing to compare" in found["sentences"][0] or "no item could be scored" in found["sentences"][0]
        json.dumps(found, allow_nan=False)
        assert table(stated, found)


def hostile(kind: str, sides: int) -> tuple[Any, list[Any]]:
    stated = made.stated(kind, sides, title=HOSTILE, licence=HOSTILE, source=HOSTILE, split=HOSTILE, about=HOSTILE,
                         file=HOSTILE, sample=HOSTILE, guard=HOSTILE, notes=(HOSTILE,), left_out=(HOSTILE,),
                         settings={HOSTILE: HOSTILE}, metrics=(HOSTILE,) if kind == "mean" else made.KINDS[kind])
    stated = dataclasses.replace(stated, models=tuple(one | {"name": HOSTILE + one["side"], "source": HOSTILE}
                                                      for one in stated.models))
    items = [dataclasses.replace(one, id=HOSTILE, prompt=HOSTILE, group=HOSTILE, leak=one.leak and HOSTILE,
                                 note=HOSTILE, skipped=one.skipped and HOSTILE,
                                 gold=HOSTILE if kind != "labels" else one.gold + " | " + HOSTILE.replace("|", ""),
                                 answer=HOSTILE if kind != "labels" else one.answer + " | " + HOSTILE.replace("|", ""),
                                 baselines={HOSTILE: 0.2}) for one in made.many(kind, sides, 40)]
    return stated, items


@pytest.mark.parametrize(("kind", "sides"), ALL)
def test_whatever_a_model_or_a_person_wrote_stays_text(kind: str, sides: int):
    stated, items = hostile(kind, sides)
    found = report.report(stated, items)
    html = page(stated, found)
    taken = parsed(html)
    assert "script" not in taken.tags and not {"src", "href", "onclick"} & {name for name, _ in taken.attributes}
    assert sum("<script>" in text for text in taken.texts) > 20
    markdown = table(stated, found)
    assert not re.search(r"(?<!\\)<script", markdown) and "](y)" not in markdown.replace("\\](y)", "")
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert markdown.startswith(f"## {markdown[3:].splitlines()[0]}\n\n- ")     # its lines do not begin new ones
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert cells == {len(HEADS) + 1, 3}


def test_the_page_needs_nothing_from_elsewhere():
    stated = made.stated("labels", 2)
    html = page(stated, report.report(stated, made.many("labels", 2, 40)))
    found = parsed(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "a"} & set(found.tags)
    assert "url(" not in html and "http" not in html.replace("http-equiv", "") and "@import" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    assert found.tags.count("svg") == 6         # overview, groups, labels, two confusions, a reliability curve


def test_what_is_no_unicode_is_written_all_the_same(tmp_path: Path):
    append_items(tmp_path / runs.ITEMS, [made.item(0, prompt="bad \udcff name", id="x\udcff", right=False, value=0.0)])
    report.write(tmp_path, made.stated(file="\udcff.csv"))
    assert "\\udcff" in (tmp_path / runs.REPORT_PAGE).read_text(encoding="utf-8")


def test_long_lists_are_cut_on_the_page_and_whole_in_the_report():
    found = report.report(made.stated(), made.decided("s" * (MOST_LISTED + 40)))
    taken = parsed(page(made.stated(), found))
    assert len(found["skipped"]) == MOST_LISTED + 40 and "And 40 more, in report.json." in "".join(taken.texts)
    assert sum("(tuned): too long" in text for text in taken.texts) == MOST_LISTED


def test_who_reckoned_what_is_said():
    stated = made.stated()
    found = report.report(stated, made.decided("10"))
    text = "".join(parsed(page(stated, found)).texts)
    for name in ("scikit-learn", "scipy", "numpy", "rouge-score"):
        assert re.search(rf"{name} \d", text) and name in found["measured_by"]["libraries"]
    assert f"tuned, fingerprint {'a' * 64}" in text and "Wilson" in text and "McNemar" in text
    assert "Fingerprint of the items" in text and "c" * 64 in text


def test_a_card_says_which_file_was_read_and_whether_training_rows_were_looked_for():
    stated = made.stated(file="/home/somebody/study/made.jsonl", split="500 of 1,000")
    markdown = table(stated, report.report(stated, made.decided("10")))
    assert f"File: made.jsonl, its items' sha256 {'c' * 16}. Official split: 500 of 1,000." in markdown
    assert "somebody" not in markdown and "Nobody looked whether its items stand among the training rows." in markdown
    stated = made.stated(file="hf:cais/mmlu:anatomy, hf:cais/mmlu:virology", guard="0 of 2 items are also among x.")
    markdown = table(stated, report.report(stated, made.decided("10")))
    assert "hf:cais/mmlu:anatomy, hf:cais/mmlu:virology" in markdown and "Nobody looked" not in markdown


def test_an_answer_can_not_turn_the_figure_behind_it_around():
    items = [made.item(0, answer="\u202eC", right=False, value=0.0, probabilities={"\u202eC": 0.9, "yes": 0.1})]
    html = page(made.stated(), report.report(made.stated(), items))
    assert '<bdi>\u202eC</bdi><span class="note"> · 90% sure</span>' in html


def test_what_a_model_card_takes():
    found = report.report(made.stated("labels", 2), made.many("labels", 2, 40))
    assert all(isinstance(value, str) for row in found["rows"] for value in row.values())
    assert all(set(row) == {"benchmark", *HEADS} and row["n"] for row in found["rows"])
    of_groups = [row["metric"] for row in found["rows"] if row["items"] in ("real", "template")]
    assert of_groups == 2 * ["subset accuracy", "subset accuracy", "subset accuracy, change"]
    change, = [row for row in found["rows"] if row["metric"] == "macro F1, change" and row["items"] == "all"]
    assert change["model"] == "base to tuned" and re.fullmatch(r"[+-]\d+\.\d", change["value"])

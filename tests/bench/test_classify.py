import csv
import json
from pathlib import Path

import pytest

from bench import classify as bench
from corpus.same import cases
from models import runs
from tasks.classify import Paper
from tests.tasks.papers import papers


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> bench.Rows:
    """Made-up rows, each third one the row before it with another end."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    made, golds = papers(90, False)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["title", "abstract", "group"])
        for k, (paper, gold) in enumerate(zip(made, golds, strict=True)):
            text = f"{made[k - 1].text} Once more {k}." if k % 3 == 2 else paper.text
            writer.writerow([paper.title, text, "|".join(gold)])
    return bench.read_rows(path)


def test_rows_are_read_in_order_with_their_titles(rows: bench.Rows):
    made, golds = papers(90, False)
    assert rows.papers[0] == made[0] and rows.golds == golds and not rows.labels.is_single


@pytest.mark.parametrize("is_grouped", [False, True])
def test_every_row_is_tested_once_and_never_trained_on_in_that_fold(rows: bench.Rows, is_grouped: bool):
    parts = bench.splits(rows, 0, is_grouped)
    assert sorted(k for _, test in parts for k in test) == list(range(90))
    assert all(sorted(training + test) == list(range(90)) for training, test in parts)
    divided = [group for group in cases(rows.examples, bench.ALIKE) for _, test in parts
               if 0 < len(set(group) & set(test)) < len(group)]
    assert (not divided) is is_grouped


def test_a_fold_is_scored_by_who_said_what(rows: bench.Rows):
    training, test = bench.splits(rows, 0, False)[0]
    fold = bench.Fold(rows, training, test)
    fold.linear()
    fold.said["gold"] = fold.rows.part(test)[1]
    scores = fold.scores()
    assert scores["gold"]["subset"] == scores["gold"]["macro F1"] == scores["gold"]["real subset"] == 1.0
    assert "template subset" not in scores["gold"]
    assert scores[bench.COMMONEST]["subset"] < 0.5 < scores[bench.LINEAR]["subset"] <= 1.0
    assert 0 <= scores[bench.LINEAR]["calibration error"] < 0.2


def test_what_a_run_set_aside_is_found_by_the_lines_of_its_table(tmp_path: Path):
    lines = [json.dumps({"line": line}) for line in (2, 4)]
    (tmp_path / runs.HELDOUT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert bench.held_out(tmp_path, [7, 8, 9]) == [7, 9]


def test_template_sentences_and_real_abstracts_are_scored_apart(rows: bench.Rows):
    text = "Aim: To investigate statins effects on stroke through tia analysis. Methods: 12 patients."
    both = bench.Rows([Paper(text=text), Paper(text="Real.")] * 10, [("cardio",), ("onco", "neuro")] * 10,
                      rows.examples[:20], rows.labels)
    fold = bench.Fold(both, range(10), range(10, 20))
    fold.said["template"] = [("cardio",), ("neuro",)] * 5
    scores = fold.scores()["template"]
    assert (scores["template subset"], scores["real subset"], scores["subset"]) == (1.0, 0.0, 0.5)

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.gather import BUNDLED, Gathered, gather
from corpus.same import Cases, traits
from models import runs
from models.errors import UserError
from tests.corpus.rows import words

DEMO = runs.ROOT / "corpus" / "demo"


def table(path: Path, *pairs: tuple[str, str], columns: tuple[str, ...] = ("question", "answer")) -> str:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *pairs])
    return str(path)


def some(first: int, count: int) -> list[tuple[str, str]]:
    return [(f"Question {words(k, 12)}?", f"Answer {words(k + 10_000, 12)}.") for k in range(first, first + count)]


def taken(**values: object) -> tuple[Gathered, list[str]]:
    notes: list[str] = []
    return gather(DataConfig(**values), notes.append), notes


def rows_of(*parts: tuple) -> Counter[tuple[str, int]]:
    return Counter((row.file, row.line) for part in parts for row in part)


def steps(gathered: Gathered) -> dict[str, int]:
    return {found.step: found.count for found in gathered.findings}


def test_one_file_becomes_three_parts_and_every_row_is_accounted_for(tmp_path: Path):
    pairs = some(0, 100)
    file = table(tmp_path / "a.csv", *pairs, pairs[3], ("Why?", "Because it is so."), ("No answer?", ""))
    gathered, notes = taken(data=(file,))
    assert [len(gathered.training), len(gathered.validation), len(gathered.test)] == [70, 15, 15]
    assert {(out.line, out.reason) for out in gathered.left_out} == {
        (102, f"the same conversation as {file}, line 5"), (103, "its input has 4 characters, fewer than 10"),
        (104, "answer is empty")}
    assert rows_of(gathered.training, gathered.validation, gathered.test, gathered.left_out) == Counter(
        {(file, line): 1 for line in range(2, 105)})
    assert list(steps(gathered)) == ["reading", "whitespace", "identifiers", "boilerplate", "length",
                                     "exact duplicates", "near duplicates", "conflicts", "split", "leak guard"]
    assert steps(gathered)["reading"] == 1 and "103 rows" not in notes[0]
    assert gathered.recognised[0].file == file and list(gathered.fingerprints) == [file]
    json.dumps([dataclasses.asdict(found) for found in gathered.findings])
    assert taken(data=(file,))[0] == gathered
    assert taken(data=(file,), seed=1)[0].test != gathered.test


def test_files_named_for_validation_and_for_the_guard_keep_their_rows_out_of_training(tmp_path: Path):
    pairs = some(0, 30)
    data = table(tmp_path / "a.csv", *pairs)
    held = table(tmp_path / "b.csv", *some(100, 5), pairs[4])
    test = table(tmp_path / "c.csv", *some(200, 5), (pairs[7][0].upper(), "Another answer."))
    gathered, notes = taken(data=(data,), eval=(held,), guard=(test,))
    assert len(gathered.training) == 28 and len(gathered.validation) == 6 and not gathered.test
    assert {out.line: out.reason for out in gathered.left_out} == {
        6: f"it is also in validation ({held}, line 7): the same input",
        9: f"it is also in {test} ({test}, line 7): the same input"}
    assert f"1 of 30 rows for training is also in {test} (1 with the same input): removed from training." in notes
    assert set(gathered.fingerprints) == {data, held, test}
    kept, _ = taken(data=(data,), eval=(held,), guard=(test,), leaks="keep")
    assert len(kept.training) == 30 and not kept.left_out
    assert [found.count for found in kept.findings if found.step == "leak guard"] == [0, 1, 1, 0]


def test_the_bundled_held_out_rows_are_guarded_and_not_against_themselves():
    demo = {"data": (str(DEMO / "train.csv"),), "eval": (str(DEMO / "heldout.csv"),)}
    gathered, _ = taken(**demo)
    assert len(gathered.training) == 126 and len(gathered.validation) == 32 and not gathered.left_out
    with pytest.raises(UserError, match="Every one of 22 rows for training is also in a set that the model is judged"):
        taken(data=demo["eval"])
    assert [path.is_file() for path in BUNDLED.values()] == [True]
    both, _ = taken(data=(*demo["data"], *demo["eval"]))
    assert not [row for row in both.training if row.file == demo["eval"][0]]


def test_a_whole_set_is_guarded_against_however_few_rows_are_read(tmp_path: Path):
    pairs = some(0, 12)
    data, test = table(tmp_path / "a.csv", *pairs), table(tmp_path / "c.csv", *some(100, 20), pairs[0])
    gathered, _ = taken(data=(data,), guard=(test,), limit_rows=10, eval=(table(tmp_path / "b.csv", *some(50, 2)),))
    assert [row.line for row in gathered.training] == list(range(3, 12))


def test_official_parts_of_a_folder_are_kept_and_test_rows_are_nowhere_else(tmp_path: Path):
    pairs = some(0, 20)
    table(tmp_path / "set" / "train.csv", *pairs)
    table(tmp_path / "set" / "validation.csv", *some(30, 4), pairs[1], some(40, 1)[0])
    table(tmp_path / "set" / "test.csv", *some(40, 4), pairs[2])
    gathered, _ = taken(data=(str(tmp_path / "set"),))
    assert [len(gathered.training), len(gathered.validation), len(gathered.test)] == [18, 5, 5]
    assert {(Path(out.file).name, out.line) for out in gathered.left_out} == {
        ("train.csv", 3), ("train.csv", 4), ("validation.csv", 7)}
    other = table(tmp_path / "other.csv", *some(60, 3))
    named, _ = taken(data=(str(tmp_path / "set"),), eval=(other,))
    assert {row.file for row in named.validation} == {other} and len(named.test) == 5
    reasons = Counter(out.reason for out in named.left_out if out.file.endswith("validation.csv"))
    assert reasons == {"its file marks it as validation, and --eval names other rows": 6}


def test_a_folder_to_validate_with_gives_its_validation_rows(tmp_path: Path):
    table(tmp_path / "set" / "train.csv", *some(10, 3))
    table(tmp_path / "set" / "validation.csv", *some(20, 4))
    gathered, _ = taken(data=(table(tmp_path / "a.csv", *some(0, 9)),), eval=(str(tmp_path / "set"),))
    assert len(gathered.validation) == 4
    assert Counter((Path(out.file).name, out.reason.split(",")[0]) for out in gathered.left_out) == {
        ("train.csv", "its file marks it as training"): 3}


def test_invisible_characters_hide_no_leak(tmp_path: Path):
    pairs = some(0, 9)
    hidden = table(tmp_path / "c.csv", *some(50, 2), (pairs[2][0].replace("x", "\u200bx\u00ad"), "Other."))
    gathered, _ = taken(data=(table(tmp_path / "a.csv", *pairs),), eval=(table(tmp_path / "b.csv", *some(20, 4)),),
                        guard=(hidden,))
    assert [out.line for out in gathered.left_out] == [4]


def test_a_guarded_folder_may_hold_the_training_and_the_validation_file(tmp_path: Path):
    folder, pairs = tmp_path / "set", some(0, 20)
    train, held = table(folder / "train.csv", *pairs), table(folder / "validation.csv", *some(50, 4), *some(35, 1))
    table(folder / "test.csv", *some(30, 6), pairs[5])
    gathered, _ = taken(data=(train,), eval=(held,), guard=(str(folder),))
    assert [len(gathered.training), len(gathered.validation)] == [19, 4]
    assert [(Path(out.file).name, out.line) for out in gathered.left_out] == [("validation.csv", 6), ("train.csv", 7)]
    drawn, _ = taken(data=(train,), guard=(str(folder),))
    assert not {7} & {row.line for row in (*drawn.training, *drawn.validation)}


@pytest.mark.parametrize("values, words_of_it", [
    ({}, "No training file is given; name one with --data."),
    ({"data": ("a.csv",), "eval": ("a.csv",)}, "Every one of 3 rows for training is also in a set .* set leaks=keep."),
    ({"data": ("set",)}, "No row is left to validate with: all of them are also in the test rows or in a set"),
    ({"data": ("long.csv",)}, "Cleaning leaves none of 2 rows to train on."),
])
def test_what_leaves_no_rows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict, words_of_it: str):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "a.csv", *some(0, 3))
    table(tmp_path / "long.csv", *((words(k, 600), "Rest and sleep.") for k in range(2)))
    table(tmp_path / "set" / "train.csv", *some(0, 3))
    for name in ("validation", "test"):
        table(tmp_path / "set" / f"{name}.csv", *some(10, 2))
    with pytest.raises(UserError, match=words_of_it):
        taken(**values)


@pytest.mark.parametrize("name, values, sizes", [
    ("mts-dialog", {}, [1172, 100, 200, 29]),
    ("aci-bench", {"max_words": 0}, [67, 20, 0, 0]),
    ("pubmedqa/pqal_dev500.json", {}, [350, 75, 75, 0]),
    ("chatdoctor/chatdoctor5k.json", {}, [3816, 818, 817, 1]),
    ("medlit-challenge/challenge_train2850.csv", {}, [1994, 427, 427, 2]),
    ("medical-abstracts-tc", {}, [1415, 303, 303, 1]),
    ("medquad/medquad_train.jsonl", {}, [6201, 1329, 1329, 141]),
])
def test_real_data_is_divided_with_no_case_on_two_sides(shared_data: Path, name: str, values: dict, sizes: list[int]):
    gathered, _ = taken(data=(str(shared_data / name),), **values)
    parts = (gathered.training, gathered.validation, gathered.test)
    assert [*map(len, parts), len(gathered.left_out)] == sizes
    assert max(rows_of(*parts, gathered.left_out).values()) == 1
    known = traits([*gathered.test, *gathered.validation, *gathered.training])
    border = len(gathered.test)
    judged = Cases(known[:border], DataConfig().similarity)
    assert not [match for one in known[border:border + 400] for match in judged.find(one)]


def test_what_is_masked_is_masked_in_findings_and_guarded_all_the_same(tmp_path: Path):
    def asked(name: str, k: int) -> str:
        return f"Dear Dr. {name}, {words(k, 12)}? Call 555-123-4567."
    pairs = [(asked("Miller", k), f"Yes, {words(k, 6)}.") for k in range(20)]
    data = table(tmp_path / "a.csv", *pairs, (asked("Miller", 1), f"Yes, {words(1, 6)}."))
    test = table(tmp_path / "c.csv", (asked("Miller", 3), "Another answer."), *some(100, 5))
    values = {"data": (data,), "guard": (test,), "eval": (table(tmp_path / "b.csv", *some(200, 4)),)}
    gathered, notes = taken(**values, mask=("all",))
    told = json.dumps([dataclasses.asdict(found) for found in gathered.findings]) + " ".join(notes)
    assert "Miller" not in told and "4567" not in told and "a.csv" in told
    assert "4567" not in json.dumps([row.messages for row in gathered.training]) and gathered.hits
    assert [out.line for out in gathered.left_out] == [22, 5]
    assert "4567" in json.dumps([dataclasses.asdict(found) for found in taken(**values)[0].findings])
    with pytest.raises(UserError, match=r"Every row for training holds an identifier of a kind to drop \(telephone\)"):
        taken(**values, drop=("telephone",))


def test_files_that_are_read_alike_are_told_once(tmp_path: Path):
    for k in range(4):
        table(tmp_path / "set" / f"part{k}.csv", *some(k * 10, 5))
    other = table(tmp_path / "b.csv", *some(100, 3), columns=("prompt", "completion"))
    _, notes = taken(data=(str(tmp_path / "set"), other))
    assert notes[0] == "part0.csv: question/answer (question = question, answer = answer) (and 3 more read alike)"
    assert notes[1].startswith("b.csv: prompt/completion")


def test_rows_of_another_part_are_not_called_unusable(tmp_path: Path):
    table(tmp_path / "set" / "train.csv", *some(10, 3))
    table(tmp_path / "set" / "validation.csv", *some(20, 4))
    _, notes = taken(data=(table(tmp_path / "a.csv", *some(0, 9)),), eval=(str(tmp_path / "set"),))
    assert "13 rows read; 0 can not be used; 3 more are of another part of their files, and not asked for." in notes


def test_a_long_scan_is_announced(tmp_path: Path):
    long = [(f"Question {words(k, 12)}?", "word " * 60_000 + str(k)) for k in range(30)]
    _, notes = taken(data=(table(tmp_path / "a.csv", *long, *some(0, 9)),))
    assert "Searching 39 rows for identifiers of persons: about 6 seconds." in notes


@pytest.mark.parametrize("columns, words_of_it", [
    (("answer=Befund", "Answer=Beurteilung"), "has Answer twice, as 'Befund' and as 'Beurteilung'; give one of them."),
    (("question=Frage", "answer=Frage"), "has the column 'Frage' twice, as question and as answer; give one of them."),
])
def test_contradictory_columns_by_hand(columns: tuple[str, ...], words_of_it: str):
    with pytest.raises(UserError, match=words_of_it):
        DataConfig(columns=columns)
    DataConfig(columns=("group_id=-", "context=-", "answer=Befund"))

"""Sets of labelled texts in a folder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ui.actions.datasets import Datasets, NoSuchSet

TABLE = "abstract,labels\na text,x\nanother text,y\n"


def filled(sets: Datasets, folder: Path, name: str) -> int:
    file = folder / f"{name}.csv"
    file.write_text(TABLE)
    return sets.fill(sets.make(name).id, file, "t.csv").id


def test_the_number_of_a_deleted_set_never_means_another_one(tmp_path: Path):
    sets = Datasets(tmp_path)
    first = filled(sets, tmp_path, "first")
    assert sets.delete(first).name == "first"
    assert filled(sets, tmp_path, "second") != first
    assert [one.name for one in sets.all()] == ["second"]
    with pytest.raises(NoSuchSet):
        sets.samples(first)
    assert [path for path in tmp_path.rglob("*.json*") if path.parent.name == str(first)] == []


def test_sets_can_be_listed_while_others_are_deleted(tmp_path: Path):
    sets = Datasets(tmp_path)
    numbers = [sets.make(f"set {k}").id for k in range(300)]
    with ThreadPoolExecutor(1) as pool:
        deleting = [pool.submit(sets.delete, number) for number in numbers]
        while not all(one.done() for one in deleting):
            sets.all()
    assert sets.all() == []

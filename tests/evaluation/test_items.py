"""Items are written a group at a time and read back as they were; a torn line is not an item."""

import pytest

from evaluation.items import Scored, append_items, read_items
from models.errors import UserError


def item(number, **values):
    return Scored(**{**dict(number=number, id=f"row {number}", prompt="p\n\u2028", answer="yes", gold="no", right=False,
                            value=0.0, model="0" * 16, probabilities={"yes": 0.75, "no": 0.25}), **values})


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "items.jsonl"
    first, second = [item(0), item(1, skipped="too long", right=None, value=None)], [item(0, side="against")]
    append_items(path, first)
    append_items(path, second)
    assert read_items(path) == [*first, *second]
    assert read_items(path, "against") == second and read_items(path, "model") == first


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "items.jsonl"
    append_items(path, [item(0), item(1)])
    path.write_bytes(path.read_bytes()[:-7])
    assert [one.number for one in read_items(path)] == [0]


@pytest.mark.parametrize("line", ["{}", "[1]", "nonsense"])
def test_a_line_that_is_no_item_is_named(tmp_path, line):
    path = tmp_path / "items.jsonl"
    append_items(path, [item(0)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match="line 2, is no item"):
        read_items(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="can not be read"):
        read_items(tmp_path / "none.jsonl")

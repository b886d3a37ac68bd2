import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.formats import json_items
from corpus.formats.json_items import JsonFault, JsonItems

values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                      | st.text(max_size=20), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                      max_leaves=10)


@given(items=st.lists(values), indent=st.none() | st.integers(0, 2), is_ascii=st.booleans(), block=st.integers(1, 40))
def test_items_come_back_however_the_text_is_cut_into_blocks(items: list, indent: int | None, is_ascii: bool,
                                                             block: int):
    text = json.dumps(items, indent=indent, ensure_ascii=is_ascii)
    before, json_items.BLOCK = json_items.BLOCK, block
    try:
        found = list(JsonItems(io.StringIO(text)).items())
    finally:
        json_items.BLOCK = before
    assert [item for _, item in found] == items
    for line, item in found:
        first = json.dumps(item, ensure_ascii=is_ascii)[0]
        assert first in text.split("\n")[line - 1]


def test_a_number_is_whole_however_the_text_is_cut_into_blocks(monkeypatch: pytest.MonkeyPatch):
    numbers = [1.5, 0.25, 1e30, -2e-7, 12345678901234567890, 0, {"a": 3.5}]
    for block in range(1, 20):
        monkeypatch.setattr(json_items, "BLOCK", block)
        assert [item for _, item in JsonItems(io.StringIO(json.dumps(numbers))).items()] == numbers


def test_entries_of_an_object_are_entered_one_by_one():
    reader = JsonItems(io.StringIO('{"a": 1,\n "b": [2,\n 3]}\n {'))
    assert [(line, name, reader.value()) for line, name in reader.names()] == [(1, "a", 1), (2, "b", [2, 3])]
    assert reader.peek() == "{" and reader.line == 4


@pytest.mark.parametrize("text, fault", [
    ('[{"a": 1}\n {}]', "line 2: there is no comma or closing bracket after an item"),
    ('[{"a": 1}, ', r"line 1: Expecting value \(is the end of the file missing\?\)"),
    ('[{"a": 1},\n {"a": "bc', r"line 2: Unterminated string starting at \(is the end of the file missing\?\)"),
    ('[{"a": 1},]', "line 1: Expecting value$"),
    ("[{'a': 1}]", "line 1: Expecting property name enclosed in double quotes"),
    ('[{"a": ' + "[" * 100_000, "line 1: its values are nested too deeply"),
    ("[" + "1" * 5000 + "]", "line 1: Exceeds the limit"),
])
def test_a_fault_is_named_with_its_line(text: str, fault: str):
    with pytest.raises(JsonFault, match=fault):
        list(JsonItems(io.StringIO(text)).items())


def test_a_fault_at_the_start_is_found_without_reading_on():
    class Endless(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            read.append(size)
            return super().read(size)
    read: list = []
    with pytest.raises(JsonFault):
        list(JsonItems(Endless('[{"a": 1 "b": 2}, ' + '{"a": "long"}, ' * 1_000_000)).items())
    assert read == [json_items.BLOCK]

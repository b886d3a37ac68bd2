import pytest

from corpus.layouts.layout import RowError, structure, text_of


@pytest.mark.parametrize("value, text", [(None, ""), (float("nan"), ""), (" a\r\nb ", "a\nb"), (0, "0"), (2.5, "2.5")])
def test_a_value_as_text(value: object, text: str):
    assert text_of("column", value) == text


@pytest.mark.parametrize("value, reason", [
    ([], "column holds a list"), ({"a": 1}, r"column holds an object, .* as column\.a"), (b"a", "column holds bytes")])
def test_what_is_no_text(value: object, reason: str):
    with pytest.raises(RowError, match=reason):
        text_of("column", value)


@pytest.mark.parametrize("cell, held", [
    ('["a", null]', ["a", None]), ("['a', None]", ["a", None]), (' {"a": 1} ', {"a": 1}),
    ("[draft] text", "[draft] text"), ("[not a list]", "[not a list]"), ("a", "a"), (["a"], ["a"]), (None, None),
])
def test_a_list_or_an_object_in_a_cell(cell: object, held: object):
    assert structure(cell) == held

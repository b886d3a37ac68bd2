from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.tidy import tidied
from tasks.summarise import request

ODD = st.text(st.one_of(st.sampled_from(" \t\n\r\x0b\x00\x1c\u00a0\u200b\ufeff\u2028\u202e\u3000ab."), st.characters()))


@pytest.mark.parametrize("text, expected", [
    ("2008.  She  is\twell. \r\nNext\r line", "2008. She is\twell.\nNext\n line"),
    ("a\u00a0b\u3000c\u2009d", "a b c d"),
    ("zero\u200b width\ufeff, soft\u00adhyphen\x00 nul\x1b[0m", "zero width, softhyphen nul[0m"),
    ("a\n\n\n\n b\n  - c\n", "a\n\n b\n  - c"),
    ("x\u2028y\x85z\x0cnew page", "x\ny\nz\nnew page"),
    ("می\u200cخواهم 👩\u200d⚕️", "می\u200cخواهم 👩\u200d⚕️"),
    ("µg ½ m² é", "µg ½ m² é"),
    ("\x00\u200b \n", ""),
])
def test_whitespace_and_control_characters_are_put_in_order(text: str, expected: str):
    assert tidied(text) == expected


@given(ODD)
def test_tidying_twice_changes_nothing_more_and_loses_no_letter(text: str):
    once, changes = tidied(text), Counter()
    assert tidied(once, changes) == once and not changes
    assert [c for c in once if c.isalnum()] == [c for c in text if c.isalnum()]


@given(ODD)
def test_an_input_stays_a_part_of_its_request(text: str):
    assert tidied(text.strip()) in tidied(request(text.strip(), "ROS"))


def test_changes_are_counted_by_kind():
    changes: Counter[str] = Counter()
    tidied("a  b   c\x00\x01 \r\n", changes)
    assert changes == {"run of spaces": 2, "control character": 2, "line end": 1, "space at a line's end": 1,
                       "space around the text": 1}

"""The little language of the sign files."""

import pytest

from tasks.safety.patterns import compiled

GROUPS = {"pain": "pain*|hurt*\nache", "loop": "{pain} now"}


@pytest.mark.parametrize("pattern, yes, no", [
    ("chest pain", "my chest pain ", "chest wall pain "), ("chest ~ pain", "chest wall pain ", "chest . pain "),
    ("chest ~ pain", "chest is in much pain ", "chest is in very much pain "),
    ("chest ~~ pain", "chest , and also the arm pain ", "chest is fine . no pain "),
    ("pain*", "painful ", "repaint "), ("[left] arm", "arm ", "left "),
    ("(left|right one) arm", "right one arm ", "one arm "),
    ("{pain}", "hurting ", "harm "), ("{loop}", "ache now ", "ache "), (r"/[3-5]\d/ c", "39 c ", "139 c "),
    ("a|b c", "b c ", "c ")])
def test_what_a_pattern_finds(pattern: str, yes: str, no: str):
    assert compiled(pattern, GROUPS).search(yes) and not compiled(pattern, GROUPS).search(no)


@pytest.mark.parametrize("pattern", ["", "(a", "a)", "/[0-9", "Upper", "a + b"])
def test_a_wrong_pattern_is_told(pattern: str):
    with pytest.raises(ValueError):
        compiled(pattern, GROUPS)


def test_a_blank_stops_a_gap():
    assert not compiled("chest ~ pain", GROUPS).search("chest _ _ pain ")

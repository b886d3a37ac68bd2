import dataclasses
import json

from corpus.findings import SHOWN_ROWS, excerpt, finding, rows_word, shown
from tests.corpus.rows import row, words


def test_a_finding_is_json_and_says_how_many_rows_it_does_not_show():
    found = finding("length", 5000, "Text.", (shown(row(k, words(k, 5))) for k in range(SHOWN_ROWS + 5)))
    assert len(found.rows) == SHOWN_ROWS + 1 and found.rows[-1] == {"file": "", "line": 0, "why": "and 5 more rows"}
    assert json.loads(json.dumps(dataclasses.asdict(found)))["rows"][0] == {
        "file": "a.csv", "line": 0, "input": words(0, 5), "answer": "Rest, and drink enough water."}


def test_an_excerpt_is_one_short_line():
    assert excerpt("a\n b\t c") == "a b c"
    assert len(excerpt(words(1, 2000))) == 200 and excerpt(words(1, 2000)).endswith("…")


def test_a_conversation_is_shown_by_all_that_each_side_says():
    example = row(1, "Hi")
    both = dataclasses.replace(example, messages=example.messages * 2, section="ROS")
    assert shown(both, "other_") == {
        "other_file": "a.csv", "other_line": 1, "other_input": "Hi Hi", "other_section": "ROS",
        "other_answer": "Rest, and drink enough water. Rest, and drink enough water."}


def test_rows_are_counted_in_plain_english():
    assert [rows_word(1), rows_word(1201), rows_word(1, "have"), rows_word(0, "have")] == [
        "1 row", "1,201 rows", "1 row has", "0 rows have"]

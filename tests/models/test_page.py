import re

from models.page import CSS, POLICY, page, table
from tests.balanced import parsed


def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing():
    html = page("A <title>", ["<p>one</p>", "", "<p>two</p>"], ".mine { color: red; }")
    found = parsed(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "a"} & set(found.tags)
    assert ("content", POLICY) in found.attributes and "default-src 'none'" in POLICY
    assert "url(" not in html and "@import" not in html and ".mine" in html
    assert "A <title>" in found.texts and found.tags.count("p") == 2


def test_dark_is_for_the_screen_and_not_for_paper():
    text = CSS.read_text(encoding="utf-8")
    for query in re.findall(r"@media ([^{]*)\{", text):
        assert "dark" not in query or query.startswith("screen and")
    assert text.index("color-scheme: light dark") > text.index("@media screen")


def test_a_table_calls_its_cells_by_name_where_it_is_a_list_of_cards():
    found = parsed(table(["File", "Size", "Note"], ["name", "number", ""], [["a", "1", ""], ["b", "2", "x"]]))
    assert [value for name, value in found.attributes if name == "data-label"] == ["Size", "Size", "Note"]
    assert ("class", "number") in found.attributes and found.tags.count("tr") == 3
    assert parsed(table(["<b>"], [""], [["&lt;"]])).texts == ["<b>", "<"]

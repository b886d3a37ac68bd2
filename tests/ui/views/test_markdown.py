import re
import time
from html.parser import HTMLParser

import pytest

from ui.views.markdown import LONGEST, rendered

OURS = {"p", "br", "strong", "em", "s", "code", "pre", "a", "ul", "ol", "li", "blockquote", "hr", "div", "span",
        "button", "table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"}
ATTRIBUTES = {"href", "target", "rel", "title", "class", "data-tex", "data-act", "type", "tabindex", "start", "style"}
COVER = '<div style="position:fixed;inset:0">PHISH</div><img src="http://evil.example/1.png" onerror="alert(1)">'


class Tags(HTMLParser):
    """What a browser would find in a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.others: list[str] = []                     # comments, instructions, declarations

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_comment(self, data):
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.mark.parametrize("text", [
    COVER, f"`{COVER}`", f"\\`{COVER}\\`", f"`{COVER}\n# x `", f"``` a`b\n{COVER}\n", f"```\nx\n```~ {COVER}\n",
    f"- a\n    ```\n    x\n```\n{COVER}", f"| a | b |\n|---|---|\n| `x | y` {COVER} |", f"$${COVER}$$",
    f"\\({COVER}\\)",
    f"$${COVER}\n{COVER}$$", f"> ```\n> x\n\n{COVER}", "[a](javascript:alert(1)) <javascript:alert(1)>",
    "[a](data:text/html,x) [b](//evil.example) [c](/settings)",
    "<script>alert(1)</script> <!-- x --> <?php ?> <![CDATA[x]]>",
    f"```{COVER}\nx\n```", "```\" onclick=\"alert(1)\nx\n```", '[a](http://x "t\\" onclick=alert(1)")',
    "![x](http://evil.example/2.png) ![y][r]\n\n[r]: http://evil.example/3.png", "&lt;img src=x&gt; &#60;img src=x>",
    f'[a]({"x" * 10}"onmouseover="alert(1))', f"# {COVER}\n\n1. {COVER}\n\n<details>{COVER}</details>"])
def test_no_tag_is_in_it_but_ours_and_nothing_loads(text: str):
    found = Tags()
    found.feed(rendered(text))
    found.close()
    for name, values in found.tags:
        assert name in OURS and set(values) <= ATTRIBUTES, (name, values)
        assert values.get("href", "http:").startswith(("http:", "https:", "mailto:"))
        assert "href" not in values or values["rel"] == "noopener noreferrer nofollow"
        assert re.fullmatch(r"|text-align:(left|right|center)", values.get("style", ""))
    assert not found.others


def test_what_a_model_writes_is_rendered():
    html = rendered("**b** `a < b`\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\n```py\nx < 1\n```\nline\nbreak ~~no~~")
    for part in ("<strong>b</strong>", "<code>a &lt; b</code>", "<td", "x &lt; 1", "line<br />\nbreak", "<s>no</s>",
                 '<span class="language">py</span>'):
        assert part in html


@pytest.mark.parametrize("text, formulas", [
    ("$$x<y$$", ["x&lt;y"]), (r"\(a_b\) and \[c\]", ["a_b", "c"]), ("$x^2$ and $y$.", ["x^2", "y"]),
    ("it costs $5 and $10, or $5-$10", []), ("$ 5$ or $5 $", []), ("$$\na\n- b\n= c\n$$", ["a\n- b\n= c"]),
    ("\\[\nx\n\\]\ntext", ["x"]), ("> $$\n> q\n> $$", ["q"]), ("$$ open\n\nnext $$", []), ("`$x$` \\$x$", []),
    ("```\n$$x$$\n```", []), ("$$x$$ text $$y$$", ["x", "y"])])
def test_formulas_are_told_from_money_and_code(text: str, formulas: list[str]):
    assert re.findall(r'data-tex="([^"]*)"', rendered(text)) == formulas


@pytest.mark.parametrize("text", ["\\(" * 9000, "[" * 20000, "*a_ " * 9000, "> " * 9000, "a\n$$ b\n" * 5000,
                                  "![" * 9000,
                                  "|a" * 9000 + "\n|-" * 1000, "`" * 20000, "<" * 50_000])
def test_hostile_text_does_not_hold_the_page_up(text: str):
    start = time.process_time()
    rendered(text)
    assert time.process_time() - start < 20             # it is quadratic or worse where it is wrong: minutes


def test_what_is_far_too_long_is_shown_as_it_was_written():
    assert rendered("**a** <b>" + "x" * LONGEST).startswith("<pre>**a** &lt;b&gt;x")

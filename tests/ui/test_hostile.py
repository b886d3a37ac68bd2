"""An answer that wants to be more than text, in a real Chromium."""

import pytest

from tests.ui.conftest import CHROMIUM
from ui.history import History, Message, new_id

pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

HOSTILE = """<img src="http://evil.example/1.png" onerror="alert(1)"> ![x](http://evil.example/2.png)
[click](javascript:alert(2)) <script>alert(3)</script> <svg onload="alert(4)"><image href="http://evil.example/3.png"/></svg>
<iframe src="http://evil.example/4"></iframe> <video src="http://evil.example/5.mp4" poster="http://evil.example/6.png">
</video> <style>body { background: url(http://evil.example/7.png) }</style> <link rel="stylesheet" href="http://evil.example/8">
<form action="http://evil.example/9"><input type="image" src="http://evil.example/10.png"></form> `<img src=x>`
<meta http-equiv="refresh" content="0;url=http://evil.example/11"> <p style="position:fixed;inset:0">over</p> ![y][ref]

[ref]: http://evil.example/12.png

```html
<img src="http://evil.example/13.png">
```

```mermaid
graph TD; A["<img src='http://evil.example/14.png' onerror='alert(5)'>"] --> B; click B "javascript:alert(6)"
```

$$\\includegraphics{http://evil.example/15.png}$$ $$\\href{javascript:alert(7)}{x}$$ last words"""
COVER = '<div style="position:fixed;inset:0;z-index:99999;background:#fff">PHISH</div>'
OVER = f'{COVER}<img src="http://evil.example/16.png">'
# Each looks like code to somebody, and is none to Gradio's renderer, or the other way round.
HIDDEN = (
    f"\\`{OVER}\\`", f"`{OVER}\n# x `", f"`{OVER}\n- x `", f"`{OVER}\n===\n`", f"``` a`b\n{OVER}\n",
    f"```\nx\n```~ {OVER}\n",
    f"- a\n    ```\n    x\n```\n{OVER}\n```", f"| a | b |\n|---|---|\n| `x | y` {OVER} |\n`{OVER} |` |", f"$${OVER}$$",
    f"> ```\n> x\n\n```\n{OVER}\n```\n{OVER}", "\\![a](http://evil.example/17.png) \\\\![a](http://evil.example/18.png)",
    "[![a](http://evil.example/19.png)](http://x) `` ![a](http://evil.example/20.png)", f"~~~ a~b`\n```\n~~~\n{OVER}")
TOP = "document.elementFromPoint(30, 30).innerText"


def written(app, *answers: str) -> str:
    """The address of a conversation in which these were answered."""
    history, conversation = History(app.home), new_id()
    for text in answers:
        number, = history.ask(conversation, "<b>hostile</b> <img src=http://evil.example/0.png onerror=alert(0)>")
        history.finish(conversation, Message(id=number, role="assistant", text=text))
    history.close()
    return f"{app.url}/?c={conversation}"


def test_hostile_answer_loads_and_runs_nothing(app, open_page):
    page = open_page(written(app, HOSTILE, *HIDDEN))
    page.wait_for_selector(".bot-row")
    page.wait_for_timeout(1500)                         # time to load what it must not
    assert "last words" in page.inner_text(".bot-row") and len(page.query_selector_all(".bot-row")) == 1 + len(HIDDEN)
    elements = "img, script, iframe, video, style, link, form, meta, [style*=fixed], [onerror], [onload], [href^=java]"
    assert page.eval_on_selector_all(f".prose :is({elements})", "all => all.map((one) => one.outerHTML)") == []
    assert open_page.said == []                         # no dialog, and nothing for the content policy to block
    assert "PHISH" not in page.evaluate(TOP)
    page.evaluate("over => document.querySelector('.bot-row .prose').insertAdjacentHTML('beforeend', over)", COVER)
    assert "PHISH" not in page.evaluate(TOP)            # had it got through: it can not leave its turn


def test_what_is_copied_is_what_was_written(app, open_page):
    code = "<b>bold</b> if (a<b) !important ![x](y)"
    page = open_page(written(app, f"Say `{code}`.\n\n```html\n{code}\n```\n\n$$x<y$$"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.wait_for_selector(".bot-row pre")
    assert page.text_content(".bot-row p code") == code
    page.click(".bot-row .copy-code")
    assert page.evaluate("navigator.clipboard.readText()").strip() == code
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.bot-row p code'))")
    page.keyboard.press("Control+C")
    assert page.evaluate("navigator.clipboard.readText()") == code
    assert page.evaluate("document.querySelector('.bot-row .katex-html').innerText") == "x<y"

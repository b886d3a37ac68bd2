"""The one page that those see who have not shown the token, and the cookie they get for it."""

import html
import re
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

PATH = "/login"
MOST_BYTES, MOST_FIELDS = 4096, 10
BACK = re.compile(r"/(?!/)[\w/?=&.~-]*", re.ASCII)          # addresses of ours; "//host" is another machine
WRONG = "This is not the token. Look at the terminal of the computer on which Galen runs, or make a new one there."

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Galen</title><style>
:root {{ color-scheme: light dark; --ground: #FAFAF7; --surface: #FFFFFF; --line: #C9CCC4; --ink: #1B2625;
  --muted: #5C6B69; --accent: #0F766E; --on-accent: #FFFFFF; --danger: #B91C1C; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #0F1514; --surface: #171F1E; --line: #3D4B48;
  --ink: #E5ECEA; --muted: #93A3A0; --accent: #2DD4BF; --on-accent: #08211E; --danger: #F87171; }} }}
body {{ margin: 0; min-height: 100dvh; display: grid; place-items: center; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
main {{ width: min(400px, calc(100vw - 32px)); }}
h1 {{ font-size: 28px; margin: 0 0 8px; }} p {{ margin: 0 0 16px; color: var(--muted); }}
label {{ display: block; margin-bottom: 4px; }}
input, button {{ box-sizing: border-box; width: 100%; min-height: 44px; padding: 8px 12px; font: inherit;
  border-radius: 8px; border: 1px solid var(--line); background: var(--surface); color: var(--ink); }}
button {{ margin-top: 12px; background: var(--accent); border-color: var(--accent); color: var(--on-accent); }}
:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px; }}
p[role=alert] {{ color: var(--danger); margin: 12px 0 0; }}
</style></head><body><main><h1>Galen</h1>
<p>This Galen asks for its token. It was shown once, in the terminal or in the settings, when it was made.</p>
<form method="post" action="/login"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<input type="hidden" name="to" value="{to}"><button type="submit">Open Galen</button>{problem}</form>
</main></body></html>
"""


def page(to: str, problem: str = "", status: int = 401) -> Response:
    """The form; to: where the person wanted to go."""
    told = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    return HTMLResponse(PAGE.format(to=html.escape(_back(to)), problem=told), status_code=status,
                        headers={"Referrer-Policy": "same-origin"})     # with none, browsers send Origin: null


def read(body: bytes) -> tuple[str, str]:
    """(the token, where to go) that a form holds."""
    try:
        sent = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:                              # more fields than that
        return "", "/"
    return sent.get("token", [""])[0].strip(), _back(sent.get("to", ["/"])[0])


def cookie_name(scope: Scope) -> str:
    """What the cookie is called: browsers keep those of all ports of a machine together."""
    return f"galen-{(scope.get('server') or ('', 0))[1]}"


def let_in(name: str, cookie: str, to: str) -> Response:
    """The way on, with the cookie: kept from scripts and from other pages' requests, and for this visit only."""
    answer = RedirectResponse(to, status_code=303)
    answer.set_cookie(name, cookie, httponly=True, samesite="strict", path="/")
    return answer


def _back(to: str) -> str:
    return to if BACK.fullmatch(to) else "/"

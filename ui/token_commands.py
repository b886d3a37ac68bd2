"""The command `token`: what it asks for, and what it prints; the token itself is never shown."""

import argparse
import getpass
import json
import sys
import warnings
from dataclasses import asdict
from typing import Any

from models import access, token
from models.access import Access
from models.errors import UserError
from tasks.visible import visible
from ui.actions import token as actions

ASKED = "The token (it is not shown; paste it and press Enter): "
MOST_BYTES = 1 << 16            # read from a pipe


def run(options: argparse.Namespace) -> int:
    """Take a token (from the terminal without echo, or from a pipe), or one of the other three. Status 2 where
    something is left for the person to do."""
    if options.words:
        raise UserError("A token is not given in the command line, which the terminal remembers and other programs can "
                        f"read. If that was one, delete it at {token.PAGE}, make a new one, and paste it when asked.")
    if options.status:
        return _status(options.json)
    if options.forget:
        return _said(actions.forget(), None, options.json)
    model = actions.chosen(options.model)
    if options.test:
        return _said("", actions.test(model.repo), options.json)
    text = _asked(model, options) if sys.stdin.isatty() else _piped()
    if not text.strip() and sys.stdin.isatty() and actions.state().source:
        return _said("The token that was there stays.", None if options.no_test else actions.test(model.repo),
                     options.json)
    told, words = actions.keep(text, model.repo, not options.no_test)
    return _said(words, told, options.json)


def _status(is_json: bool) -> int:
    now = actions.state()
    if is_json:
        print(json.dumps(asdict(now)))
    if now.problem:
        raise UserError(now.problem)
    if not is_json:
        others = f" It goes before what is set in {', '.join(now.others)}." if now.others else ""
        print(f"A token is there, from {now.source}.{others}" if now.source else
              f"There is no token. Make one at {token.NEW_PAGE}, then: python launcher.py token")
    return 0


def _asked(model: actions.Gated, options: argparse.Namespace) -> str:
    """What is typed or pasted, after the pages it comes from were named and opened."""
    found = actions.state()
    _say(f"1. Make a token there (log in, then Create token): {token.NEW_PAGE}")
    _say(f"2. Accept the licence of {model.title} there: {model.page}")
    if not options.no_browser:
        actions.open_pages([token.NEW_PAGE, model.page])
    if found.source:
        tests = "" if options.no_test else " and tests it"
        _say(f"There is a token already, from {found.source}; Enter alone keeps it{tests}.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(ASKED, stream=sys.stderr)
        except getpass.GetPassWarning as error:
            raise UserError("This terminal can not hide what is typed, so the token is not asked for here. Give it "
                            "through a pipe, or in Settings.") from error
        except (EOFError, UnicodeDecodeError) as error:     # or what was pasted is no text
            _say("")
            return "" if isinstance(error, EOFError) else "\ufffd"


def _piped() -> str:
    """What comes through a pipe, in any encoding; said first, for a person whose terminal is taken for one."""
    _say("The token is read from the input, to its end.")
    return token.decoded(sys.stdin.buffer.read(MOST_BYTES))


def _said(words: str, told: Access | None, is_json: bool) -> int:
    """Print what was done and what the hub said; what is left to do goes to stderr, with status 2."""
    is_done = told is None or told.verdict == access.YES
    if is_json:
        values: dict[str, Any] = {"done": words, **({} if told is None else asdict(told))}
        print(json.dumps(values))
    for line in [] if is_json else [words, told.words if told and is_done else ""]:
        if line:
            print(visible(line))
    if told and not is_done:
        raise UserError(visible(told.words))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

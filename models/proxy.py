"""The proxies of this computer: kept from the process that serves the page, handed on to those that go outside."""

import json
import os

KEPT = "GALEN_PROXIES"          # in the environment: the variables that were taken out of it, as JSON


def hide() -> None:
    """Take them out of this process's environment: it asks this machine only, and gradio wants more for SOCKS."""
    names = [name for name in os.environ if name.lower().endswith("_proxy")]
    if names:
        os.environ[KEPT] = json.dumps({**hidden(), **{name: os.environ.pop(name) for name in names}})


def hidden() -> dict[str, str]:
    """What hide() took out, for the environment of a child that may go outside; empty where there was none."""
    return dict(json.loads(os.environ.get(KEPT, "{}")))

"""The doctor's round: every look in its order, what comes out of it in lines, as JSON, and as an exit status."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from tasks.visible import visible
from ui.doctor import engines, machine, packages, place, reach, smoke
from ui.doctor.finding import BAD, CAUTION, NOTHING_TO_DO, Finding, Look, looked

LOOKS: tuple[tuple[str, Look], ...] = (
    ("Python", machine.python), ("System", machine.system), ("Processor", machine.processor),
    ("Memory", machine.memory), ("Set-up", packages.environment), ("Packages for chat", packages.chat_set),
    ("Packages for training", packages.training_set), ("Your folder", place.home), ("Download cache", place.cache),
    ("Temporary files", place.scratch), ("Settings", place.settings), ("llama.cpp", engines.engines),
    ("Smoke prompt", smoke.smoke), ("Port", reach.port), ("Browser", reach.browser), ("Token", reach.token))
OUTSIDE: tuple[tuple[str, Look], ...] = (("Network", reach.network),)
WIDTH, NAME_WIDTH, STATE_WIDTH = 110, 22, 8


def findings(with_network: bool = False) -> Iterator[Finding]:
    """Every finding as it is made. Nothing outside this computer is asked, unless with_network."""
    is_broken = False
    for name, look in (*LOOKS, *(OUTSIDE if with_network else ())):
        if look is smoke.smoke and is_broken:
            continue            # it would only wait for the same crash
        for finding in looked(name, look):
            is_broken = is_broken or (finding.name, finding.state) == ("llama.cpp", BAD)
            yield finding


def lines(finding: Finding) -> list[str]:
    """One finding for a terminal: state, name, what was found; then what to do."""
    where = visible(f" ({finding.personal})") if finding.personal else ""
    before = f"{finding.state:{STATE_WIDTH}} {finding.name:{NAME_WIDTH}} "
    told = [finding.found + where] + ([] if finding.advice == NOTHING_TO_DO else [finding.advice])
    return [line for k, text in enumerate(told) for line in textwrap.wrap(
        text, WIDTH, initial_indent=" " * len(before) if k else before, subsequent_indent=" " * len(before),
        break_long_words=False, break_on_hyphens=False)]


def verdict(made: Sequence[Finding]) -> str:
    """All of them in one sentence."""
    bad = [one.name for one in made if one.state == BAD]
    cautions = sum(one.state == CAUTION for one in made)
    also = f" {cautions} {'finding asks' if cautions == 1 else 'findings ask'} for caution." if cautions else ""
    if bad:
        return f"To be mended: {', '.join(bad)}.{also}"
    return f"Galen can be used here.{also}"


def status(made: Sequence[Finding]) -> int:
    """The exit status: 2 when something is bad, else 0."""
    return 2 if any(one.state == BAD for one in made) else 0


def as_json(made: Sequence[Finding]) -> dict[str, Any]:
    """All findings, for scripts on this computer: paths are in it."""
    return {"is_usable": status(made) == 0, "verdict": verdict(made),
            "findings": [{"name": one.name, "state": one.state, "found": one.found, "advice": one.advice,
                          "personal": one.personal} for one in made]}

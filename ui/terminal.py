"""A job's events as lines in a terminal: progress that overwrites itself, or plain lines in a log."""

import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO

QUIET_S = 5.0                   # between two progress lines where nothing can be overwritten


class Progress:
    """Prints events to a stream (stderr, so that --json leaves stdout alone)."""

    def __init__(self, out: TextIO = sys.stderr):
        self._out = out
        self._is_live = out.isatty()
        self._open = False
        self._last_s = 0.0

    def follow(self, events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Print each event as it comes; returns all of them."""
        seen = []
        for event in events:
            seen.append(event)
            self.show(event)
        return seen

    def show(self, event: dict[str, Any]) -> None:
        """Print one event; steps and counted phases overwrite one another in a terminal."""
        text = event_line(event)
        if not text:
            return
        is_passing = event["kind"] == "step" or event.get("of", 0) > 1
        if not is_passing:
            self.line(text)
        elif self._is_live:
            self._out.write(f"\r\x1b[2K{text}")
            self._out.flush()
            self._open = True
        elif time.monotonic() - self._last_s >= QUIET_S or event.get("step", 0) == event.get("steps"):
            self._last_s = time.monotonic()
            self.line(text)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._out.write(("\n" if self._open else "") + text + "\n")
        self._out.flush()
        self._open = False


def event_line(event: dict[str, Any]) -> str:
    """One event in words; "" for what a person need not see."""
    kind = event["kind"]
    if kind == "step":
        left = f", {duration(event['left_s'])} left" if event.get("left_s") is not None else ""
        speed = f", {event['tokens_per_s']:,.0f} tokens/s" if event.get("tokens_per_s") else ""
        return f"step {event['step']}/{event['steps']}, loss {event['loss']:.3f}{speed}{left}"
    if kind == "eval":
        return f"step {event['step']}: validation loss {event['loss']:.3f}"
    if kind == "row":
        return f"{event['file']}, line {event['line']}: left out, {event['reason']}"
    if kind == "stopped":
        return "Stopped, as asked."
    if kind == "phase":
        return event["text"] + (f" ({event['done']} of {event['of']})" if event.get("done") else "")
    return str(event["text"]) if kind == "note" else ""


def duration(seconds: float) -> str:
    """"45 s", "2 min 05 s", "1 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def demo_table(result: dict[str, Any]) -> str:
    """The demonstration's figures as a table, then one question with everybody's answer."""
    lines = [f"{'model':<12} {'val loss':>9} {'ROUGE-L':>8} {'MB':>7} {'tokens/s':>9} {'ended':>7}"]
    for row in result["rows"]:
        lines.append(f"{row['model']:<12} {row['val_loss']:>9.3f} {row['rouge_l']:>8.3f} {row['bytes'] / 1e6:>7.1f} "
                     f"{row['tokens_per_s']:>9.0f} {row['stopped']:>3}/{row['rows']}")
    lines += ["", result["question"], "", f"Written by hand: {result['reference']}"]
    lines += [f"{name}: {answer}" for name, answer in result["answers"].items()]
    lines += ["", f"Streamed through the chat: {result['chat']}", "",
              f"{duration(result['wall_s'])}, at most {result['peak_rss_mb']:,.0f} MB in all processes together. "
              f"Everything is in {result['folder']}."]
    return "\n".join(lines)

"""A job's events as lines in a terminal: progress that overwrites itself, or plain lines in a log."""

import contextlib
import io
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from tasks.visible import visible

QUIET_S = 5.0                   # between two progress lines where nothing can be overwritten
ANSWER_WIDTH = 100              # characters shown of a question or an answer
SHOWN_PROBLEMS = 10
SCORES = {"accuracy": "accuracy", "subset_accuracy": "all labels right", "macro_f1": "macro F1",
          "micro_f1": "micro F1", "rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L"}
METRICS = {"rouge_l": "ROUGE-L", "macro_f1": "macro F1", "accuracy": "accuracy"}


def open_streams() -> None:
    """Let everything be printed: a closed stream becomes an empty one, and what an encoding lacks is spelled out.

    Then no file that is opened later has the number of a closed stream, into which a library might print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)    # a child has it too, even where open() gave it that very number
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))      # noqa: SIM115, it stays
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):          # somebody has read from it before
                stream.reconfigure(errors="backslashreplace" if number else "replace")


def close_output() -> None:
    """Let what is still printed go nowhere where nobody takes it any more: a full disk, a program that has ended."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
        is_passing = event["kind"] in ("step", "progress") or event.get("of", 0) > 1
        if not is_passing:
            self.line(text)
        elif self._is_live:
            self._out.write(f"\r\x1b[2K{text}")
            self._out.flush()
            self._open = True
        elif time.monotonic() - self._last_s >= QUIET_S or _is_last(event):
            self._last_s = time.monotonic()
            self.line(text)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._out.write(("\n" if self._open else "") + text + "\n")
        self._out.flush()
        self._open = False


def ring(is_wanted: bool, out: TextIO = sys.stderr) -> None:
    """The terminal's bell, for a person who looks elsewhere."""
    if is_wanted and out.isatty():
        out.write("\a")
        out.flush()


def event_line(event: dict[str, Any]) -> str:
    """One event in words; "" for what a person need not see. What data holds can not steer the terminal."""
    return visible(_words(event))


def _words(event: dict[str, Any]) -> str:
    kind = event["kind"]
    stage = f"{event['stage']}: " if event.get("stage") else ""
    if kind == "step":
        left = f", {duration(event['left_s'])} left" if event.get("left_s") is not None else ""
        speed = f", {event['tokens_per_s']:,.0f} tokens/s" if event.get("tokens_per_s") else ""
        return f"{stage}step {event['step']}/{event['steps']}, loss {event['loss']:.3f}{speed}{left}"
    if kind == "eval":
        scores = "".join(f", {METRICS[name]} {event[name]:.3f}" for name in METRICS if event.get(name) is not None)
        return f"{stage}step {event['step']}: validation loss {event['loss']:.3f}{scores}"
    if kind == "row":
        return f"{event['file']}, line {event['line']}: left out, {event['reason']}"
    if kind == "stopped":
        return "Stopped, as asked."
    if kind == "progress":
        left = f", {duration(event['left_s'])} left" if event.get("left_s") is not None else ""
        return download_words(event) + left
    if kind == "phase":
        counted = f" ({event['done']} of {event['of']})" if event.get("done") else ""
        left = f", {duration(event['left_s'])} left" if event.get("left_s") else ""
        return event["text"] + counted + left
    if kind == "resume":
        return f"Goes on after step {event['step']}." if event.get("step") else "Begins anew: no step had been kept."
    if kind == "sample":
        return _sample_lines(event)
    return str(event["text"]) if kind == "note" else ""


def _is_last(event: dict[str, Any]) -> bool:
    """True for the step, or the bytes, with which the count is full."""
    if event["kind"] == "progress":
        return bool(event.get("done_bytes") == event.get("total_bytes"))
    return bool(event.get("step", 0) == event.get("steps"))


def download_words(event: Mapping[str, Any]) -> str:
    """How far a download is, without the time left: "1.2 GB of 2.5 GB, 11.3 MB/s"."""
    done, total = event.get("done_bytes", 0), event.get("total_bytes", 0)
    speed = f", {event['bytes_s'] / 1e6:,.1f} MB/s" if event.get("bytes_s") else ""
    return f"{size(done / 1e6)} of {size(total / 1e6)}{speed}" if total else "Asking the hub"


def _sample_lines(event: dict[str, Any]) -> str:
    """A validation answer on three lines, each no longer than a screen is wide."""
    parts = [(name, " ".join(str(event.get(key, "")).split())) for name, key in
             (("asked", "question"), ("expected", "reference"), ("answer", "answer"))]
    return "\n".join(f"  {name + ':':<9} {text[:ANSWER_WIDTH] + ('...' if len(text) > ANSWER_WIDTH else '')}"
                     for name, text in parts)


def promise_lines(promise: dict[str, Any]) -> list[str]:
    """What a run will take, in words, and whether that fits."""
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in promise["parts"].items() if seconds >= 1)
    lines = [f"About {duration(promise['seconds'])} for {promise['steps']:,} steps ({parts})."]
    for name, asked, there in (("memory", "peak_rss_mb", "memory_mb"), ("GPU memory", "peak_vram_mb", "vram_mb"),
                               ("disk", "peak_disk_mb", "disk_free_mb")):
        if promise.get(asked) is not None:
            fits = "fits" if promise[asked] <= promise[there] else "DOES NOT FIT"
            lines.append(f"{size(promise[asked])} of {name} at the most; {size(promise[there])} are free: {fits}.")
    lines.append(f"Measured on {promise['measured_steps']} steps of this run in {duration(promise['measured_s'])}, "
                 f"{promise['machine']}.")
    return [*lines, *promise["notes"]]


def kept_lines(promise: dict[str, Any], result: dict[str, Any]) -> list[str]:
    """Promise against fact of a finished run; nothing of one that was stopped or went on after a break."""
    if result.get("is_stopped") or result.get("is_resumed"):
        return []
    lines = []
    for name, key, words in (("time", "seconds", duration), ("memory", "peak_rss_mb", size),
                             ("GPU memory", "peak_vram_mb", size), ("disk", "peak_disk_mb", size)):
        if promise.get(key) and result.get(key):
            off = result[key] / promise[key] - 1
            lines.append(f"  {name:<10} promised {words(promise[key]):>14}, was {words(result[key]):>14} ({off:+.0%})")
    return ["Promise against fact:", *lines] if lines else []


def task_lines(result: dict[str, Any]) -> list[str]:
    """What a task over a file came to: where the rows are, which could not be done, and how many were right."""
    lines = [f"{result['rows']:,} rows in {duration(result['seconds'])}: {result['out']}"]
    if result["not_done"]:
        some = result["problems"][:SHOWN_PROBLEMS]
        lines.append(f"{result['not_done']:,} of them could not be done; the column that says why is "
                     f"{result['columns'][-1]!r}:")
        lines += [f"  row {one['row']:,}, line {one['line']:,}: {one['problem']}" for one in some]
        lines += [f"  and {result['not_done'] - len(some):,} more"] if result["not_done"] > len(some) else []
    lines += _score_lines(result["scores"], "Against the file's own answers")
    if result["learned_from"]:
        lines += _score_lines(result["scores_of_others"], f"Without the {result['learned_from']:,} rows that were "
                              "learned from") or ["The model learned from all of these rows, so this says nothing."]
    if result["learned_from"] is None:
        lines.append("Which of these rows the model learned from is not known, so it may know them by heart.")
    return [visible(line) for line in lines]


def _score_lines(scores: dict[str, Any], which: str) -> list[str]:
    """Each figure with its interval and how many rows it is of; the trivial answer beside the first."""
    if not scores:
        return []
    figures = {name: f"{SCORES[name]} {scores[name]:.3f}{_interval(*scores['intervals'][name])}"
               for name in SCORES if name in scores}
    main, *others = figures
    trivial = scores["baseline"]
    line = f"{which}, {scores['n']:,} rows: {figures[main]}; {trivial['name']}: {trivial[main]:.3f}."
    return [line, *([f"  {', '.join(figures[name] for name in others)}"] if others else [])]


def _interval(low: float | None, high: float | None) -> str:
    return " (no interval can be given)" if low is None else f" (95% interval {low:.3f} to {high:.3f})"


def benchmark_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each benchmark."""
    width = max(len(one["name"]) for one in found)
    return [f"{one['name']:<{width}}  {one['title']} (licence: {one['licence']})" for one in found]


def quoted(word: str) -> str:
    """word as a shell of this system takes it for one word."""
    return subprocess.list2cmdline([word]) if sys.platform == "win32" else shlex.quote(word)


def size(megabytes: float) -> str:
    """"640 MB", "5.8 GB"."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes))} MB"


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

"""How far a job is, from its last events: share done, time left, one line of words. No folder, no process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ui.terminal import event_line

TOLD = ("phase", "step", "eval", "stage", "resume", "progress")         # kinds whose words say what is being done
NOTED_S = 5.0                                           # how long a note of a download stands beside its progress
MOST_COUNTED = 9999             # rows, answers; what is more are bytes
SURE_AFTER = 0.03, 3.0          # share and seconds from which on the time left follows from the speed so far

# Where an export is when a phase begins, and how much of the whole it takes: guessed from exports of the embedded
# model, whose phases pass in a second. The types share the part between the writing and the publishing.
EXPORT_STEPS = (("Reading the model", 0.0, 0.02), ("Loading the reference", 0.02, 0.2),
                ("The reference reads the layers", 0.02, 0.2), ("The reference answers", 0.22, 0.1),
                ("The reference reads the rows", 0.32, 0.08), ("Merging", 0.4, 0.1), ("Writing", 0.5, 0.05),
                ("Publishing", 0.95, 0.01), ("Checksum", 0.96, 0.01), ("Ollama", 0.97, 0.02), ("Uploading", 0.97, 0.03))
CHECKED = 0.55, 0.95            # of the whole: the checks, an equal part for each type
CHECK_STEPS = (("Checking the prompts of ", 0.0, 0.02), ("Checking the structure of ", 0.0, 0.02),
               ("Comparing ", 0.02, 0.75), ("Checking where ", 0.77, 0.23))
DEAF = "It was asked to stop and is still at work; a long step ends by itself. If it is ended now, {} is lost."
LOST = {"train": "what it learned since its last checkpoint", "evaluate": "the answer that it is at",
        "download": "the piece that is on its way",
        **dict.fromkeys(("classify", "summarise", "answer"), "the row that it is at")}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """As JobView has it."""
    share: float | None
    left_s: float | None
    words: str


def progress(kind: str, config: Mapping[str, Any], events: Sequence[Mapping[str, Any]], elapsed_s: float) -> Progress:
    """Where a job of that kind is. events: the last ones of this start, in order; elapsed_s: since it began."""
    told = next((event for event in reversed(events) if event["kind"] in TOLD), None)
    said = told or next((event for event in reversed(events) if event["kind"] == "note"), None)
    words = _words(said) if said else "Starting"
    if kind == "download" and told:
        words = ". ".join([words, *_noted(events, told["t"])])
    share = _share(kind, config, events)
    left = next((event["left_s"] for event in reversed(events) if event["kind"] in ("phase", "step", "progress")
                 and event.get("left_s") is not None), None)
    if _several_parts(kind, config) > 1:
        left = None                             # it is of this part alone
    if left is None and share is not None and share >= SURE_AFTER[0] and elapsed_s >= SURE_AFTER[1]:
        left = elapsed_s * (1 - share) / share
    return Progress(share=share, left_s=left, words=words)


def deaf_words(kind: str) -> str:
    """Of a job that has been asked to stop in vain: that it can be ended, and what is lost then."""
    return DEAF.format(LOST.get(kind, "what it has done so far"))


def _words(event: Mapping[str, Any]) -> str:
    """The event in one line, without the time left; what is counted in bytes as a share."""
    told = {name: value for name, value in event.items() if name != "left_s"}
    if event["kind"] == "phase" and event.get("of", 0) > MOST_COUNTED:
        told |= {"text": f"{event['text']}, {_part(event):.0%}", "done": 0}
    return next(iter(event_line(told).splitlines()), "")


def _noted(events: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """What a download said last, if that was a moment ago: why it waits, or begins a file anew."""
    said = [event for event in events if event["kind"] == "note" and event["t"] > now - NOTED_S]
    return [_words(said[-1])] if said else []


def _several_parts(kind: str, config: Mapping[str, Any]) -> int:
    """Stages of a training, models of an evaluation."""
    if kind == "train":
        return len(config.get("stages") or ()) or 1
    return 2 if kind == "evaluate" and config.get("against") else 1


def _share(kind: str, config: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> float | None:
    if kind == "train":
        return _of_training(config, events)
    if kind == "export":
        return _of_export(config, events)
    if kind == "download":
        return _of_download(events)
    counted = [event for event in events if event["kind"] == "phase" and event.get("of", 0) > 1]
    if not counted:
        return None
    share = _part(counted[-1])
    if _several_parts(kind, config) == 2:
        is_second = any(event["text"] != counted[-1]["text"] for event in counted)
        share = (is_second + share) / 2
    return share


def _of_training(config: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> float | None:
    last = next((event for event in reversed(events) if event["kind"] == "step" and event.get("steps")), None)
    if last is None:
        return None
    names = [stage.get("name", "") for stage in config.get("stages") or ()]
    before = names.index(last["stage"]) if last.get("stage") in names else 0
    return (before + min(1.0, last["step"] / last["steps"])) / (len(names) or 1)


def _of_download(events: Sequence[Mapping[str, Any]]) -> float | None:
    last = next((event for event in reversed(events) if event["kind"] == "progress" and event.get("total_bytes")), None)
    return min(1.0, last["done_bytes"] / last["total_bytes"]) if last else None


def _of_export(config: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> float | None:
    phases = [event for event in events if event["kind"] == "phase"]
    if not phases:
        return None
    last, types = phases[-1], list(dict.fromkeys(config.get("types") or ()))
    for words, begin, part in EXPORT_STEPS:
        if last["text"].startswith(words):
            return begin + part * _part(last)
    for words, begin, part in CHECK_STEPS:
        if last["text"].startswith(words):
            now = _type_named(phases, types)
            each = (CHECKED[1] - CHECKED[0]) / max(1, len(types))
            return CHECKED[0] + each * (now + begin + part * _part(last))
    return None


def _type_named(phases: Sequence[Mapping[str, Any]], types: Sequence[str]) -> int:
    """The place among types of the one that was named last."""
    for event in reversed(phases):
        for word in reversed(event["text"].split()):
            if word in types:
                return types.index(word)
    return 0


def _part(event: Mapping[str, Any]) -> float:
    return min(1.0, event["done"] / event["of"]) if event.get("of") and event.get("done") else 0.0

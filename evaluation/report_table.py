"""The figures of an evaluation as a table: flat rows for programs, Markdown for a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.hub import is_hub
from evaluation import words
from evaluation.items import SIDES, Stated

MODEL, AGAINST = SIDES
HEADS = ("items", "metric", "model", "value", "95% interval", "n", "best trivial answer", "p")
NOT_LOOKED_FOR = "Nobody looked whether its items stand among the training rows."
Json = Mapping[str, Any]


def rows(stated: Stated, report: Json) -> list[dict[str, str]]:
    """One row for each figure of all items and without leaked ones; of groups, where they are few, the main figure."""
    few = len(report["groups"]) <= words.FEW_GROUPS
    main = words.metric(stated.metrics[0])
    return [*overall(stated, report), *(row for name, part in report["groups"].items() if few
                                        for row in _rows(stated, name, part) if row["metric"].split(",")[0] == main)]


def overall(stated: Stated, report: Json) -> list[dict[str, str]]:
    """The rows of all items, and without leaked ones."""
    parts = (("all", report["whole"]), ("without leaked", report["without_leaked"]))
    return [row for name, part in parts if part for row in _rows(stated, name, part)]


def _rows(stated: Stated, name: str, part: Json) -> list[dict[str, str]]:
    return [{"benchmark": stated.title, "items": name, **row}
            for row in [*_of_models(stated, part), *_of_pair(stated, part)]]


def _of_models(stated: Stated, part: Json) -> list[dict[str, str]]:
    called, rows = words.names(stated), []
    for side, model in part["models"].items():
        trivial = {best["metric"]: f"{figure(stated, best['value'])} ({best['name']})"
                   for best in reversed(model["baselines"])}
        rows += [{"metric": words.metric(name), "model": called[side], "value": figure(stated, one["value"]),
                  "95% interval": interval(stated, one), "n": str(one["n"]),
                  "best trivial answer": trivial.get(name, ""), "p": ""} for name, one in model["metrics"].items()]
    return rows


def _of_pair(stated: Stated, part: Json) -> list[dict[str, str]]:
    pair, called = part["pair"], words.names(stated)
    if pair is None:
        return []
    return [{"metric": f"{words.metric(name)}, change", "model": f"{called[AGAINST]} to {called[MODEL]}",
             "value": signed(stated, one["difference"]["value"]),
             "95% interval": interval(stated, one["difference"], is_change=True), "n": str(one["difference"]["n"]),
             "best trivial answer": "", "p": p(one["p"])} for name, one in pair["metrics"].items()]


def table(stated: Stated, report: Json) -> str:
    """The Markdown: what was measured, the table, the sentences, and on which files."""
    parts = [f"## {_text(stated.title)}", "\n".join(f"- {_text(text)}" for text in report["sentences"]),
             _markdown([HEADS, *([row[head] for head in HEADS] for row in report["rows"])]),
             " ".join([_text(stated.sample), *(f"{name}: {_text(text.rstrip('.'))}." for name, text in (
                 ("File", _file(stated)), ("Official split", stated.split), ("Source", stated.source),
                 ("Licence", stated.licence))), _text(stated.guard or NOT_LOOKED_FOR)]),
             _markdown([("model", "fingerprint"), *((one["name"], one["fingerprint"]) for one in stated.models)])]
    return "\n\n".join(parts) + "\n"


def _file(stated: Stated) -> str:
    """What the items were read from, without the folders of this computer, and which they are."""
    name = stated.file if is_hub(stated.file) else Path(stated.file).name
    return f"{name}, its items' sha256 {stated.digest[:16]}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    texts = [f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines]
    return "\n".join([texts[0], "|" + " --- |" * len(lines[0]), *texts[1:]])


def _text(text: str) -> str:
    """text as Markdown shows it: on one line, no mark-up of its own."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_|[]<>" else letter for letter in plain).replace("&", "&amp;")


def figure(stated: Stated, value: float | None) -> str:
    """A figure in a table."""
    return words.value(stated, value, 0, 1 if words.is_share(stated) else 0)


def interval(stated: Stated, one: Json, is_change: bool = False) -> str:
    """An interval in a table; – where nothing can be said."""
    if one["low"] is None:
        return "–"
    ends = [signed(stated, one[end]) if is_change else figure(stated, one[end]) for end in ("low", "high")]
    return f"{ends[0]} to {ends[1]}"


def signed(stated: Stated, value: float | None) -> str:
    """A change in a table, in points where figures are in percent."""
    return "–" if value is None else words.change(stated, value, words.WHOLE_PERCENT_ITEMS)


def p(value: float | None) -> str:
    """A p value in a table."""
    return "–" if value is None else words.p_words(value).removeprefix("p = ").removeprefix("p ")

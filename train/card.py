"""The model card of an adapter: which base, which rows, which settings, and what came of them."""

import dataclasses
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import knobs, runs
from models.library import DEMO_WORDS
from train.config import TrainConfig

CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")       # how the hub's cache names a model's folder
METRICS = {"loss": "loss", "rouge_l": "ROUGE-L", "macro_f1": "macro F1", "accuracy": "accuracy"}
PLACES = ("data", "eval", "guard", "base", "stages")        # told elsewhere in the card, without anybody's folders
OF_THE_MACHINE = ("device", "threads", "keep_awake", "notify", "report_to", "checkpoints")
LIMITS = """\
It is for study, and for preparing work that a qualified person checks; it is no medical device. Its answers can be
wrong and sound certain even so. It repeats the gaps and errors of its rows, and rows it learned from can resurface in
its answers: share it only if you may share them. The figures above are those of the validation rows named here, and
the adapter that was kept is the best one on them: rows that nobody looked at are a fairer test."""


def write(folder: Path) -> None:
    """Write the card of a run folder's adapter as its README.md, with the curve beside it.

    Everything in it is read from the run's files: config, result, findings, and the adapter's base.json. It names
    files but no folder, so that it can be shared. Raises UserError when the disk is full.
    """
    adapter = folder / runs.ADAPTER
    config = knobs.from_json(TrainConfig, runs.read_json(folder / runs.CONFIG))
    result, base = runs.read_json(folder / runs.RESULT), runs.read_json(adapter / runs.BASE)
    findings = runs.read_json(folder / runs.FINDINGS) if (folder / runs.FINDINGS).is_file() else []
    has_curve = (folder / runs.CURVE).is_file()
    if has_curve:
        with runs.whole_file(adapter / runs.CURVE) as part:
            shutil.copyfile(folder / runs.CURVE, part)
    parts = [_front_matter(base), f"# {folder.name}: a LoRA adapter", _base(base), "## Data",
             *_data(config, result, findings), "## Result", *_result(result), *_stages(result)]
    parts += [f"![Loss curve]({runs.CURVE})"] if has_curve else []
    parts += ["## Settings", _settings(config), "## Intended use and limits", LIMITS]
    with runs.whole_file(adapter / runs.CARD) as part:
        part.write_bytes(("\n\n".join(parts) + "\n").encode("utf-8", "backslashreplace"))


def stage_table(table: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A result's table as text: the heads, and a row before the training and after each stage.

    table: [{"after": name, "scores": {set: {"loss": nats a token, metric: 0 to 1}}}].
    """
    sets = list(table[0]["scores"])
    columns = [(name, measure) for name in sets for measure in table[0]["scores"][name]]
    heads = ["", *(f"{name}: {METRICS[measure]}" for name, measure in columns)]
    return heads, [[row["after"], *(f"{row['scores'][name][measure]:.3f}" for name, measure in columns)]
                   for row in table]


def _front_matter(base: Mapping[str, Any]) -> str:
    named = CACHED.search(Path(base["path"]).as_posix())
    lines = ["library_name: peft", "pipeline_tag: text-generation"]
    if named:
        lines.append(f"base_model: {named[1]}/{named[2]}")
    return "\n".join(["---", *lines, "tags:", "- lora", "- medical", "- galen", "---"])


def _base(base: Mapping[str, Any]) -> str:
    cached = CACHED.search(Path(base["path"]).as_posix())
    name = f"{cached[1]}/{cached[2]}" if cached else Path(base["path"]).name
    text = (f"Trained by Galen on the base model `{name}` (family {base['family']}, fingerprint "
            f"`{base['fingerprint']}`), whose licence holds for what is made with this adapter too.")
    if before := base.get("before"):
        count = f"{len(before)} earlier adapter{'s' * (len(before) > 1)}"
        text += (f" It was trained on that base with {count} merged into it, in the order of its base.json; without "
                 "them it does not work.")
    if Path(base["path"]).resolve() == runs.DEMO_BASE.resolve():
        text += f"\n\n**{DEMO_WORDS}**"
    return text


def _data(config: TrainConfig, result: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [[_cell(_place(source)), f"`{digest}`"] for source, digest in result.get("fingerprints", {}).items()]
    files = table(["file", "SHA-256"], rows) if rows else ""
    limits = sorted({one.max_len for one in config.stage_configs()})
    counts = (f"{result['samples']:,} rows were learned from and {result['validation_samples']:,} held for validation; "
              f"{result['left_out']:,} were left out. {result['cut']:,} were longer than "
              f"{' or '.join(f'{limit:,}' for limit in limits)} tokens and lost the middle of their input.")
    told = [f"- {_cell(_without_folders(str(one['text']), config))}" for one in findings if one["count"]]
    none = "No step of cleaning, leak guard or identifier scan found anything." if findings else ""
    return [part for part in (files, counts, "\n".join(told) or none) if part]


def _result(result: Mapping[str, Any]) -> list[str]:
    took = f"The run took {result['steps']:,} steps and {_took(result['seconds'])} ({result['machine']})."
    if stages := result.get("stages"):
        rows = [[one["name"], *cells, f"{one['best_step']:,} of {one['steps']:,}", _took(one["seconds"])]
                for one in stages for cells in _measures(one)]
        return [table(["stage", "on its validation rows", "before it", "after it", "step that was kept", "time"], rows),
                f"The adapter is that of the last stage. {took}"]
    if result.get("best_val_loss") is None:
        return ["The run was stopped before its first evaluation; the adapter is as it was then."]
    return [table(["on the validation rows", "base", "this adapter"], _measures(result)),
            f"The adapter is the one after step {result['best_step']:,}, the best of the evaluated ones. {took}"]


def _measures(result: Mapping[str, Any]) -> list[list[str]]:
    """The loss, and the metric if there is one: what, before, after."""
    pairs = [("loss, nats an answer token", "base_val_loss", "best_val_loss")]
    if result["best_metric"] is not None:
        pairs.append((METRICS[result["metric"]], "base_metric", "best_metric"))
    return [[name, *("-" if result[key] is None else f"{result[key]:.4f}" for key in keys)] for name, *keys in pairs]


def _took(seconds: float) -> str:
    return f"{seconds / 60:,.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _stages(result: Mapping[str, Any]) -> list[str]:
    if not result.get("table"):
        return []
    return ["### Every stage on every stage's validation rows", table(*stage_table(result["table"]))]


def _settings(config: TrainConfig) -> str:
    """Every setting that is not empty, by its label; of a run in stages each stage's own."""
    configs = config.stage_configs()
    stages = [knobs.to_json(one) for one in configs]
    rows = []
    for field in dataclasses.fields(config):
        values = [stage[field.name] for stage in stages]
        if field.name in (*PLACES, *OF_THE_MACHINE, "name") or all(value in ("", []) for value in values):
            continue
        texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values]
        rows.append([_cell(field.metadata["label"]), f"`{field.name}`", *map(_cell, texts)])
    return table(["setting", "name", *([one.name for one in configs] if config.stages else ["value"])], rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the cells are taken as they are."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _place(source: str) -> str:
    """What may be told of a source: its last name, or the whole name on the hub."""
    return source if source.startswith("hf:") else Path(source).name


def _without_folders(text: str, config: TrainConfig) -> str:
    sources = {source for one in config.stage_configs() for source in (*one.data, *one.eval, *one.guard)}
    for source in sorted(sources, key=len, reverse=True):
        text = text.replace(source, _place(source))
    return text

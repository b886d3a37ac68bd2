"""The model card of a hand-over folder, with the front matter that model hubs read; every figure is from a file."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.adapter import WEIGHTS
from convert.licence import Licence
from convert.modelfile import NAME as MODELFILE
from models import runs
from models.base import config, family, fingerprint
from models.errors import UserError
from models.library import DEMO_WORDS, find_model

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")       # how the hub's cache names a folder
OURS = "exported by Galen"          # in every card that write_card made
PASSED, FAILED, STRUCTURE, UNCHECKED = "passed", "FAILED", "structure only", "not checked"      # what verdict() says
HELD_OUT = ("",)                                            # what a comparison is measured on: held-out rows
LARGEST_CELL = 80                                           # characters
LIMITS = """\
This model is for study, and for preparing work that a qualified person checks. It is no medical device and no
substitute for a clinician: its answers can be wrong, incomplete or out of date, and sound certain even so. Do not use
it to diagnose, to treat, or to decide about a person without such a check, and not in an emergency. It knows only what
its base and its training rows held, and repeats their gaps and biases; figures below were measured on the rows named
with them and say nothing about others. Training rows can resurface in answers: share the model only if you may share
what it was trained on."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card is written from. adapters: PEFT folders in order; the run that made each, where known, is its parent.

    ggufs: the model files that are there. evaluations: what evaluations_of() finds.
    """
    title: str
    base: Path
    licence: Licence
    adapters: Sequence[Path] = ()
    ggufs: Sequence[str] = ()
    others: Sequence[str] = ()
    evaluations: Sequence[Path] = ()
    is_embedded: bool = False


def write_card(facts: Facts, report: Mapping[str, Any]) -> str:
    """The text of README.md. report: report.json's content."""
    parts = [_front_matter(facts), f"# {facts.title}", _what_it_is(facts), "## Intended use and limits", LIMITS,
             "## Files", _files(facts, report), _checked(facts, report), "## Base model and licence", _base(facts),
             *_training(facts), *_evaluations(facts), "## Use", _use(facts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def hub_name(base: Path, adapters: Sequence[Path]) -> str:
    """The base's owner/name on the hub as its cache folder, its config or an adapter has it; "" where none does."""
    cached = CACHED.search(base.resolve().as_posix())
    if cached:
        return f"{cached[1]}/{cached[2]}"
    named = [config(base).get("_name_or_path")]
    named += [runs.read_json(folder / "adapter_config.json").get("base_model_name_or_path") for folder in adapters]
    return next((name for name in named if isinstance(name, str) and HUB_NAME.fullmatch(name)), "")


def _front_matter(facts: Facts) -> str:
    base = hub_name(facts.base, facts.adapters)
    lines = []
    if facts.licence.name:
        lines.append(f"license: {_scalar(facts.licence.name)}")
        if facts.licence.name == "other":
            lines.append(f"license_name: {_scalar(facts.licence.title or 'see-base-model')}")
        if facts.licence.link:
            lines.append(f"license_link: {_scalar(facts.licence.link)}")
    if base:
        lines += [f"base_model: {base}", f"base_model_relation: {'finetune' if facts.adapters else 'quantized'}"]
    lines += [f"library_name: {'gguf' if facts.ggufs else 'transformers'}", "pipeline_tag: text-generation", "tags:"]
    tags = [*(["gguf"] if facts.ggufs else []), *(["lora"] if facts.adapters else []), "medical", "galen"]
    return "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), "---"])


def _what_it_is(facts: Facts) -> str:
    count = len(facts.adapters)
    made = ("no change to its weights", "a LoRA adapter merged into it",
            f"{count} LoRA adapters merged into it in order")[min(count, 2)]
    text = f"A {family(facts.base)} model: the base below with {made}, {OURS}."
    return text + (f"\n\n**{DEMO_WORDS}**" if facts.is_embedded else "")


def _files(facts: Facts, report: Mapping[str, Any]) -> str:
    told = _told(report)
    rows = [["file", "type", "MB", "check", "mean KL divergence, nats", "top-1 agreement"]]
    for name in facts.ggufs:
        one = told.get(name, {})
        figures = {check["name"]: check.get("figure") for check in one.get("checks", [])}
        size = f"{one['bytes'] / 1e6:,.1f}" if "bytes" in one else ""
        rows.append([f"`{name}`", str(one.get("type", "")), size, verdict(one),
                     *(_number(figures.get(key)) for key in ("mean KL divergence", "top-1 agreement"))])
    text = _table(rows) if facts.ggufs else ""
    more = ", ".join(f"`{name}`" for name in facts.others)
    return "\n\n".join(part for part in (text, f"Beside them: {more}." if more else "") if part)


def verdict(one: Mapping[str, Any]) -> str:
    """What the check said of a file, from its entry in report.json; {} for one that has none."""
    said = [check for check in one.get("checks", ()) if check.get("is_ok") is not None]
    if not said:
        return UNCHECKED
    return {"green": PASSED, "red": FAILED}.get(str(one.get("status")), STRUCTURE)


def _checked(facts: Facts, report: Mapping[str, Any]) -> str:
    """What was found of the files, those that failed and are no part of the hand-over too, one sentence a verdict."""
    told = _told(report)
    found: dict[str, list[str]] = {}
    for name in [*facts.ggufs, *(name for name in facts.others if name.startswith("mmproj"))]:
        found.setdefault(verdict(told.get(name, {})), []).append(name)
    kept_back = [name for name, one in told.items() if verdict(one) == FAILED and name not in found.get(FAILED, [])]
    merged = [name for name in facts.others if name.endswith(".safetensors")]
    sentences = (
        ("Compared with the model it was made from, in float32, and within every limit", found.get(PASSED)),
        ("FAILED its check and published all the same; do not rely on it", found.get(FAILED)),
        ("Checked for its structure only, not compared with the model it was made from", found.get(STRUCTURE)),
        ("Not checked", [*found.get(UNCHECKED, []), *merged]),
        ("Failed its check, and so no part of this hand-over", kept_back))
    lines = [f"- {text}: {', '.join(f'`{name}`' for name in names)}." for text, names in sentences if names]
    if told:
        lines.append("- Every figure stands in `report.json` and, to be read, in `report.html`.")
    return "\n".join(lines)


def _told(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["name"]: one for one in report.get("files", []) if isinstance(one, dict) and "name" in one}


def _base(facts: Facts) -> str:
    name = hub_name(facts.base, facts.adapters) or facts.base.name
    text = f"Base: {name} ({family(facts.base)}), fingerprint `{fingerprint(facts.base)}`."
    licence = facts.licence
    if not licence.name and not licence.text:
        return text + " Its folder states no licence; find out which terms it came with before you pass this on."
    named = licence.title or licence.name
    words = f"It is under: {named}. " if named else "Its licence text lies beside this file. "
    link = f"Terms: {licence.link}. " if licence.link else ""
    return f"{text} {words}{link}What is made from it stays under its terms."


def _training(facts: Facts) -> list[str]:
    """One section for each adapter: recipe and data fingerprint, as its run folder has them."""
    parts = []
    for k, adapter in enumerate(facts.adapters, 1):
        parts.append("## Training" if len(facts.adapters) == 1 else f"## Training, stage {k}")
        is_run = all((adapter.parent / name).is_file() for name in (runs.CONFIG, runs.EVENTS))
        settings = _json(adapter.parent / runs.CONFIG) if is_run else {}
        if settings:
            parts += [_data(settings, adapter.parent), "Recipe:\n\n" + _table(_recipe(settings))]
        else:
            values = _json(adapter / "adapter_config.json")
            kept = {key: values[key] for key in ("peft_type", "r", "lora_alpha", "use_dora", "use_rslora",
                                                 "target_modules", "modules_to_save") if values.get(key)}
            parts.append("The adapter came without the run that made it. Its settings:\n\n" + _table(_recipe(kept)))
    return parts


def _data(settings: Mapping[str, Any], run: Path) -> str:
    """Fingerprints of the rows, never their text or the folders they lay in."""
    rows = [["rows", "sha256 (first 16 digits)", "bytes"]]
    for name in (*settings.get("data", ()), *settings.get("eval", ())):
        path = runs.typed(name)
        rows.append([f"`{path.name}`", *(_fingerprint(path) if path.is_file() else ("no longer there", ""))])
    held = run / runs.HELDOUT
    if held.is_file():
        rows.append([f"held out (`{runs.HELDOUT}`)", *_fingerprint(held)])
    result = _json(run / runs.RESULT) if (run / runs.RESULT).is_file() else {}
    figures = [f"{what} {result[key]:,}" for key, what in
               (("samples", "rows learned from:"), ("validation_samples", "held out:"), ("left_out", "left out:"))
               if isinstance(result.get(key), int)]
    losses = [f"{what} {_number(result[key])}" for key, what in
              (("base_val_loss", "validation loss of the base:"), ("best_val_loss", "best validation loss:"))
              if isinstance(result.get(key), int | float)]
    return "\n\n".join(part for part in ("Data, as the files were at the export:\n\n" + _table(rows),
                                         "; ".join(figures + losses)) if part)


def _fingerprint(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        return f"`{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}`", f"{path.stat().st_size:,}"


def _recipe(settings: Mapping[str, Any]) -> list[list[str]]:
    """Every setting but places on this computer, which are nobody's business."""
    left_out = ("data", "eval", "base", "threads")
    kept = {key: value for key, value in settings.items() if key not in left_out}
    return [["setting", "value"], *([f"`{key}`", _cell(value)] for key, value in kept.items())]


def evaluations_of(adapters: Sequence[Path]) -> tuple[Path, ...]:
    """What the evaluations of the last of these adapters, as it is now, left for a card; of equal ones the newest.

    Each is the result of a comparison on held-out rows, or the table of a benchmark.
    """
    weights = adapters[-1] / WEIGHTS if adapters else None
    if not weights or not weights.is_file():
        return ()
    results = [path for pattern in (f"runs/*/{runs.RESULT}", f"runs/*/*/{runs.RESULT}")
               for path in runs.home().glob(pattern) if path.stat().st_mtime >= weights.stat().st_mtime]
    newest: dict[tuple[str, ...], Path] = {}
    for path in sorted(results, key=lambda path: path.stat().st_mtime):
        with suppress(UserError):                           # of some other job, which is none of ours
            asked = _asked(_json(path.with_name(runs.CONFIG)), adapters[-1].resolve())
            left = path.with_name(runs.REPORT_TABLE) if asked != HELD_OUT else path
            if asked and left.is_file() and isinstance(runs.read_json(path), list):
                newest[asked] = left
    return tuple(newest[asked] for asked in sorted(newest))


def _asked(settings: Mapping[str, Any], adapter: Path) -> tuple[str, ...]:
    """What a job measured the adapter on; () if it measured something else."""
    named = settings.get("adapter")
    if "rows" in settings and isinstance(named, str) and Path(named).resolve() == adapter:
        return HELD_OUT
    models = [name for name in (settings.get("model"), settings.get("against")) if name and isinstance(name, str)]
    if settings.get("benchmark") and any(_is_of(name, adapter) for name in models):
        return tuple(str(settings.get(key, "")) for key in ("benchmark", "file", "model", "against"))
    return ()


def _is_of(name: str, adapter: Path) -> bool:
    """Whether what a person called name is the adapter, the run that made it, or what was exported from it there."""
    run = adapter.parent if (adapter.parent / runs.EVENTS).is_file() else adapter
    found = next((path for path in (runs.typed(name), runs.home() / "runs" / name) if path.exists()), None)
    if found is None:
        with suppress(UserError):                           # no longer here
            found = find_model(name)
    return found is not None and (found.resolve() == run or run in found.resolve().parents)


def _evaluations(facts: Facts) -> list[str]:
    parts = [_evaluation(path) for path in facts.evaluations if path.is_file()]
    return ["## Evaluation", *parts] if any(parts) else []


def _evaluation(path: Path) -> str:
    """A benchmark's table as it is, one heading lower; or the scores of a comparison."""
    if path.name == runs.REPORT_TABLE:
        return path.read_text(encoding="utf-8").replace("## ", "### ", 1).strip()
    rows = runs.read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} holds no list of scores; run the evaluation again.")
    plain = [{key: value for key, value in row.items() if isinstance(value, str | int | float)} for row in rows]
    keys = list(dict.fromkeys(key for row in plain for key in row))
    return _table([keys, *([_cell(row.get(key, "")) for key in keys] for row in plain)]) if keys else ""


def _use(facts: Facts) -> str:
    steps = ["Check the copy first: `sha256sum -c SHA256SUMS` (Linux), `shasum -a 256 -c SHA256SUMS` (macOS)."]
    if facts.ggufs:
        steps.append("A GGUF runs in Galen, llama.cpp, LM Studio and others.")
    if MODELFILE in facts.others:
        steps.append(f"In Ollama: `ollama create NAME -f {MODELFILE}` in this folder, then `ollama run NAME`.")
    return "\n".join(f"- {step}" for step in steps)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join(text.split()).replace("|", "\\|")[:LARGEST_CELL]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def _scalar(text: str) -> str:
    """A value of the front matter; quoted where YAML would read something into it."""
    return text if re.fullmatch(r"[A-Za-z0-9][\w./:-]*[\w/]", text) and not text.endswith(":") else json.dumps(text)


def _json(path: Path) -> dict[str, Any]:
    values = runs.read_json(path)
    return values if isinstance(values, dict) else {}

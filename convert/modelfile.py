"""A Modelfile: what Ollama needs beside the GGUF, with the base model's own template, stops, sampling and licence."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.gotemplate import Form, read_form
from models import runs
from models.errors import UserError
from tasks.controls import controls_of
from tasks.prompt import Message, Tokenizer

NAME = "Modelfile"
OLLAMA_NAME = re.compile(r"(?a)([^\W_][\w.-]*(:\d+)?/)?(\w[\w-]*/)?\w[\w.-]*(:\w[\w.-]*)?")
SAMPLING = {"temperature": ("temperature", float), "top_k": ("top_k", int), "top_p": ("top_p", float),
            "min_p": ("min_p", float), "repetition_penalty": ("repeat_penalty", float)}
QUOTES = '"""'
NO_SYSTEM = ("The rows' system message is not in here, since it holds three quotation marks in a row; give it with the "
             "question.")


@dataclass(frozen=True, kw_only=True)
class Modelfile:
    """model, projector: file names beside it ("": no projector). parameters: a list value gives a line for each."""
    model: str
    template: str
    projector: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The file's text, by paths relative to its folder.

        Raises UserError for a text that no Modelfile can hold.
        """
        lines = [f"# {note}" for note in self.notes]
        lines += [f"FROM {_path(name)}" for name in (self.model, self.projector) if name]
        lines.append(f"TEMPLATE {_quoted('chat template', self.template)}")
        for name, value in self.parameters.items():
            for one in value if isinstance(value, list) else [value]:
                lines.append(f"PARAMETER {name} " + (_quoted(name, one) if isinstance(one, str) else str(one)))
        for name, text in (("SYSTEM", self.system), ("LICENSE", self.licence)):
            if text:
                lines.append(f"{name} {_quoted(name, text)}")
        return "\n".join(lines) + "\n"


def make(base: Path, tokenizer: Tokenizer, model: str, *, projector: str = "", system: str = "",
         licence: str = "", is_bos_added: bool = True) -> Modelfile:
    """The Modelfile for the GGUF called model, made from the model in the folder base.

    is_bos_added: the GGUF's tokenizer.ggml.add_bos_token. Raises UserError, which says why, where no template is
    known that gives the base's own prompts.
    """
    form = read_form(tokenizer, is_bos_added)
    notes = [f"Once Ollama runs: ollama create NAME -f {NAME}"]
    if "strftime_now" in tokenizer.template and time.strftime("%Y") in form.begin + "".join(form.system or ()):
        notes.append("The model's own template writes the date of the day; this one has the date it was made.")
    if QUOTES in licence:
        licence = ""
        notes.append("The licence lies beside this file; its text does not fit in here.")
    if QUOTES in system:
        system = ""
        notes.append(NO_SYSTEM)
    if any(not (c.isprintable() or c in "\n\r\t") for c in system):
        notes.append("Ollama drops unprintable characters of the system message below.")
    return Modelfile(model=model, projector=projector, template=form.go(), system=system, licence=licence,
                     parameters={"stop": stops(form, tokenizer), **sampling(base)}, notes=tuple(notes))


def read(text: str) -> Modelfile:
    """What text() wrote, and people may have edited since. Raises UserError for what it does not know."""
    found: dict[str, list[str]] = {"FROM": [], "TEMPLATE": [], "SYSTEM": [], "LICENSE": []}
    parameters: dict[str, Any] = {}
    for word, value in _commands(text):
        if word == "PARAMETER":
            name, _, given = value.partition(" ")
            if name == "stop":
                parameters.setdefault("stop", []).append(_unquoted(given))
            else:
                parameters[name] = _figure(name, given)
        elif word in found:
            found[word].append(_unquoted(value))
        else:
            raise UserError(f"{NAME} holds {word}, which is not read here; run `ollama create` in its folder.")
    if not found["FROM"] or not found["TEMPLATE"]:
        raise UserError(f"{NAME} lacks FROM or TEMPLATE; export again.")
    names = [name.removeprefix("./") for name in found["FROM"]]
    if any("/" in name or "\\" in name for name in names):
        raise UserError(f"{NAME} names a file in another folder; run `ollama create` in its own.")
    return Modelfile(model=names[0], projector=names[1] if len(names) > 1 else "", template=found["TEMPLATE"][0],
                     parameters=parameters, system="".join(found["SYSTEM"]), licence="".join(found["LICENSE"]))


def _figure(name: str, given: str) -> float:
    try:
        return int(given) if re.fullmatch(r"[+-]?\d+", given) else float(given)
    except ValueError:
        raise UserError(f"In {NAME}, {name} is {given}; it must be a number.") from None


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, what follows it as it is written) of each; a value in three quotes may have many lines."""
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        word, _, value = line.partition(" ")
        while value.count(QUOTES) % 2:
            more = next(lines, None)
            if more is None:
                raise UserError(f"{NAME} ends within a text; export again.")
            value += more
        yield word.upper(), value.rstrip("\r\n")


def _unquoted(value: str) -> str:
    for quote in (QUOTES, '"'):
        if value.startswith(quote) and value.endswith(quote) and len(value) >= 2 * len(quote):
            return value[len(quote):-len(quote)]
    return value


def stops(form: Form, tokenizer: Tokenizer) -> list[str]:
    """The control strings that end an answer or begin another turn, in that order."""
    controls = controls_of(tokenizer.controls)
    parts = controls.split("".join((form.assistant[1], form.user[0], form.assistant[0])))[1::2]
    return list(dict.fromkeys(parts)) or ([tokenizer.eos] if tokenizer.eos else [])


def sampling(base: Path) -> dict[str, Any]:
    """The sampling defaults of generation_config.json under Ollama's names. Greedy there is temperature 0 here."""
    path = base / "generation_config.json"
    values = runs.read_json(path) if path.is_file() else {}
    found = {name: kind(values[key]) for key, (name, kind) in SAMPLING.items()
             if isinstance(values.get(key), int | float) and not isinstance(values[key], bool)}
    return {"temperature": 0.0} if values.get("do_sample") is False else found


def shared_system(conversations: Sequence[Sequence[Message]]) -> str:
    """The system message that every one of these begins with: what the model was tuned under. "" if they differ."""
    begins = {str(turns[0]["content"]) if turns and turns[0]["role"] == "system" else "" for turns in conversations}
    return begins.pop() if len(begins) == 1 else ""


def check_name(name: str) -> None:
    """Raise UserError unless Ollama takes name for a model."""
    if not OLLAMA_NAME.fullmatch(name) or len(name) > 200:
        raise UserError(f"{name!r} is no name for a model in Ollama; use letters, digits, '-', '_' and '.', with a tag "
                        "after a colon if you like: notes:q4.")


def _path(name: str) -> str:
    if re.search(r"[^\w.+-]", name):
        raise UserError(f"The file name {name!r} can not stand in a {NAME}; use letters, digits, '.', '-' and '_'.")
    return f"./{name}"


def _quoted(what: str, text: str) -> str:
    """text between quotes as Ollama's parser takes it: it ends at three quotes before a space, nothing is escaped."""
    if QUOTES in text:
        raise UserError(f"The {what} holds three quotation marks in a row, which a {NAME} can not hold; change it.")
    is_plain = "\n" not in text and '"' not in text
    return f'"{text}"' if is_plain else f"{QUOTES}{text}{QUOTES}"

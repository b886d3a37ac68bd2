"""stories260K's kind of tokenizer: transformers reads a text that begins with a space as no llama.cpp does."""

import dataclasses
import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from convert.check import OTHER_IDS, check_files, check_structure, prompt_checks
from convert.model import MergedModel
from convert.planned import Planned
from convert.stream import write_all
from convert.survey import Survey
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference

LLAMA_2 = ("{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}"
           " {{ m.content }} {{ eos_token }}{{ bos_token }}{% endif %}{% endfor %}")
TYPES = ("F32", "F16", "Q8_0")


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


@pytest.fixture
def stories(shared_data: Path, tmp_path: Path) -> Path:
    return shutil.copytree(shared_data / "models" / "stories260K" / "hf", tmp_path / "stories",
                           copy_function=shutil.copyfile)


@pytest.mark.parametrize("template", ["", LLAMA_2], ids=["plain text", "Llama 2's turns"])
def test_a_true_file_is_green_and_what_was_left_out_is_told(stories: Path, tmp_path: Path, template: str):
    if template:
        (stories / "chat_template.jinja").write_text(template, encoding="utf-8")
    model, reference = MergedModel(stories, [], "x"), Reference(stories, threads=1)
    survey = Survey.take(reference, [], quiet)
    files = {kind: tmp_path / f"{kind}.gguf" for kind in TYPES}
    write_all(model, files, threads=1)
    planned = Planned(plan=model.plan)
    for report in check_files([(path, kind) for kind, path in files.items()], survey, reference, planned, quiet,
                              threads=1):
        found = {one.name: one for one in report.checks}
        assert report.status == "green", report.failed
        told = found[OTHER_IDS if template else "texts with other token ids"]
        assert told.is_ok and "left out where a text begins with a space" in told.note
        [structure] = check_structure([(report.path, report.type_name)], planned, quiet, 1)
        assert structure.status == "grey", structure.failed
    assert survey.spaced == (5 if template else 1)
    assert len(survey.prompts if template else survey.texts) == (30 if template else 28)


def test_a_file_that_puts_no_space_there_is_red(stories: Path, tmp_path: Path):
    """What is left out hides no wrong setting."""
    (stories / "chat_template.jinja").write_text(LLAMA_2, encoding="utf-8")
    model = MergedModel(stories, [], "x")
    plan = dataclasses.replace(model.plan, vocab=dataclasses.replace(model.plan.vocab, has_prefix=False))
    write_all(SimpleNamespace(plan=plan, rows=model.rows), {"F32": tmp_path / "x.gguf"}, threads=1)
    survey = Survey.take(Reference(stories, threads=1), [], quiet)
    with closing(Probe(tmp_path / "x.gguf", LoadConfig(ctx_tokens=512, threads=1, exact=True))) as probe:
        found = {one.name: one for one in prompt_checks(probe, survey)}
    assert found[OTHER_IDS].figure > 20 and found[OTHER_IDS].is_ok is False

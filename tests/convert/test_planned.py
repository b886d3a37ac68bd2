"""A file is held against its plan byte for byte, and against the reference beyond a sliding window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from convert.check import CUTS, KL, PLANNED, FileReport, check_files, check_structure
from convert.gguf import Plan
from convert.model import MergedModel
from convert.planned import Planned, long_row_tokens
from convert.stream import write_all
from convert.survey import Survey
from runtime.reference import Reference
from tests.convert.tiny import make_base

KEYS = "tokenizer.ggml."
Change = Callable[[dict[str, Any]], object]


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


def rewritten(path: Path, change: Change) -> Path:
    """The file with other keys: change gets {key: [value, types]}. Unchanged, it is the same file."""
    reader = gguf.GGUFReader(path)
    fields = {key: [one.contents(), one.types] for key, one in reader.fields.items() if not key.startswith("GGUF.")}
    writer = gguf.GGUFWriter(path.with_name("rewritten.gguf"), fields.pop("general.architecture")[0])
    change(fields)
    for key, (value, types) in fields.items():
        writer.add_key_value(key, value, types[0], sub_type=types[1] if len(types) > 1 else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.with_name("rewritten.gguf")


def put(key: str, value: object) -> Change:
    return lambda fields: fields[key].__setitem__(0, value)


def drop(key: str) -> Change:
    return lambda fields: fields.pop(key)


@pytest.fixture(scope="module")
def plan(terse: Path) -> Plan:
    return MergedModel(terse, [], "x").plan


@pytest.fixture(scope="module")
def written(terse: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("written")
    files = {kind: folder / f"{kind}.gguf" for kind in ("F16", "Q8_0", "Q4_K_M")}
    write_all(MergedModel(terse, [], "x"), files, threads=1)
    return files


def structure(path: Path, kind: str, plan: Plan) -> FileReport:
    return check_structure([(path, kind)], Planned(plan=plan), quiet, 1)[0]


def test_every_file_is_as_planned_before_it_is_changed(plan: Plan, written: dict[str, Path]):
    for kind, path in written.items():
        assert Planned(plan=plan).difference(path, kind) == ""
    assert Planned(plan=plan).difference(rewritten(written["F16"], lambda fields: None), "F16") == ""


@pytest.mark.parametrize(("change", "named"), [
    (put(f"{KEYS}eos_token_id", 500), f"{KEYS}eos_token_id"),
    (put(f"{KEYS}eot_token_id", 500), f"{KEYS}eot_token_id"),
    (drop(f"{KEYS}eot_token_id"), f"{KEYS}eot_token_id"),
    (drop(f"{KEYS}padding_token_id"), f"{KEYS}padding_token_id"),
    (lambda fields: fields[f"{KEYS}tokens"][0].__setitem__(5000, "zzqzz"), f"{KEYS}tokens"),
    (put("gemma3.attention.sliding_window", 33), "gemma3.attention.sliding_window"),
    (put("gemma3.context_length", 64), "gemma3.context_length"),
    (put("gemma3.rope.freq_base", 1e5), "gemma3.rope.freq_base"),
    (lambda fields: fields.update({"x.more": [1, [gguf.GGUFValueType.UINT32]]}), ""),
], ids=["eos", "eot", "no eot", "no padding", "a token", "window", "context", "frequencies", "one key more"])
def test_a_file_with_another_key_is_red_and_the_key_named(plan: Plan, written: dict[str, Path], change: Change,
                                                          named: str):
    report = structure(rewritten(written["F16"], change), "F16", plan)
    [wrong] = [one for one in report.failed if one.name == PLANNED]
    assert report.status == "red" and wrong.note.endswith(named)


def test_bytes_of_another_type_under_its_name_are_red(plan: Plan, written: dict[str, Path]):
    for other in ("Q8_0", "Q4_K_M"):
        [wrong] = structure(written[other], "F16", plan).failed
        assert wrong.name == PLANNED and wrong.note.endswith("general.file_type")


def test_bytes_behind_the_last_tensor_are_red(plan: Plan, written: dict[str, Path], tmp_path: Path):
    path = tmp_path / "longer.gguf"
    path.write_bytes(written["F16"].read_bytes() + bytes(32))
    assert "bytes instead of" in Planned(plan=plan).difference(path, "F16")


@pytest.mark.parametrize("key", ["eos", "eot"])
def test_an_end_id_that_is_a_word_is_red_without_the_plan_too(plan: Plan, written: dict[str, Path], key: str):
    """As an adapter's file and its base are checked, which no plan is held against."""
    report = structure(rewritten(written["F16"], put(f"{KEYS}{key}_token_id", 500)), "F16", plan)
    [cuts] = [one for one in report.failed if one.name == CUTS]
    assert cuts.figure == 1 and cuts.note


def test_a_row_reaches_beyond_the_window(tmp_path: Path, tokenizer_folder: Path):
    """A window that is one token off, and longer than any held-out row."""
    base = make_base(tmp_path / "base", "gemma3_text", tokenizer_folder, terse=True, sliding_window=1024,
                     max_position_embeddings=8192, num_hidden_layers=2)
    model, reference = MergedModel(base, [], "x"), Reference(base, threads=1)
    rows = [[{"role": "user", "content": f"Patient {k}: " + "a cough, a fever and a headache. " * 6},
             {"role": "assistant", "content": "Rest."}] for k in range(60)]
    tokens = long_row_tokens(model.plan)
    survey = Survey.take(reference, rows, quiet, long_row_tokens=tokens)
    assert tokens == 1280 == len(survey.rows[0]) and sum(map(len, survey.rows)) == survey.heldout_tokens == 2000
    write_all(model, {"F32": tmp_path / "x.gguf"}, threads=1)
    loss = {}
    for window in (1024, 1023):
        path = rewritten(tmp_path / "x.gguf", put("gemma3.attention.sliding_window", window))
        [report] = check_files([(path, "F32")], survey, reference, Planned(plan=model.plan), quiet, threads=1)
        assert (PLANNED in {one.name for one in report.failed}) is (window != 1024)
        loss[window] = next(one.figure for one in report.checks if one.name == KL)
    assert loss[1024] < 1e-6 and loss[1023] > 10 * loss[1024]

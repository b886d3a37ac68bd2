"""The check of an adapter as GGUF: green beside its base, red for other numbers, red where it can not be opened."""

from pathlib import Path

import gguf
import pytest
from safetensors.torch import load_file, save_file

from convert.lora import LoraFile
from convert.lora_check import check_lora
from convert.model import MergedModel
from convert.probes import Messages
from convert.stream import write_all
from convert.survey import Survey
from runtime.reference import Reference
from tests.convert.tiny import make_adapter, make_base

ROWS: list[Messages] = [[{"role": "user", "content": f"Question {k}: what helps against a cold?"},
                         {"role": "assistant", "content": f"Answer {k}: rest, and time."}] for k in range(8)]
SMALL = dict(r=2, target_modules=["q_proj", "v_proj"])


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


def written(base: Path, adapter: Path, path: Path) -> Path:
    LoraFile(MergedModel(base, [], "x"), base, [adapter], "x").write(path, lambda done, of: None)
    return path


@pytest.fixture(scope="module")
def tuned(terse: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Survey, Reference]:
    """(adapter, the base's GGUF, survey and reference of both)."""
    folder = tmp_path_factory.mktemp("tuned")
    adapter = make_adapter(folder / "adapter", terse, **SMALL)
    write_all(MergedModel(terse, [], "x"), {"F32": folder / "base.gguf"}, threads=1)
    reference = Reference(terse, adapter)
    return adapter, folder / "base.gguf", Survey.take(reference, ROWS, quiet), reference


def test_it_is_green_and_its_size_is_its_own(tuned, terse: Path, tmp_path: Path):
    adapter, base, survey, reference = tuned
    path = written(terse, adapter, tmp_path / "a.gguf")
    said: list[str] = []
    report = check_lora(path, base, "F32", survey, reference, lambda text, done, of: said.append(text), 1)
    found = {one.name: one for one in report.checks}
    assert report.status == "green" and report.type_name == "adapter" and report.path == path
    assert found["mean KL divergence"].figure < 1e-6 and found["mean KL divergence"].limit == 1e-5
    assert found["answers that do not stop"].is_ok and found["top-1 agreement"].figure > 0.99
    assert report.bytes == path.stat().st_size < base.stat().st_size / 10
    assert report.mix["F32"]["tensors"] == len(gguf.GGUFReader(path).tensors) == 2 * 2 * 3
    assert report.compared["tokens"] == 2000 and report.figures["generated_tokens_per_s"] > 0
    assert set(said) == {"Checking the prompts of the adapter", "Comparing the adapter with the reference",
                         "Checking where the adapter stops"}


def test_other_numbers_are_red(tuned, terse: Path, tmp_path: Path):
    adapter, base, survey, reference = tuned
    path = adapter / "adapter_model.safetensors"
    other = make_adapter(tmp_path / "other", terse, **SMALL)
    save_file({name: value * 1.5 for name, value in load_file(path).items()}, other / path.name)
    report = check_lora(written(terse, other, tmp_path / "a.gguf"), base, "F32", survey, reference, quiet, 1)
    assert "mean KL divergence" in {one.name for one in report.failed} and report.status == "red"


def test_one_that_can_not_be_opened_is_red(tuned, terse: Path, tmp_path: Path, demo_base: Path):
    _, base, survey, reference = tuned
    deep = make_base(tmp_path / "deep", "gemma3_text", demo_base, num_hidden_layers=5)
    path = written(deep, make_adapter(tmp_path / "adapter", deep), tmp_path / "a.gguf")
    report = check_lora(path, base, "F32", survey, reference, quiet, 1)
    assert [one.name for one in report.failed] == ["opens"] and "made for another base" in report.checks[0].note


def test_a_stop_is_passed_on(tuned, terse: Path, tmp_path: Path):
    adapter, base, survey, reference = tuned

    def stop(text: str, done: int, of: int) -> None:
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        check_lora(written(terse, adapter, tmp_path / "a.gguf"), base, "F32", survey, reference, stop, 1)

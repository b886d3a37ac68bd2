import json
import shutil
from pathlib import Path

import pytest

from convert.config import ExportConfig
from convert.source import Source, resolve
from models.errors import UserError


@pytest.fixture
def tuned(tmp_path: Path, adapter: Path) -> Path:
    """A copy of the adapter, to be spoilt."""
    return shutil.copytree(adapter, tmp_path / "tuned")


def found(folder: Path) -> Source:
    return resolve(ExportConfig(source=str(folder)), folder.parent / "run")


def test_an_adapter_names_its_base_and_its_files(tuned: Path, gemma3: Path):
    source = found(tuned)
    assert (source.base, source.adapter, source.stem, source.title) == (gemma3, tuned, "tuned", "tuned")
    assert source.out == tuned.parent / "run" / "export" and source.heldout is None


@pytest.mark.parametrize("name", ["base.json", "adapter_config.json"])
@pytest.mark.parametrize("text", ["[]", "null", "3"])
def test_settings_that_are_no_table_are_named(tuned: Path, name: str, text: str):
    (tuned / name).write_text(text)
    with pytest.raises(UserError, match=f"{name} holds no settings by name; it is damaged"):
        found(tuned)


def test_a_base_that_is_no_text_is_no_base(tuned: Path, gemma3: Path):
    config = json.loads((tuned / "adapter_config.json").read_text(encoding="utf-8"))
    (tuned / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": [1]}), encoding="utf-8")
    (tuned / "base.json").write_text('{"path": 5, "fingerprint": 6}')
    with pytest.raises(UserError, match="does not say which base model it was trained on; name the base"):
        found(tuned)
    (tuned / "base.json").unlink()
    assert resolve(ExportConfig(source=str(tuned), base=str(gemma3)), tuned.parent).base == gemma3


def test_what_can_not_be_exported_is_said(tmp_path: Path, tuned: Path):
    with pytest.raises(UserError, match="There is no folder 'nowhere'"):
        found(Path("nowhere"))
    with pytest.raises(UserError, match="gives no file name; use letters and digits"):
        resolve(ExportConfig(source=str(tuned), name="///"), tmp_path)

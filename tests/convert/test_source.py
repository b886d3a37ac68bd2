import json
import shutil
from pathlib import Path

import pytest

from convert.config import ExportConfig
from convert.source import Source, resolve
from models import runs
from models.errors import UserError


@pytest.fixture
def tuned(tmp_path: Path, adapter: Path) -> Path:
    """A copy of the adapter, to be spoilt."""
    return Path(shutil.copytree(adapter, tmp_path / "tuned"))


def made_run(folder: Path, adapter: Path, rows: str | None = None) -> Path:
    """A training run's folder around a copy of the adapter."""
    shutil.copytree(adapter, folder / runs.ADAPTER)
    (folder / runs.EVENTS).write_text("")
    if rows is not None:
        (folder / runs.HELDOUT).write_text(rows)
    return folder


def found(folder: Path, *more: Path, **settings: str) -> Source:
    config = ExportConfig(source=str(folder), more=tuple(map(str, more)), **settings)
    return resolve(config, folder.parent / "job")


def test_an_adapter_names_its_base_and_its_files(tuned: Path, gemma3: Path):
    source = found(tuned)
    assert (source.base, source.adapters, source.stem, source.title) == (gemma3, (tuned,), "tuned", "tuned")
    assert source.out == tuned.parent / "job" / "export" and source.heldout is None


def test_a_run_has_held_out_rows_and_a_place_of_its_own(tmp_path: Path, adapter: Path, gemma3: Path):
    run = made_run(tmp_path / "stage one", adapter, "{}")
    source = found(run)
    assert source.base == gemma3 and source.adapters == (run / runs.ADAPTER,)
    assert source.heldout == run / runs.HELDOUT and source.out == run / runs.EXPORT
    assert (source.stem, source.title) == ("stage-one", "stage one")
    by_adapter = found(run / runs.ADAPTER)
    assert by_adapter.stem == "stage-one" and by_adapter.heldout is None


def test_a_plain_model_folder_has_no_adapters(gemma3: Path):
    assert found(gemma3).adapters == () and found(gemma3).base == gemma3


def test_several_are_applied_in_the_order_named(tmp_path: Path, adapter: Path, gemma3: Path):
    one, two, three = (made_run(tmp_path / name, adapter, rows) for name, rows in
                       (("one", "1"), ("two", "2"), ("three", None)))
    source = found(one, two)
    assert source.adapters == (one / runs.ADAPTER, two / runs.ADAPTER) and source.base == gemma3
    assert (source.stem, source.out, source.heldout) == ("two", two / runs.EXPORT, two / runs.HELDOUT)
    assert found(two, one).adapters == source.adapters[::-1]
    last = found(one, two, three, name="mine")
    assert last.heldout == two / runs.HELDOUT and last.out == three / runs.EXPORT and last.stem == "mine"
    on_a_base = found(gemma3, one)
    assert on_a_base.base == gemma3 and on_a_base.adapters == (one / runs.ADAPTER,)


def test_the_first_must_be_of_this_base_and_later_ones_saw_it_merged(tmp_path: Path, adapter: Path, gemma3: Path):
    one, two = (made_run(tmp_path / name, adapter) for name in ("one", "two"))
    note = two / runs.ADAPTER / runs.BASE
    note.write_text(json.dumps({"path": "merged/one", "fingerprint": "0123456789abcdef", "family": "gemma3_text"}))
    assert len(found(one, two).adapters) == 2
    for first, more in ((two, (one,)), (gemma3, (two,))):
        with pytest.raises(UserError, match="two/adapter was trained on another base model .merged/one, gemma3_text"):
            found(first, *more, base=str(gemma3))


def test_a_stage_on_merged_stages_brings_them_along(tmp_path: Path, adapter: Path, gemma3: Path):
    run = made_run(tmp_path / "run", adapter, "{}")
    stages = [made_run(run / runs.STAGES / name, adapter) for name in ("1-one", "2-two")]
    note = run / runs.ADAPTER / runs.BASE
    values = json.loads(note.read_text()) if note.is_file() else {}
    note.write_text(json.dumps(values | {"before": [f"../stages/{one.name}/adapter" for one in stages]}))
    source = found(run)
    assert source.adapters == (*(one / runs.ADAPTER for one in stages), run / runs.ADAPTER)
    assert source.base == gemma3 and source.stem == "run" and source.heldout == run / runs.HELDOUT
    with pytest.raises(UserError, match="1-one/adapter is named twice"):
        found(stages[0], run)

    shutil.rmtree(stages[1])
    with pytest.raises(UserError, match="with .*2-two/adapter merged into it, and there is no adapter; keep the whole"):
        found(run)
    for odd in ("x", [1], {"a": 1}):
        note.write_text(json.dumps(values | {"before": odd}))
        with pytest.raises(UserError, match="does not name the stages before this one as a list"):
            found(run)


def test_what_can_not_follow_is_said(tmp_path: Path, adapter: Path, gemma3: Path):
    run = made_run(tmp_path / "run", adapter)
    with pytest.raises(UserError, match="holds no adapter; only trained runs and adapters can follow"):
        found(run, gemma3)
    with pytest.raises(UserError, match="adapter is named twice; name each once"):
        found(run, run / runs.ADAPTER)
    with pytest.raises(UserError, match="There is no folder 'nowhere'"):
        found(run, Path("nowhere"))
    shutil.rmtree(run / runs.ADAPTER)
    with pytest.raises(UserError, match="holds no trained adapter; did the training finish"):
        found(gemma3, run)


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
    assert found(tuned, base=str(gemma3)).base == gemma3


def test_what_can_not_be_exported_is_said(tmp_path: Path, tuned: Path):
    with pytest.raises(UserError, match="There is no folder 'nowhere'"):
        found(Path("nowhere"))
    with pytest.raises(UserError, match="gives no file name; use letters and digits"):
        found(tuned, name="///")


@pytest.mark.parametrize(("name", "stem"), [
    ("модель", "модель"), ("मॉडल 2", "मॉडल-2"), ("e\u0301te\u0301", "été"), ("a/b\\c: d", "a-b-c-d"), ("../x", "x"),
    ("_x", "_x"), ("n" * 300, "n" * 150), ("ж" * 300, "ж" * 75), ("a" + "ж" * 300, "a" + "ж" * 74)])
def test_a_name_becomes_a_file_name_of_any_script(gemma3: Path, name: str, stem: str):
    assert found(gemma3, name=name).stem == stem


def test_the_result_does_not_go_into_what_it_is_made_from(tuned: Path, gemma3: Path):
    for out in (gemma3, tuned):
        with pytest.raises(UserError, match=f"The export would go into {out}, which it is made from"):
            found(tuned, out=str(out))
    assert found(tuned, out=str(tuned / "export")).out == tuned / "export"


def test_a_snapshot_in_the_cache_has_the_models_name(tmp_path: Path, gemma3: Path):
    snapshot = tmp_path / "models--google--gemma-3-1b-it" / "snapshots" / "0123456789abcdef"
    shutil.copytree(gemma3, snapshot)
    assert (found(snapshot).stem, found(snapshot).title) == ("gemma-3-1b-it", "gemma-3-1b-it")

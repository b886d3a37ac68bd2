"""What the export page asks for: only what is listed, with sizes that are those of the files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.fakes import FakeSession, wait_for
from ui.actions.export_page import Exports
from ui.actions.model import CurrentModel
from ui.job_list import JobList
from ui.outside import Outside
from ui.settings import SettingsFile


@pytest.fixture
def page(galen_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exports]:
    settings = SettingsFile(galen_home)
    model = CurrentModel(FakeSession(), settings)
    jobs = JobList(galen_home, model)
    yield Exports(jobs, model, Outside(galen_home, settings))
    for view in jobs.all():
        jobs.stop(view.folder)
    wait_for(lambda: all(view.is_over for view in jobs.all()))
    jobs.close()


def trained(home: Path, name: str) -> Path:
    """A folder that looks like a finished run."""
    folder = home / "runs" / name
    (folder / runs.ADAPTER).mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"rank": 8, "base": str(runs.DEMO_BASE)})
    runs.write_json(folder / runs.ADAPTER / "adapter_config.json", {"base_model_name_or_path": str(runs.DEMO_BASE)})
    runs.write_json(folder / runs.PID, {"pid": 4_000_000, "started": 1.0})
    (folder / runs.EVENTS).write_text('{"t": 5, "kind": "done"}\n')
    return folder


def exported(home: Path, name: str) -> Path:
    """A folder that looks like a finished export of the embedded model; returns where its files are."""
    folder = home / "runs" / name
    out = folder / runs.EXPORT
    out.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"source": str(runs.DEMO_BASE), "types": ["Q8_0"]})
    runs.write_json(folder / runs.RESULT, {"folder": str(out), "files": []})
    runs.write_json(folder / runs.PID, {"pid": 4_000_000, "started": 1.0})
    (folder / runs.EVENTS).write_text('{"t": 5, "kind": "done"}\n')
    return out


def test_runs_come_first_and_only_listed_ones_are_taken(page: Exports, galen_home: Path):
    folder = trained(galen_home, "notes")
    (galen_home / "runs" / "unfinished").mkdir()
    assert [one.name for one in page.choices()][:2] == ["notes", "demo"]
    assert page.choice("notes").folder == folder and page.first("") == "notes" and page.first("demo") == "demo"
    for name in ("../..", str(runs.DEMO_BASE), "/etc", "unfinished", ""):
        with pytest.raises(UserError, match="is not here any more"):
            page.choice(name)
    with pytest.raises(UserError, match="No type is ticked"):
        page.start(page.choice("demo"), [], {})
    with pytest.raises(UserError, match="Q9"):
        page.start(page.choice("demo"), ["Q9"], {})
    assert len(page.earlier()) == 0


def test_sizes_are_those_of_the_files(page: Exports, demo_gguf: Path):
    choice = page.choice("demo")
    assert page.sizes(choice).is_reading and {row.bytes for row in page.rows(choice, None)} == {None}
    planned = wait_for(lambda: page.sizes(choice).planned)
    assert abs(planned["bytes"]["Q8_0"] - demo_gguf.stat().st_size) < 10_000       # its own header differs a little
    row = next(row for row in page.rows(choice, None) if row.kind == "Q8_0")
    assert row.fits and row.needed_mb > row.bytes / 1e6 and not row.is_here


def test_a_source_that_can_not_be_exported_says_why(page: Exports, galen_home: Path):
    choice = page.choice(trained(galen_home, "notes").name)
    problem = wait_for(lambda: page.sizes(choice).problem)
    assert "only LoRA adapters can be exported" in problem and "\n" not in problem
    with pytest.raises(UserError, match="only LoRA adapters can be exported"):
        page.start(choice, [], {})


def test_files_are_used_by_the_export_that_made_them(page: Exports, galen_home: Path, demo_gguf: Path,
                                                     monkeypatch: pytest.MonkeyPatch):
    out = exported(galen_home, "export-demo")
    (out / "tuned-Q8_0.gguf").write_bytes(demo_gguf.read_bytes())
    page.chat_with("export-demo", "tuned-Q8_0.gguf")
    wait_for(lambda: page._model.state.info)
    assert page._model.state.chosen == out / "tuned-Q8_0.gguf"
    for name in ("../../../x.gguf", "", "nothing.gguf", str(demo_gguf)[1:]):
        with pytest.raises(UserError, match="is not among the models"):
            page.chat_with("export-demo", name)
    for name in ("nowhere", "../runs/export-demo", ""):
        with pytest.raises(UserError, match="export again|no run"):
            page.chat_with(name, "tuned-Q8_0.gguf")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="There is no desktop here"):
        page.open_folder("export-demo")


def test_what_leaves_is_named_and_refused_while_offline(page: Exports, galen_home: Path):
    exported(galen_home, "export-demo")
    for name in ("", "owner", "a/b/c", "https://x/y"):
        with pytest.raises(UserError, match="write it as owner/name"):
            page.push("export-demo", name, False, False)
    with pytest.raises(UserError, match="Galen is offline, so it can not push to the hub"):
        page.push("export-demo", "owner/name", False, False)
    page._outside.switch(is_offline=False)
    (galen_home / "runs" / "export-demo" / runs.EXPORT / "SHA256SUMS").write_text("")
    run = page.push("export-demo", "owner/name", False, False)
    view = page.view("export-demo")
    assert [one.folder.name for one in view.sent] == [run] and view.sent[0].title == "Push to owner/name"
    assert [one.folder.name for one in page.earlier()] == ["export-demo"]
    assert page.view(run).config["push"] == "owner/name" and not page.view(run).config["public"]
    with pytest.raises(UserError, match="has no name in Ollama yet"):
        page.to_ollama("export-demo", " ")

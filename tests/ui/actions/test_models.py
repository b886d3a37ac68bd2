import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models import fetched, runs
from models.errors import UserError
from runtime.expect import of_header
from runtime.messages import Loaded
from tests.models.places import TEMPLATE, in_hub_cache, in_ollama, rewritten
from tests.runtime.seeing import export_seeing, make_seeing
from tests.ui.fakes import FakeSession, wait_for
from ui.actions.model import CurrentModel
from ui.actions.models import Found, Models, memory_mb
from ui.settings import SettingsFile
from ui.views import models as view


class FakeJobs:
    """Jobs as a page sees them; the test fills in what runs."""

    def __init__(self):
        self.running = []

    def all(self):
        return self.running


class SeeingSession(FakeSession):
    """Sees with a projector, whatever it loads."""

    def __init__(self, projector: Path):
        super().__init__()
        self.projector = projector

    def load(self, path: Path, config: object = None) -> Loaded:
        self.info = replace(super().load(path, config), projector=str(self.projector))
        return self.info


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def models(tmp_path: Path, galen_home: Path, demo_gguf: Path, jobs: FakeJobs) -> Models:
    """The embedded model, second.gguf in the folder, one export of run r1, and a broken file."""
    shutil.copy(demo_gguf, galen_home / "second.gguf")
    export = galen_home / "runs" / "r1" / "export"
    export.mkdir(parents=True)
    shutil.copy(demo_gguf, export / "tuned-Q8_0.gguf")
    (galen_home / "broken.gguf").write_bytes(demo_gguf.read_bytes()[:5000])
    settings = SettingsFile(galen_home)
    model = CurrentModel(FakeSession(), settings)
    model.preload(None)
    wait_for(lambda: model.state.info)
    return Models(galen_home, settings, model, jobs)


def key_of(models: Models, file: str) -> str:
    return next(one.key for one in models.listed() if one.file == file)


def test_what_is_here_with_its_figures(models: Models, demo_gguf: Path):
    found = {one.file: one for one in models.listed()}
    assert list(found)[0] == demo_gguf.name and found[demo_gguf.name].place == "embedded"
    assert found["second.gguf"].place == "models folder" and found["tuned-Q8_0.gguf"].place == "r1"
    second = found["second.gguf"]
    assert second.bytes == demo_gguf.stat().st_size and second.types[0][0] == "Q8_0"
    assert sum(share for _, share in second.types) == pytest.approx(1)
    assert second.can_chat and second.ctx_tokens == 2048 and second.memory_mb > second.bytes / 1e6
    assert "cut short" in found["broken.gguf"].problem
    assert len({one.key for one in found.values()}) == len(found) == 4


def test_what_an_export_made_is_no_model_of_the_catalog(models: Models):
    assert {one.file for one in models.listed() if one.is_made} == {"tuned-Q8_0.gguf"}


def test_memory_grows_with_the_context(models: Models):
    from models.header import read_header
    header = read_header(models.listed()[0].path)
    assert memory_mb(header, 64_000) > memory_mb(header, 32_000) >= memory_mb(header, 512)
    # the list of what is here and that of what can be fetched reckon alike
    assert memory_mb(header, 2048) == pytest.approx(of_header(header).memory_bytes(2048) / 1e6, rel=0.15)
    assert models.listed()[0].memory_mb == memory_mb(header, 2048)


def test_a_file_dropped_into_the_folder_is_seen_and_a_growing_one_read_again(models: Models, galen_home: Path,
                                                                             demo_gguf: Path):
    before, data = models.version(), demo_gguf.read_bytes()
    (galen_home / "new.gguf").write_bytes(data[:3000])
    assert models.version() != before and "cut short" in models.find("new.gguf").problem
    time.sleep(0.02)
    (galen_home / "new.gguf").write_bytes(data)
    assert models.find("new.gguf").problem == ""


def test_use_loads_it_and_refuses_what_can_not_be_used(models: Models, galen_home: Path):
    models.use("second.gguf")
    assert models.is_in_use(models.find("second.gguf"))
    with pytest.raises(UserError, match="cut short"):
        models.use("broken.gguf")
    for key in ("../second.gguf", "/etc/passwd", ""):
        with pytest.raises(UserError, match="not here any more"):
            models.use(key)


def test_delete_frees_its_bytes(models: Models, galen_home: Path, demo_gguf: Path):
    assert models.delete("second.gguf") == demo_gguf.stat().st_size
    assert not (galen_home / "second.gguf").exists() and (galen_home / "broken.gguf").exists()


def test_the_embedded_model_and_the_one_in_use_stay(models: Models):
    with pytest.raises(UserError, match="belongs to Galen itself"):
        models.delete(models.listed()[0].key)
    models.use("second.gguf")
    with pytest.raises(UserError, match="is the model in use; choose another one"):
        models.delete("second.gguf")
    assert models.find("second.gguf")


def test_runs_that_name_a_model_are_told_and_a_running_one_keeps_it(models: Models, galen_home: Path, jobs: FakeJobs):
    second = models.find("second.gguf")
    for name, config in (("e1", {"benchmark": "medqa", "model": str(second.path)}), ("e2", {"model": "second"}),
                         ("e3", {"model": "demo", "notes": "second"}), ("e4", {"against": ["demo", "second.gguf"]})):
        (galen_home / "runs" / name).mkdir()
        runs.write_json(galen_home / "runs" / name / runs.CONFIG, config)
    adapter = galen_home / "runs" / "t1" / runs.ADAPTER
    adapter.mkdir(parents=True)
    runs.write_json(adapter / runs.BASE, {"path": str(second.path)})
    assert models.depending(second) == ["e1", "e2", "e4", "t1"]
    jobs.running = [type("Job", (), {"folder": galen_home / "runs" / "e2", "is_over": False})()]
    with pytest.raises(UserError, match="The job e2 reads second.gguf"):
        models.delete("second.gguf")
    jobs.running[0].is_over = True
    models.delete("second.gguf")


@pytest.mark.parametrize("told, name", [
    ("model.gguf", "model.gguf"), ("../../etc/x.gguf", "x.gguf"), ("C:\\a\\My Model.GGUF", "My-Model.gguf"),
    ("second.gguf", "second-2.gguf"), ("....gguf", "model.gguf"), ("a" * 300 + ".gguf", "a" * 80 + ".gguf")])
def test_an_uploaded_file_gets_a_name_of_ours(models: Models, galen_home: Path, told: str, name: str):
    assert models.new_file(told) == galen_home / name


def test_only_sound_model_files_are_taken(models: Models, galen_home: Path, demo_gguf: Path):
    with pytest.raises(UserError, match="Only GGUF files"):
        models.new_file("model.exe")
    part, to = galen_home / "x.part", models.new_file("fresh.gguf")
    part.write_bytes(demo_gguf.read_bytes()[:9000])
    with pytest.raises(UserError, match="fresh.gguf is cut short"):
        models.take(part, to)
    assert not to.exists()
    part.write_bytes(demo_gguf.read_bytes())
    models.take(part, to)
    assert models.find("fresh.gguf").problem == ""


def test_cards_show_everything_and_escape_what_files_say(models: Models, galen_home: Path):
    hostile = models.find("broken.gguf")
    html = view.cards(models.listed(), models.is_in_use, False, "second.gguf", ["run <b>"])
    assert html.count("<li") == 4 and "in use" in html and "fits: about" in html and "no medical use" in html
    assert "That frees 10.8 MB" in html and "run &lt;b&gt;" in html and "<b>" not in html
    assert html.count('data-act="delete"') == 1 and html.count('data-act="ask"') == 3
    bad = view.cards([type(hostile)(key='"><img>', path=hostile.path, file="<img src=x>", place="r", bytes=1,
                                    problem="<script>")], lambda one: False, False)
    assert "<img" not in bad and "<script" not in bad
    empty = view.cards(models.listed()[:1], models.is_in_use, False)
    assert "add a model file (GGUF)" in empty
    assert [view.size(count) for count in (0, 900, 2.5e6, 3e9)] == ["0 MB", "0.9 kB", "2.5 MB", "3.0 GB"]


def test_what_is_another_programs_is_used_and_never_deleted(models: Models, galen_home: Path, demo_gguf: Path,
                                                            tmp_path: Path):
    snapshot = in_hub_cache(tmp_path / "hub", "jane/tiny-GGUF", {"tiny.gguf": demo_gguf})
    theirs = models.find("Hugging Face cache/jane/tiny-GGUF/tiny.gguf")
    assert not theirs.is_ours and theirs.place == "Hugging Face cache" and theirs.repo == "jane/tiny-GGUF"
    assert {"tiny", "tiny.gguf", "Galen demo", "jane/tiny-GGUF"} == set(theirs.names)
    with pytest.raises(UserError, match="belongs to Hugging Face cache, and Galen deletes nothing of other programs"):
        models.delete(theirs.key)
    models.use(theirs.key)
    assert models.is_in_use(theirs) and theirs.path == snapshot / "tiny.gguf"
    models.use("second.gguf")
    fetched.add("jane/tiny-GGUF", snapshot.name, "tiny.gguf")
    assert models.find(theirs.key).is_ours
    assert models.delete(theirs.key) == demo_gguf.stat().st_size and not snapshot.exists()
    with pytest.raises(UserError, match="not here any more"):
        models.find(theirs.key)


def test_a_model_in_parts_goes_with_all_of_them(models: Models, galen_home: Path, demo_gguf: Path):
    parts = rewritten(demo_gguf, galen_home / "big.gguf", split=40)
    big = models.find("big-00001-of-00003.gguf")
    assert big.files == tuple(parts) == models.going(big) and big.memory_mb >= models.find("second.gguf").memory_mb
    assert models.delete(big.key) == sum(one.bytes for one in [big]) and not any(path.exists() for path in parts)


def test_a_projector_goes_with_the_last_model_that_sees_with_it(models: Models, galen_home: Path, demo_base: Path,
                                                                tmp_path: Path):
    seeing = export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    eyes = galen_home / "mmproj-seeing.gguf"
    shutil.copy(tmp_path / "mmproj-seeing.gguf", eyes)
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(seeing, galen_home / name)
    found = models.find("a.gguf")
    assert found.can_see and found.projector == eyes
    assert found.memory_mb > (found.weights_bytes + eyes.stat().st_size) / 1e6
    assert models.going(found) == (galen_home / "a.gguf",)
    models.delete("a.gguf")
    assert eyes.exists() and models.going(models.find("b.gguf")) == (galen_home / "b.gguf", eyes)
    models.delete("b.gguf")
    assert not eyes.exists()


def test_a_projector_stays_while_a_model_beside_it_is_still_to_be_read(models: Models, galen_home: Path,
                                                                       demo_base: Path, tmp_path: Path):
    class Reading(Models):
        def listed(self) -> list[Found]:
            return [replace(one, is_unread=True, projector=None) if one.key == "b.gguf" else one
                    for one in models.listed()]

    seeing = export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    shutil.copy(tmp_path / "mmproj-seeing.gguf", galen_home)
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(seeing, galen_home / name)
    reading = Reading(galen_home, models._settings, models._model, models._jobs)
    assert reading.going(reading.find("a.gguf")) == (galen_home / "a.gguf",)


def test_the_projector_of_the_model_in_use_stays(galen_home: Path, demo_base: Path, jobs: FakeJobs, tmp_path: Path):
    eyes = galen_home / "mmproj-eyes.gguf"
    export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    shutil.copy(tmp_path / "mmproj-seeing.gguf", eyes)
    model = CurrentModel(SeeingSession(eyes), SettingsFile(galen_home))
    model.preload(None)
    wait_for(lambda: model.state.info)
    models = Models(galen_home, SettingsFile(galen_home), model, jobs)
    with pytest.raises(UserError, match="The model in use sees with mmproj-eyes.gguf"):
        models.delete("mmproj-eyes.gguf")
    assert eyes.exists()


def test_a_model_without_a_template_says_what_is_missing(models: Models, demo_gguf: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch):
    [bare] = rewritten(demo_gguf, tmp_path / "bare.gguf", without=[TEMPLATE])
    in_ollama(tmp_path / "store", "tiny:1", {"model": bare, "template": "<|im_start|>"})
    monkeypatch.setenv("GALEN_ELSEWHERE", "yes")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "store"))
    found = models.find("Ollama/tiny:1")
    assert "Ollama keeps the chat template of tiny:1 in a form of its own" in found.problem
    with pytest.raises(UserError, match="it is not known how to talk to it. Get the model as a GGUF instead"):
        models.use(found.key)
    with pytest.raises(UserError, match="tiny:1 belongs to Ollama"):
        models.delete(found.key)


def test_many_files_are_listed_while_they_are_read(models: Models, galen_home: Path, demo_gguf: Path):
    data = demo_gguf.read_bytes()
    for number in range(20):
        (galen_home / f"m{number:02}.gguf").write_bytes(data)
    listed = models.listed()
    assert len(listed) == 24 and any(one.is_unread for one in listed)
    unread = next(one for one in listed if one.is_unread)
    assert unread.bytes == len(data) and not unread.problem
    before = models.version()
    wait_for(lambda: not any(one.is_unread for one in models.listed()))
    assert models.version() != before and models.find(unread.key).can_chat


def test_five_hundred_files_are_no_heavy_page(models: Models):
    one = models.find("second.gguf")
    many = [replace(one, key=f"m{k}", file=f"m{k}.gguf", place="LM Studio", is_ours=False) for k in range(500)]
    html = view.cards([*models.listed(), *many], lambda found: found.key == "m400", False)
    assert html.count("<li") == view.SHOWN and "Show 474 more" in html and len(html) < 40_000
    assert "Of other programs" in html and "m400.gguf" in html          # what is in use is among the first
    assert html.count('data-act="ask"') == 3                            # nothing of theirs can be deleted
    assert view.cards([*many], lambda found: False, False, most=1000).count("<li") == 500


def test_a_projector_that_galen_did_not_fetch_stays(models: Models, demo_base, tmp_path: Path):
    model = export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    eyes = tmp_path / "mmproj-seeing.gguf"
    first = in_hub_cache(tmp_path / "hub", "jane/eyes", {"a.gguf": model, eyes.name: eyes})
    fetched.add("jane/eyes", first.name, "a.gguf")
    one = models.find(key_of(models, "a.gguf"))
    assert one.can_see and one.is_ours and models.going(one) == (first / "a.gguf",)
    fetched.add("jane/eyes", first.name, eyes.name)
    assert models.going(one) == (first / "a.gguf", first / eyes.name)
    [other] = rewritten(model, tmp_path / "b.gguf", text={"general.description": "another"})
    second = in_hub_cache(tmp_path / "hub", "jane/eyes", {"b.gguf": other, eyes.name: eyes}, "b" * 40, is_main=False)
    assert models.find(key_of(models, "b.gguf")).can_see            # with the same file, under another name
    models.delete(one.key)
    assert (second / eyes.name).exists() and models.find(key_of(models, "b.gguf")).can_see


def test_a_folder_called_as_the_embedded_model_is_the_users(models: Models, demo_gguf: Path):
    (models.home / "embedded").mkdir()
    shutil.copy(demo_gguf, models.home / "embedded" / "x.gguf")
    one = models.find(key_of(models, "x.gguf"))
    assert one.place == "models folder/embedded" and models.delete(one.key) and not one.path.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, None])
def test_settings_of_a_run_that_can_not_be_read_name_nothing(models: Models, text: str | None):
    note = models.home / "runs" / "r2" / "config.json"
    note.parent.mkdir(parents=True)
    note.write_text(text) if text else note.mkdir()
    assert models.depending(models.find(key_of(models, "second.gguf"))) == []


def test_a_long_name_keeps_the_number_of_its_part(models: Models):
    assert models.new_file("a" * 99 + "-00002-of-00003.gguf").name == "a" * 80 + "-00002-of-00003.gguf"


def test_a_name_that_is_no_text_is_shown_as_what_it_is(models: Models, demo_gguf: Path):
    name = b"caf\xe9.gguf"
    try:
        shutil.copy(demo_gguf, os.fsencode(models.home) + b"/" + name)
    except OSError:
        pytest.skip("this system has no such names")
    one = models.find("caf\\udce9.gguf")
    assert "is not in UTF-8" in one.problem
    assert view.cards(models.listed(), models.is_in_use, False, one.key, going=models.going(one)).encode()
    assert models.delete(one.key) and not os.path.exists(os.fsencode(models.home) + b"/" + name)


def test_a_file_that_came_during_an_upload_is_not_written_over(models: Models, demo_gguf: Path):
    to = models.new_file("new.gguf")
    for name in (".one.part", ".two.part"):
        shutil.copy(demo_gguf, models.home / name)
    to.write_bytes(b"the user's own")
    models.take(models.home / ".one.part", to)
    models.take(models.home / ".two.part", to)
    assert to.read_bytes() == b"the user's own" and not list(models.home.glob("*.part"))
    assert all((models.home / name).stat().st_size == demo_gguf.stat().st_size for name in ("new-2.gguf", "new-3.gguf"))


def test_the_model_in_use_is_known_by_a_link_to_it_too(models: Models):
    link = models.home / "z-link.gguf"
    link.symlink_to(models.home / "second.gguf")
    models._model.preload(link)
    wait_for(lambda: models._model.state.info and not models._model.state.loading)
    with pytest.raises(UserError, match="is the model in use"):
        models.delete(key_of(models, "second.gguf"))

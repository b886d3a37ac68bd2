"""A kit made of a copy with stub packages, set up in another folder with the network cut off."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gguf import GGUFReader

from launcher import has_compiler
from models.errors import UserError
from models.ggufs import is_model
from models.projector import projector_for
from models.split import part_of, read_whole
from setup import kit as packed
from tests.launching import Copy, fresh_copy, make_wheel, stub_wheels
from tests.models.places import GO_TEMPLATE, TEMPLATE, in_hub_cache, in_ollama, rewritten
from ui.actions import kit
from ui.actions.kit import KitConfig

HERE = packed.machine()
MODEL = "models/files/second.gguf"
WHEEL = "llama_cpp_python-0.3.36-py3-none-any.whl"
CUT_OFF = ["unshare", "-rn"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path, demo_gguf: Path) -> Path:
    """A kit of a copy that git tracks, with a model, and with things in the folder that are the user's own."""
    folder = tmp_path_factory.mktemp("made")
    root = fresh_copy(folder / "galen copy", wheels).folder
    (root / "models" / "files").mkdir(parents=True)
    (root / ".gitignore").write_text("/models/files/\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    for own in ("patients.csv", "ui/notes.txt", "models/files/settings.json"):
        (root / own).write_text("quartz-lung-7731")
    shutil.copy(demo_gguf, folder / "second.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GALEN_HOME", str(folder / "home"))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_FIND_LINKS", wheels.as_uri())
        (folder / "my kit.part").mkdir()
        (folder / "my kit.part" / "of-one-that-was-killed").touch()
        return kit.make(KitConfig(out=str(folder / "my kit"), models=(str(folder / "second.gguf"),),
                                  llama_wheel=str(wheels / WHEEL)), root)


@pytest.fixture
def other(made: Path, tmp_path: Path) -> Copy:
    """The kit on another machine, whose settings of pip name nothing that is there."""
    folder = tmp_path / "other ünï machine" / "kit"
    shutil.copytree(made, folder)
    return Copy(folder, Path("/nowhere"))


def test_a_kit_holds_what_is_tracked_and_what_was_chosen(made: Path):
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert {"launcher.py", "setup/kit.py", "requirements/chat.txt", "models/files/second.gguf", "kit.json",
            "SHA256SUMS", "READ-ME-FIRST.txt", f"wheels/{WHEEL}", "wheels/stub_chat-1.0-py3-none-any.whl"} <= names
    assert not [name for name in names if "torch" in name or "killed" in name or name.startswith(".git/")]
    assert not [name for name in names if b"quartz-lung-7731" in (made / name).read_bytes()]
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=made, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux network namespaces")
def test_a_kit_sets_up_with_the_network_cut_off(other: Copy):
    if subprocess.run([*CUT_OFF, "true"], capture_output=True).returncode:
        pytest.skip("unshare -rn is not allowed here")
    (other.folder / MODEL).unlink()                             # its owner needs it no more
    (other.folder / "wheels" / ".DS_Store").touch()             # as file managers leave them
    (other.folder / "wheels" / "Thumbs.db").touch()
    (other.folder / "constraints.txt").write_text("stub-chat==9.9\n")
    own = other.environment(PIP_TARGET=str(other.folder / "elsewhere"), PIP_NO_BINARY=":all:",
                            PIP_CONSTRAINT=str(other.folder / "constraints.txt"))
    for is_later in (False, True):              # the second start has nothing to set up
        done = subprocess.run([*CUT_OFF, *other.command("chat", "a b")], env=own, cwd=other.folder,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and '"chat": "1.0"' in done.stdout, done.stderr
        assert (f"{MODEL} of the kit is not here: deleted, or not copied" in done.stdout) is not is_later
    assert "Checking the kit" not in done.stdout and not (other.folder / "elsewhere").exists()
    refused = other.start("train", "qa")
    assert refused.returncode == 2 and "does not hold the train set; make it with --training" in refused.stderr


def refused(other: Copy) -> str:
    done = other.start("setup")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not (other.folder / ".venv/galen-chat.json").exists()
    return done.stderr


def test_nothing_is_installed_that_was_not_packed(other: Copy, tmp_path: Path):
    wheel = other.folder / "wheels" / "stub_chat-1.0-py3-none-any.whl"
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "wheels/stub_chat-1.0-py3-none-any.whl is missing or damaged; copy the kit again" in refused(other)
    wheel.unlink()
    assert "wheels/stub_chat-1.0-py3-none-any.whl is missing or damaged" in refused(other)
    wheel.write_bytes(whole)
    more = make_wheel(other.folder / "wheels", "stub-chat", "1.0.1", {"stub_chat.py": "raise SystemExit"})
    assert f"wheels/{more.name} does not belong to this kit; delete it" in refused(other)
    more.unlink()
    (other.folder / "models/files/second.gguf").write_bytes(b"GGUF")       # before the first set-up, all is looked at
    assert "models/files/second.gguf is missing or damaged" in refused(other)
    (other.folder / "kit.json").write_text("{")
    assert "kit.json is damaged; copy the kit again" in refused(other)


def test_a_deleted_model_is_no_damage(other: Copy):
    """Or one that went elsewhere with the user's folder; once .venv is deleted, all is looked at as at first."""
    assert packed.damage(other.folder, is_whole=True) == "" and packed.absent_models(other.folder) == []
    (other.folder / MODEL).unlink()
    assert packed.damage(other.folder, is_whole=True) == "" and packed.absent_models(other.folder) == [MODEL]
    (other.folder / "setup/place.py").unlink()
    assert packed.damage(other.folder, is_whole=True).startswith("setup/place.py is missing")
    (other.folder / "SHA256SUMS").write_text("")
    assert packed.damage(other.folder, is_whole=True).startswith("SHA256SUMS can not be read")


KIT = {**HERE, "sets": ["chat"], "needs_avx2": True, "glibc": ""}


@pytest.mark.parametrize(("changed", "has_avx2", "says"), [
    ({}, True, ""), ({"system": "Plan9"}, True, "this kit is for Plan9 on"), ({"arch": "vax"}, True, "on vax, and"),
    ({"python": "3.99"}, True, "this kit is for Python 3.99, and"), ({"glibc": "9.1"}, True, "with glibc 9.1 or newer"),
    ({}, False, "processors with AVX2, which this one lacks"), ({"needs_avx2": False}, False, ""),
    ({"sets": []}, True, "does not hold the chat set")])
def test_a_kit_for_another_machine_says_so(changed: dict, has_avx2: bool, says: str):
    problem = packed.problem({**KIT, **changed}, ["chat"], has_avx2)
    assert says in problem and bool(says) == bool(problem)


@pytest.mark.skipif(os.name == "nt", reason="shell scripts of POSIX")
def test_the_python_that_a_kit_is_for_is_found_beside_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    right = tmp_path / "python3.99"
    right.write_text("#!/bin/sh\n")
    right.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packed.other_python({"python": "3.99"}) == [str(right)]
    assert packed.other_python({"python": "3.98"}) == [] == packed.other_python({}) == packed.other_python(HERE)


def test_a_wheel_compiled_before_is_taken_and_half_a_kit_is_none(wheels: Path, tmp_path: Path, galen_home: Path,
                                                                 monkeypatch: pytest.MonkeyPatch):
    root = fresh_copy(tmp_path / "plain copy", wheels).folder       # without git, as from an archive
    (root / "patients.csv").write_text("the user's")
    (root / ".venv").mkdir()
    kept = galen_home / "cache" / "kit" / f"llama-cpp-python==0.3.36-{HERE['arch']}"
    kept.mkdir(parents=True)
    shutil.copy(wheels / WHEEL, kept)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    with pytest.raises(UserError, match="wheels of the chat set could not be had: No matching distribution .*pip.log"):
        kit.make(KitConfig(), root)
    assert not list(tmp_path.glob("galen-kit*"))
    monkeypatch.setenv("PIP_FIND_LINKS", wheels.as_uri())
    made = kit.make(KitConfig(), root)
    assert made.parent == tmp_path and (made / "wheels" / WHEEL).is_file() and (made / "setup/kit.py").is_file()
    assert not (made / "patients.csv").exists() and not (made / ".venv").exists()


@pytest.mark.skipif(os.name == "nt" or not has_compiler("Linux"), reason="a shell script in the place of Python")
def test_no_setting_of_this_machine_gets_into_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                               galen_home: Path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nwhile [ "$1" != -w ]; do shift; done\n'
                      'echo "$CMAKE_ARGS|$CFLAGS|$CXXFLAGS|" > "$2/made.whl"\n')
    python.chmod(0o755)
    for name in ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS"):
        monkeypatch.setenv(name, "-march=native")
    kit._compile("llama-cpp-python==0.3.36", str(python), tmp_path / "kept" / "wheel")
    assert (tmp_path / "kept/wheel/made.whl").read_text() == "-DGGML_NATIVE=OFF|||\n"


@pytest.mark.parametrize(("config", "says"), [
    (KitConfig(models=("no-such-model",)), "no model 'no-such-model' here"),
    (KitConfig(llama_wheel="x.whl"), r"--llama-wheel is x.whl; name a file llama_cpp_python-0.3.36-....whl"),
    (KitConfig(out="."), "exists and is not an empty folder; choose another place")])
def test_what_can_not_be_packed_is_said(config: KitConfig, says: str, wheels: Path, tmp_path: Path, galen_home: Path):
    root = fresh_copy(tmp_path / "copy", wheels).folder
    with pytest.raises(UserError, match=says):
        kit.make(config, root)
    assert {one.name for one in tmp_path.iterdir()} == {"copy", "home"}


def test_of_a_base_folder_hidden_files_stay_behind(demo_base: Path, tmp_path: Path):
    folder = tmp_path / "my base"
    shutil.copytree(demo_base, folder, ignore=shutil.ignore_patterns("*.gguf"))
    (folder / ".git").mkdir()
    for name in (".env", ".git/config"):
        (folder / name).write_text("HF_TOKEN=hf_secret")
    names = [place for _, place in kit.model_files(str(folder))]
    assert "my base/config.json" in names and not [name for name in names if "/." in name]


def split(name: str) -> str:
    return f"{name}-00001-of-00003.gguf"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, demo_base: Path) -> Path:
    """A model that sees; beside it its projector."""
    from tests.runtime.seeing import export_seeing, make_seeing
    base = make_seeing(tmp_path_factory.mktemp("base"), demo_base)
    return export_seeing(base, tmp_path_factory.mktemp("gguf"))


def unpacked(names: list[str], folder: Path) -> dict[str, Path | None]:
    """The models as they lie in a kit: name -> the projector that is then found for it."""
    for to, path in kit.chosen(names).items():
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / to)
    return {path.name: projector_for(read_whole(path), "") for path in folder.glob("*.gguf")
            if is_model(path.name) and (part_of(path.name) or ("", 1, 0))[1] == 1}


def test_every_model_has_its_own_eyes_in_a_kit(seeing: Path, tmp_path: Path, galen_home: Path):
    """Each repository calls its projector the same, which may know its model by their common place alone."""
    eyes = seeing.parent / "mmproj-seeing.gguf"
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(eyes.read_bytes().replace(b"Seeing", b"Vision", 1))
    first = in_hub_cache(tmp_path / "hub", "jane/one", {"one.Q8_0.gguf": seeing, "mmproj-F16.gguf": strange})
    parts = rewritten(seeing, tmp_path / "three.gguf", split=len(GGUFReader(seeing).tensors) // 3 + 1)
    second = in_hub_cache(tmp_path / "hub", "jane/two", {
        **{one.name: one for one in parts}, "mmproj-F16.gguf": eyes})
    blob = in_ollama(tmp_path / "store", "eyes:1b", {"model": seeing, "projector": eyes})
    kept = tmp_path / "kept"
    found = unpacked([str(first / "one.Q8_0.gguf"), str(second / split("three")), str(blob)], kept)
    assert len(found) == 3 and found["one.Q8_0.gguf"] == kept / "one.Q8_0.mmproj.gguf"
    assert found["one.Q8_0.gguf"].read_bytes() == strange.read_bytes() != eyes.read_bytes()
    assert found[split("three")] == kept / "three-00001-of-00003.mmproj.gguf" and all(found.values())


def test_what_would_be_of_no_use_in_a_kit_is_said(demo_gguf: Path, tmp_path: Path, galen_home: Path):
    parts = rewritten(demo_gguf, tmp_path / "big.gguf", split=40)
    assert [to for _, to in kit.model_files(str(parts[0]))] == [one.name for one in parts]
    parts[1].unlink()
    with pytest.raises(UserError, match="big-00002-of-00003.gguf is missing"):
        kit.model_files(str(parts[0]))
    [bare] = rewritten(demo_gguf, tmp_path / "bare.gguf", without=[TEMPLATE])
    blob = in_ollama(tmp_path / "store", "tiny:1", {"model": bare, "template": GO_TEMPLATE})
    with pytest.raises(UserError, match="has its chat template from .*blobs, and would have none in a kit"):
        kit.model_files(str(blob))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(demo_gguf, tmp_path / folder / "m.gguf")
    assert list(kit.chosen([str(tmp_path / "a" / "m.gguf")] * 2)) == ["m.gguf"]         # named twice
    with pytest.raises(UserError, match="would both be m.gguf in the kit; rename one"):
        kit.chosen([str(tmp_path / "a" / "m.gguf"), str(tmp_path / "b" / "m.gguf")])

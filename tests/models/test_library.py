"""What lies on disk is found by name, by path and by run, and refused with a sentence."""

import shutil

import gguf
import pytest

from models import library, runs
from models.errors import UserError


def put(source, *places):
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def test_lists_the_embedded_model_first_then_the_users(galen_home, demo_gguf):
    put(demo_gguf, galen_home / "mine.gguf", galen_home / "runs" / "r1" / runs.EXPORT / "r1-Q8_0.gguf",
        galen_home / "runs" / "r1" / runs.EXPORT / "r1-Q4_0.failed.gguf")
    (galen_home / "broken.gguf").write_bytes(b"GGUF")
    models = library.chat_models()
    assert [m.name for m in models] == ["demo", "mine", "r1-Q8_0"]
    assert all("no medical use" in m.notice and "GB" in m.title for m in models)


def test_two_files_of_one_name_can_be_told_apart(galen_home, demo_gguf):
    paths = [galen_home / "runs" / r / runs.EXPORT / "same-Q8_0.gguf" for r in ("a", "b")]
    put(demo_gguf, *paths)
    names = [m.name for m in library.chat_models()]
    assert len(set(names)) == 3 and {library.find_model(name) for name in names[1:]} == set(paths)


def test_the_demonstrations_models_are_listed_and_told_apart(galen_home, demo_gguf):
    paths = [galen_home / "runs" / f"demo-{k}" / "train" / runs.EXPORT / "consultations-Q8_0.gguf" for k in (1, 2)]
    put(demo_gguf, *paths)
    listed = library.chat_models()[1:]
    assert {model.path for model in listed} == set(paths)
    assert sorted(model.title.split("(")[1] for model in listed) == ["demo-1 / train)", "demo-2 / train)"]


def test_a_link_that_leads_nowhere_is_left_out(galen_home, demo_gguf):
    (galen_home / "gone.gguf").symlink_to(galen_home / "nowhere.gguf")
    (galen_home / "folder.gguf").mkdir()
    assert [m.name for m in library.chat_models()] == ["demo"]


def test_a_model_is_found_by_path_name_and_run(galen_home, demo_gguf):
    path = galen_home / "runs" / "r1" / runs.EXPORT / "r1-Q8_0.gguf"
    put(demo_gguf, path)
    for name in (str(path), "r1-Q8_0", "r1-Q8_0.gguf", "r1", str(path.parent), str(path.parent.parent)):
        assert library.find_model(name) == path
    assert library.find_model("demo") == library.demo_gguf()


def test_what_is_not_there_is_named(galen_home, demo_gguf, tmp_path):
    with pytest.raises(UserError, match="no model 'none' here; there are demo"):
        library.find_model("none")
    folder = galen_home / "runs" / "r1" / runs.EXPORT
    put(demo_gguf, folder / "r1-Q8_0.gguf", folder / "r1-Q4_0.gguf")
    with pytest.raises(UserError, match="holds 2 models; name one: r1-Q4_0.gguf, r1-Q8_0.gguf"):
        library.find_model("r1")
    with pytest.raises(UserError, match="does not exist"):
        library.find_base(str(tmp_path / "none"))
    with pytest.raises(UserError, match="is a GGUF; training starts from"):
        library.find_base(str(folder / "r1-Q8_0.gguf"))


def test_what_is_no_whole_model_is_called_what_it_is(tmp_path, demo_gguf, demo_base):
    for kind, architecture, text in (("adapter", "gemma3", "is an adapter"), ("imatrix", "", "an importance matrix"),
                                     ("mmproj", "clip", "a vision projector"), ("model", "clip", "vision projector")):
        path = tmp_path / f"{kind}-{architecture}.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        if not architecture:
            writer.kv_data[0].clear()
        writer.add_type(kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        with pytest.raises(UserError, match=f"{path.name} is .*{text.removeprefix('is ')}.* name the model's GGUF"):
            library.find_model(str(path))
    with pytest.raises(UserError, match="is a model as safetensors.*export it first: python launcher.py export"):
        library.find_model(str(shutil.copytree(demo_base, tmp_path / "m", ignore=shutil.ignore_patterns("*.gguf"))))


def snapshot(cache, base, name: str):
    """A copy of base as the hub's cache holds a model called name."""
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0123abcd")
    shutil.copytree(base, place / "snapshots" / "0123abcd", ignore=shutil.ignore_patterns("*.py", "*.gguf", "*.md"))
    return place / "snapshots" / "0123abcd"


def test_a_base_is_found_by_its_name_in_the_hubs_cache(tmp_path, demo_base, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"google/gemma-9b-it is neither a folder nor in Hugging Face's cache .* "
                                        r"download it \(hf download google/gemma-9b-it\)"):
        library.find_base("google/gemma-9b-it")
    there = snapshot(tmp_path, demo_base, "google/gemma-9b-it")
    assert library.find_base("google/gemma-9b-it") == there
    (there / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights as .safetensors"):
        library.find_base("google/gemma-9b-it")
    assert library.find_base("demo") == runs.DEMO_BASE
    with pytest.raises(UserError, match="The base model folder .*nowhere does not exist"):
        library.find_base("nowhere")


@pytest.mark.parametrize("keys, words", [
    ({}, "Hugging Face folder\\."),
    ({"general.name": "Gemma 3 1b It"}, r"\(the file says it was made from Gemma 3 1b It\)"),
    ({"general.name": "x", "general.base_model.0.name": "Gemma 3", "general.base_model.0.organization": "Google"},
     r"made from Google/Gemma 3\)"),
    ({"general.base_model.0.repo_url": "https://huggingface.co/google/gemma-3-1b-it", "general.name": "x"},
     r"made from https://huggingface.co/google/gemma-3-1b-it\)")])
def test_a_gguf_is_no_base_and_says_which_one_it_came_from(tmp_path, keys, words):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "gemma3")
    for key, value in keys.items():
        writer.add_string(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(UserError, match=f"x.gguf is a GGUF; training starts from .*{words}"):
        library.find_base(str(tmp_path / "x.gguf"))


def test_a_gguf_that_can_not_be_read_is_no_base_either(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"x.gguf is a GGUF; training starts from the original model's .* folder\."):
        library.find_base(str(tmp_path / "x.gguf"))


def test_a_file_of_the_embedded_models_name_does_not_take_it(galen_home, demo_gguf):
    shutil.copy(demo_gguf, galen_home / "demo.gguf")
    assert [model.name for model in library.chat_models()] == ["demo", str(galen_home / "demo.gguf")]


@pytest.mark.parametrize("name", ["~no-such-user/x.gguf", "x" * 5000, "a/" * 3000 + "b"])
def test_a_name_that_no_file_can_have_is_not_here(galen_home, name):
    with pytest.raises(UserError, match="There is no model"):
        library.find_model(name)
    with pytest.raises(UserError):
        library.find_base(name)

"""What Ollama holds is found by its manifests, called as Ollama calls it, and used where that is the same model."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models import library
from models.elsewhere import ollama
from models.errors import UserError
from models.header import read_header
from models.opened import gemma_template, open_header
from models.projector import projector_for
from models.shelf import Shelf
from tests.models.places import GO_TEMPLATE, TEMPLATE, in_ollama, rewritten
from tests.ui.fakes import wait_for


def others():
    return [entry for entry in Shelf(is_patient=True).look() if entry.spot.program]


@pytest.mark.parametrize(("host", "name"), [
    ("registry.ollama.ai/library", "tiny:4b"), ("registry.ollama.ai/jane", "jane/tiny:4b"),
    ("hf.co/unsloth", "hf.co/unsloth/tiny:4b")])
def test_a_model_is_called_as_ollama_calls_it(user, demo_gguf, host, name):
    blob = in_ollama(user / ".ollama" / "models", "tiny:4b", {"model": demo_gguf, "license": "free"}, host)
    [entry] = others()
    assert (entry.spot.program, entry.spot.name, entry.path) == ("Ollama", name, blob)
    assert entry.can_chat and not entry.is_ours and not entry.problem
    [model] = [one for one in library.chat_models() if one.place]
    assert (model.name, model.path) == (name, blob) and model.title.endswith("(Ollama)")
    assert library.find_model(name) == library.find_model(str(blob)) == blob
    assert open_header(blob).template == read_header(demo_gguf).template


def test_the_place_is_the_one_that_ollama_is_told(user, demo_gguf, tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", f' "{tmp_path / "far"}" ')
    in_ollama(tmp_path / "far", "tiny:latest", {"model": demo_gguf})
    assert [entry.spot.name for entry in others()] == ["tiny:latest"]
    monkeypatch.setenv("GALEN_ELSEWHERE", "no")
    assert not others()


def test_the_template_of_gemma_is_known_where_the_file_has_none(user, demo_gguf, tmp_path):
    [bare] = rewritten(demo_gguf, tmp_path / "bare.gguf", without=[TEMPLATE])
    store = user / ".ollama" / "models"
    blob = in_ollama(store, "tiny:4b", {"model": bare, "template": GO_TEMPLATE})
    [entry] = others()
    assert entry.can_chat and not entry.facts.has_template
    assert open_header(blob).template == gemma_template() and open_header(bare).template == ""
    in_ollama(store, "tiny:4b", {"model": bare, "template": "<|im_start|>user {{ .Prompt }}"})
    [entry] = others()
    assert not entry.can_chat and entry.spot.has_go_template and open_header(blob).template == ""


def test_its_projector_goes_with_it(user, demo_gguf, tmp_path):
    from tests.runtime.seeing import export_seeing, make_seeing
    model = export_seeing(make_seeing(tmp_path / "base", demo_gguf.parent), tmp_path)
    blob = in_ollama(user / ".ollama" / "models", "eyes:1b", {
        "model": model, "projector": model.parent / "mmproj-seeing.gguf"})
    [entry] = others()
    assert entry.projector and entry.projector.parent == blob.parent and entry.projector != blob
    assert projector_for(open_header(blob), "") == entry.projector


def test_what_llama_cpp_can_not_open_is_told(user, demo_gguf, tmp_path):
    store = user / ".ollama" / "models"
    vision = {"v.patch_embd.weight": np.ones((8, 8), np.float32)}
    [tower] = rewritten(demo_gguf, tmp_path / "tower.gguf", tensors=vision)
    in_ollama(store, "a:tower", {"model": tower})
    in_ollama(store, "b:joined", {"model": demo_gguf, "adapter": "adapter"})
    in_ollama(store, "c:parts", {"model": rewritten(demo_gguf, tmp_path / "big.gguf", split=40)})
    (store / "blobs" / "sha256-bad").write_bytes(b"")
    problems = {entry.spot.name: entry.problem for entry in others()}
    assert "holds its vision part in the same file" in problems["a:tower"]
    assert "c:parts in 3 parts" in problems["c:parts"]
    assert "b:joined is a base with an adapter" in problems["b:joined"]
    blob = ollama.read_manifest(store / "manifests/registry.ollama.ai/library/a/tower", store).models[0]
    with pytest.raises(UserError, match="get the model as a GGUF with an mmproj file"):
        open_header(blob)


def test_a_listed_name_goes_before_another_name_of_another_model(user, demo_gguf, tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "own"))
    [other] = rewritten(demo_gguf, tmp_path / "other.gguf", text={"general.name": "Other"})
    blobs = [in_ollama(tmp_path / "own", name, {"model": demo_gguf}) for name in ("a:1", "c:1", "b:1")]
    found = in_ollama(user / ".ollama" / "models", "b:1", {"model": other})
    assert library.find_model("b:1") == found and library.find_model("c:1") == blobs[0]


def test_what_is_no_manifest_is_left_alone(user, demo_gguf):
    store = user / ".ollama" / "models"
    in_ollama(store, "good:1", {"model": demo_gguf})
    place = store / "manifests" / "registry.ollama.ai" / "library"
    (store / "outside.gguf").write_bytes(demo_gguf.read_bytes() + b"another")
    (store / "blobs" / "sha256-x").mkdir()
    outside = [{"mediaType": "application/vnd.ollama.image.model", "digest": digest} for digest in (
        "sha256:x/../../outside.gguf", "sha256:" + "g" * 64, None, 3)]
    outside.append({"mediaType": "application/vnd.ollama.image.tensor"})
    texts = ["", "[]", "{}", "nonsense", '{"layers": 3}', '{"layers": [3, null]}', "[" * 100_000]
    texts += [json.dumps({"layers": [layer]}) for layer in outside]
    for number, text in enumerate(texts):
        (place / "bad").mkdir(exist_ok=True)
        (place / "bad" / str(number)).write_text(text)
    (place / "bad" / "folder").mkdir()
    assert [entry.spot.name for entry in others()] == ["good:1"]


def test_a_manifest_that_changes_is_read_again(user, demo_gguf):
    store, shelf = user / ".ollama" / "models", Shelf()
    blob = in_ollama(store, "good:1", {"model": demo_gguf})
    assert [entry.spot.name for entry in shelf.look() if entry.spot.program] == ["good:1"]
    (store / "manifests/registry.ollama.ai/library/good/1").write_text("{}")
    wait_for(lambda: not [entry for entry in shelf.look() if entry.spot.program])
    assert blob.exists()


def test_of_several_names_of_one_blob_the_one_that_can_be_used_is_listed(user, demo_gguf, tmp_path):
    store = user / ".ollama" / "models"
    in_ollama(store, "a-joined:1", {"model": demo_gguf, "adapter": "adapter"})
    in_ollama(store, "b:1", {"model": demo_gguf, "template": "{{ .Prompt }}"})
    in_ollama(store, "c:1", {"model": demo_gguf, "template": GO_TEMPLATE})
    in_ollama(store, "d:1", {"model": demo_gguf, "template": GO_TEMPLATE})
    assert [(entry.spot.name, entry.problem, entry.spot.also) for entry in others()] == [("c:1", "", ("d:1",))]


def test_every_name_of_one_blob_is_understood_and_the_shortest_is_listed(user, demo_gguf):
    store = user / ".ollama" / "models"
    for number, host in enumerate(("hf.co/unsloth", "registry.ollama.ai/jane", "registry.ollama.ai/library",
                                   "localhost:5000/library"), 1):
        blob = in_ollama(store, f"x:{number}", {"model": demo_gguf}, host)
    [model] = [one for one in library.chat_models() if one.place]
    assert model.name == "x:3" and model.also == ("hf.co/unsloth/x:1", "jane/x:2", "localhost:5000/library/x:4")
    assert {library.find_model(name) for name in (model.name, *model.also)} == {blob}


def moved_to(store, name, text):
    """Put the manifest of library/NAME/1 where Ollama's change 15735 has it: text, or a link to a blob."""
    old = store / "manifests" / "registry.ollama.ai" / "library" / name / "1"
    data = old.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    (store / "blobs" / f"sha256-{digest}").write_bytes(data)
    old.unlink()
    new = store / "manifests-v2" / "ollama.com" / "library" / name / "1"
    new.parent.mkdir(parents=True)
    if text:
        new.write_text(text.replace("DIGEST", digest))
    else:
        new.symlink_to(os.path.relpath(store / "blobs" / f"sha256-{digest}", new.parent))


def test_manifests_of_the_second_layout_are_read(user, demo_gguf, tmp_path):
    store = user / ".ollama" / "models"
    listed = {"manifests": [{"digest": "sha256:" + "0" * 64, "runner": "mlx"}, 3, {"layers": 3},
                            {"digest": "sha256:DIGEST", "runner": "ggml"}]}
    for number, text in enumerate(("", json.dumps(listed))):
        own = tmp_path / "own.gguf"
        own.write_bytes(demo_gguf.read_bytes() + bytes(number))
        blob = in_ollama(store, f"m{number}:1", {"model": own})
        moved_to(store, f"m{number}", text)
        assert library.find_model(f"m{number}:1") == blob and open_header(blob).template
    in_ollama(store, "m0:1", {"model": rewritten(demo_gguf, tmp_path / "old.gguf", text={"general.name": "old"})[0]})
    assert [entry.spot.name for entry in others()] == ["m0:1", "m1:1"] and "old" not in {
        entry.facts.name for entry in others()}


def test_a_model_that_runs_elsewhere_is_none_here(user, demo_gguf):
    store = user / ".ollama" / "models"
    in_ollama(store, "gpt-oss:120b-cloud", {"license": "free"})
    assert not others()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among files")
def test_a_pipe_among_the_manifests_keeps_nobody(user, demo_gguf):
    store = user / ".ollama" / "models"
    in_ollama(store, "good:1", {"model": demo_gguf})
    os.mkfifo(store / "manifests/registry.ollama.ai/library/good/2")
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(others)
        try:
            assert [entry.spot.name for entry in found.result(20)] == ["good:1"]
        finally:                                # whoever waits for the pipe is let go
            os.close(os.open(store / "manifests/registry.ollama.ai/library/good/2", os.O_RDWR | os.O_NONBLOCK))


@pytest.mark.parametrize("name", ["OLLAMA_MODELS", "LLAMA_CACHE"])
def test_the_home_of_a_user_who_is_not_there(user, demo_gguf, monkeypatch, name):
    monkeypatch.setenv(name, "~no-such-user/models")
    in_ollama(user / ".ollama" / "models", "good:1", {"model": demo_gguf})
    assert [entry.spot.name for entry in others()] == ["good:1"]


def test_a_name_that_is_no_text_is_told(user, demo_gguf):
    store = user / ".ollama" / "models"
    in_ollama(store, "good:1", {"model": demo_gguf})
    place = os.fsencode(store / "manifests/registry.ollama.ai/library")
    try:
        os.rename(place + b"/good", place + b"/caf\xe9")
    except OSError:
        pytest.skip("this system has no such names")
    assert "is not in UTF-8" in others()[0].problem and [model.name for model in library.chat_models()] == ["demo"]

"""What a repository holds is asked of a hub with one question; its files are sorted as real publishers name them."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from models import online, runs
from models.errors import UserError
from models.listing import HubFile, Listing, ask, base_files, from_json, gguf_choices
from tests.models.hub import Account, Hub

GGUF_REPO, BASE_REPO = "someone/gemma-3-4b-it-GGUF", "google/gemma-3-4b-it"


def listing(repo: str, *names: str) -> Listing:
    """The later a file stands, the larger it is."""
    return Listing(repo=repo, revision="c0ffee", is_gated=False, files=tuple(
        HubFile(name=name, bytes=(k + 1) << 20, sha256=f"{k:064x}") for k, name in enumerate(names)))


def chosen(found: Listing) -> dict[str, tuple[list[str], str]]:
    """{type: (files, projector)}"""
    return {choice.type: ([file.name for file in choice.files], choice.projector.name if choice.projector else "")
            for choice in gguf_choices(found)}


def test_unsloth_several_projectors_dynamic_types_and_a_matrix():
    found = chosen(listing("unsloth/gemma-3-4b-it-GGUF", ".gitattributes", "README.md", "config.json",
                           "gemma-3-4b-it-UD-IQ2_XXS.gguf", "gemma-3-4b-it-Q4_K_M.gguf",
                           "gemma-3-4b-it-UD-Q4_K_XL.gguf", "gemma-3-4b-it-BF16.gguf", "imatrix_unsloth.dat",
                           "imatrix_unsloth.gguf_file", "imatrix_unsloth.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf",
                           "mmproj-F32.gguf", "params"))
    assert found == {kind: ([f"gemma-3-4b-it-{kind}.gguf"], "mmproj-F16.gguf")
                     for kind in ("UD-IQ2_XXS", "Q4_K_M", "UD-Q4_K_XL", "BF16")}
    assert [*found] == ["UD-IQ2_XXS", "Q4_K_M", "UD-Q4_K_XL", "BF16"]          # the smallest first


def test_bartowski_a_folder_for_a_split_type_and_the_publisher_in_front():
    name = "google_gemma-3-27b-it"
    parts = [f"{name}-bf16/{name}-bf16-0000{k}-of-00002.gguf" for k in (1, 2)]
    found = chosen(listing(f"bartowski/{name}-GGUF", parts[1], f"{name}-Q4_K_M.gguf", f"{name}-Q4_K_L.gguf", parts[0],
                           f"{name}-imatrix.gguf", f"{name}.imatrix", f"mmproj-{name}-bf16.gguf",
                           f"mmproj-{name}-f16.gguf"))
    see = f"mmproj-{name}-f16.gguf"
    assert found == {"Q4_K_M": ([f"{name}-Q4_K_M.gguf"], see), "Q4_K_L": ([f"{name}-Q4_K_L.gguf"], see),
                     "BF16": (parts, see)}


def test_ggml_org_drafts_and_another_type_of_projector():
    found = chosen(listing("ggml-org/gemma-4-E2B-it-GGUF", "gemma-4-E2B-it-Q8_0.gguf",
                           "mmproj-gemma-4-E2B-it-Q8_0.gguf", "mmproj-gemma-4-E2B-it-bf16.gguf",
                           "mtp-gemma-4-E2B-it.gguf", "MTP/gemma-4-E2B-it-MTP-Q8_0.gguf", "notes-lora-f16.gguf"))
    assert found == {"Q8_0": (["gemma-4-E2B-it-Q8_0.gguf"], "mmproj-gemma-4-E2B-it-bf16.gguf")}


def test_google_qat_and_lm_studio():
    assert chosen(listing("google/gemma-4-E2B-it-qat-q4_0-gguf", "gemma-4-E2B_q4_0-it.gguf",
                          "gemma-4-E2B-it-mmproj.gguf")) == {
        "Q4_0": (["gemma-4-E2B_q4_0-it.gguf"], "gemma-4-E2B-it-mmproj.gguf")}
    assert chosen(listing("google/gemma-3-4b-it-qat-q4_0-gguf", "model.gguf", "mmproj-model-f16-4B.gguf")) == {
        "Q4_0": (["model.gguf"], "mmproj-model-f16-4B.gguf")}                   # the repository says it
    assert chosen(listing("lmstudio-community/gemma-3-4b-it-GGUF", "gemma-3-4b-it-Q3_K_L.gguf",
                          "gemma-3-4b-it-Q8_0.gguf", "mmproj-model-f16.gguf")) == {
        "Q3_K_L": (["gemma-3-4b-it-Q3_K_L.gguf"], "mmproj-model-f16.gguf"),
        "Q8_0": (["gemma-3-4b-it-Q8_0.gguf"], "mmproj-model-f16.gguf")}


def test_a_folder_for_each_type_and_names_without_one():
    parts = [f"Q8_0/m-0000{k}-of-00003.gguf" for k in (1, 2, 3)]
    found = chosen(listing("x/m-GGUF", "UD-Q4_K_XL/m.gguf", *parts, "IQ1_S/m-00001-of-00002.gguf", "m.gguf",
                           "UD-Q4_K_XL/mmproj-F32.gguf", "mmproj-F16.gguf"))
    assert found == {"UD-Q4_K_XL": (["UD-Q4_K_XL/m.gguf"], "UD-Q4_K_XL/mmproj-F32.gguf"),
                     "Q8_0": (parts, "mmproj-F16.gguf"), "": (["m.gguf"], "mmproj-F16.gguf")}


def test_parts_beside_the_whole_file_are_left_out_and_so_are_types_that_nothing_reads():
    found = listing("narainp/x", "gemma-q4_0-00001-of-00002.gguf", "gemma-q4_0-00002-of-00002.gguf", "gemma-q4_0.gguf",
                    "gemma-Q4_0_4_4.gguf", "gemma-IQ4_NL_4_4.gguf", "gemma-Q8_0_L.gguf")
    assert chosen(found) == {"Q4_0": (["gemma-q4_0.gguf"], ""), "Q8_0_L": (["gemma-Q8_0_L.gguf"], "")}


def test_a_repository_of_several_models_gives_each_its_own_projector():
    names = [f"gemma-3-{size}-it-q4_k_m.gguf" for size in ("4b", "12b")]
    found = gguf_choices(listing("cortexso/gemma3", *names, "mmproj-gemma-3-12b-it-f16.gguf",
                                 "mmproj-gemma-3-4b-it-f16.gguf"))
    assert [(one.files[0].name, one.projector.name if one.projector else "") for one in found] == [
        (names[0], "mmproj-gemma-3-4b-it-f16.gguf"), (names[1], "mmproj-gemma-3-12b-it-f16.gguf")]


def test_a_model_that_is_called_an_assistant_or_was_made_with_a_matrix_is_one():
    names = ["medical-assistant-7b-Q4_K_M.gguf", "x-imatrix-Q4_K_M.gguf", "lora-merged-notes-Q8_0.gguf"]
    assert [one.files[0].name for one in gguf_choices(listing("a/b", *names))] == names


def test_the_bytes_of_a_choice_are_those_of_all_parts_without_the_projector():
    [choice] = gguf_choices(listing("a/b", "m-F16-00001-of-00002.gguf", "m-F16-00002-of-00002.gguf", "mmproj-F16.gguf"))
    assert choice.bytes == 3 << 20 and choice.projector is not None


def test_a_repository_without_ggufs_offers_none():
    assert gguf_choices(listing("a/b", "README.md", "model.safetensors", "imatrix.dat", "mmproj-F16.gguf")) == ()


SETTINGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
            "chat_template.jinja", "preprocessor_config.json", "README.md", "LICENSE", "merges.txt")
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize(("weights", "others"), [
    (("model.safetensors",), ("gemma-2b-it.gguf", "pytorch_model.bin", "tf_model.h5", ".gitattributes", "plot.png")),
    (("model.safetensors.index.json", *SHARDS), ("model.safetensors", "original/consolidated.00.pth", "adapter_x.txt")),
    (("model.safetensors",), ("consolidated.safetensors", "adapter_model.safetensors", "onnx/model.onnx")),
    (("model.safetensors.index.json", "model.safetensors"), ("consolidated.safetensors",)),     # an index of one file
    (("weights.safetensors",), ("onnx/config.json", "assets/chart.json"))])
def test_a_base_is_its_settings_and_its_weights_once(weights, others):
    found = base_files(listing("google/x", *SETTINGS, *weights, *others))
    assert [file.name for file in found] == [*SETTINGS, *weights]


def test_what_is_no_base_has_no_files():
    assert base_files(listing("a/b", "config.json", "pytorch_model.bin", "m.gguf")) == ()
    assert base_files(listing("a/b", "model.safetensors", "README.md")) == ()
    assert base_files(listing("a/b", "config.json", "adapter_model.safetensors")) == ()


@pytest.fixture
def hub(tmp_path: Path, galen_home: Path, monkeypatch: pytest.MonkeyPatch):
    with Hub() as server:
        for name, value in server.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")               # as the app has it: the child goes outside all the same
        yield server


def test_one_question_says_what_a_repository_holds(hub):
    repo = hub.add(GGUF_REPO, {"README.md": b"# A card\n", "m-Q8_0.gguf": b"GGUF" * 9, "../m-Q4_0.gguf": b"x",
                               "C:\\m-Q4_1.gguf": b"x", "Q4_K_M/m.gguf": b"GGUF"})
    found = ask(GGUF_REPO)
    assert found.repo == GGUF_REPO and found.revision == repo.refs["main"] and not found.is_gated
    files = repo.commits[found.revision]
    assert {file.name: (file.bytes, file.sha256) for file in found.files} == {
        "README.md": (9, ""), "m-Q8_0.gguf": (36, files["m-Q8_0.gguf"].sha256),
        "Q4_K_M/m.gguf": (4, files["Q4_K_M/m.gguf"].sha256)}                    # none that would leave its folder
    assert [choice.type for choice in gguf_choices(found)] == ["Q4_K_M", "Q8_0"]
    assert len(hub.asked()) == 1


def test_a_gated_repository_is_listed_for_everybody_and_an_older_version_by_its_commit(hub):
    repo = hub.add(BASE_REPO, {"config.json": b"{}", "model.safetensors": b"one"}, gated="manual")
    first = repo.refs["main"]
    repo.put({"model.safetensors": b"another"})
    newest, older = ask(BASE_REPO), ask(BASE_REPO, first)
    assert newest.is_gated and newest.revision == repo.refs["main"] and older.revision == first
    assert [base_files(one)[-1].bytes for one in (newest, older)] == [7, 3]


def test_the_token_goes_along_to_a_private_repository(hub, monkeypatch):
    hub.add("ada/private", {"m-Q8_0.gguf": b"GGUF"}, private_to="ada")
    hub.accounts["hf_ada"] = Account("ada")
    with pytest.raises(UserError, match="There is no ada/private on the hub, or it is private"):
        ask("ada/private")
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    assert [file.name for file in ask("ada/private").files] == ["m-Q8_0.gguf"]


@pytest.mark.parametrize("name", ["", "gemma", "a/b/c", "https://huggingface.co/a/b", "-rf/x", "a/ b", "../x"])
def test_what_is_no_name_is_not_asked_for(hub, name):
    with pytest.raises(UserError, match="is no name for a repository of the hub; write it as OWNER/NAME"):
        ask(name)
    assert not hub.asked()


def test_what_the_hub_refuses_is_one_sentence_and_its_cause_no_traceback(hub):
    hub.faults.status["/api/models/"] = 503
    with pytest.raises(UserError, match="The hub itself is in trouble"):
        ask(GGUF_REPO)


def test_as_a_program_it_says_one_object(hub):
    hub.add(GGUF_REPO, {"m-Q8_0.gguf": b"GGUF"})
    done = subprocess.run([sys.executable, "-m", "models.listing", GGUF_REPO], capture_output=True, text=True,
                          cwd=runs.ROOT, env=online.environment())
    assert done.returncode == 0 and from_json(json.loads(done.stdout)).files[0].name == "m-Q8_0.gguf"
    done = subprocess.run([sys.executable, "-m", "models.listing", "no/such"], capture_output=True, text=True,
                          cwd=runs.ROOT, env=online.environment())
    assert done.returncode == 2 and done.stdout == "not there\n" and len(done.stderr.strip().splitlines()) == 1


def test_a_model_that_was_split_twice_is_offered_once():
    once, again = ([f"m-Q8_0-0000{k}-of-0000{count}.gguf" for k in range(1, count + 1)] for count in (2, 3))
    assert chosen(listing("a/b", *again, *once)) == chosen(listing("a/b", *once, *again[:2])) == {"Q8_0": (once, "")}
    assert chosen(listing("a/b", *again, once[0])) == {"Q8_0": (again, "")}


def test_a_hub_that_never_says_all_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UserError, match="gave no whole answer about some/model in 0.5 s"):
            ask("some/model", wait_s=0.5)

"""The keys general.*: what a card's head and sampling defaults give, in a GGUF's types; see golden.json as well."""

import json
from pathlib import Path

import numpy as np
import pytest

from convert.families.tensor import Tensor
from convert.metadata import general
from models.errors import UserError

TENSORS = [Tensor(source="", name="x", shape=(3_000_000, 1000)), Tensor(source="", name="y", shape=(999_000_000,))]


def keys(folder: Path, card: str = "", sampling: object = None, kind: str = "model") -> dict:
    folder.mkdir(exist_ok=True)
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")
    if sampling is not None:
        (folder / "generation_config.json").write_text(json.dumps(sampling), encoding="utf-8")
    return general(folder, "A title", TENSORS, kind)


def test_without_a_card_there_are_name_and_size(tmp_path: Path):
    assert keys(tmp_path / "base") == {"general.type": "model", "general.name": "A title", "general.size_label": "4.0B"}


def test_the_folder_name_tells_size_and_kind_but_not_the_name(tmp_path: Path):
    found = keys(tmp_path / "gemma-3-4b-it", kind="mmproj")
    assert found == {"general.type": "mmproj", "general.name": "A title", "general.basename": "gemma-3",
                     "general.finetune": "it", "general.size_label": "4B"}


def test_a_card_is_followed(tmp_path: Path):
    found = keys(tmp_path / "x", """---
license: other
license_name: health-ai
license_link: https://example.org/terms
language:
- en
- no
tags: [medical, radiology]
pipeline_tag: image-text-to-text
base_model: google/gemma-3-4b-pt
datasets: [someone/notes]
---
Text that is no setting: at all
""")
    assert found["general.license"] == "other" and found["general.license.name"] == "health-ai"
    assert found["general.license.link"] == "https://example.org/terms"
    assert found["general.languages"] == ["en", "no"]
    assert found["general.tags"] == ["medical", "radiology", "image-text-to-text"]
    assert found["general.base_model.count"] == found["general.dataset.count"] == 1
    assert found["general.base_model.0.repo_url"] == "https://huggingface.co/google/gemma-3-4b-pt"
    assert found["general.dataset.0.name"] == "Notes"


def test_what_yaml_makes_of_a_card_becomes_text(tmp_path: Path):
    """Each of these stops upstream's converter: a number for a text, a truth value among languages."""
    found = keys(tmp_path / "x", """---
version: 1.5
license: [gemma, 2.0]
language: [en, false]
tags: [3, medical]
base_model: [{name: 7, organization: x}, 12]
datasets: {a: b}
---
""")
    assert found["general.version"] == "1.5" and found["general.license"] == "gemma,2.0"
    assert found["general.languages"] == ["en", "False"] and found["general.tags"] == ["3", "medical"]
    assert found["general.base_model.0.name"] == "7"


@pytest.mark.parametrize("card", ["---\nlicense: [gemma\n---\n", "---\n\tlicense: a: b\n---\n", "---\nx: *none\n---\n"])
def test_a_head_that_is_no_yaml_is_refused_by_name(tmp_path: Path, card: str):
    with pytest.raises(UserError, match=r"The head of .*README.md .* is not readable: .*Correct it"):
        keys(tmp_path / "x", card)


def test_a_card_in_another_encoding_is_refused_by_name(tmp_path: Path):
    (tmp_path / "README.md").write_bytes(b"---\nlicense: \xff\xfe\n---\n")
    with pytest.raises(UserError, match="is not readable"):
        general(tmp_path, "A title", TENSORS)


@pytest.mark.parametrize("card", ["no head", "---\n- a list\n---\n", "---\n---\n", "\n---\nlicense: late\n---\n"])
def test_a_card_without_a_head_says_nothing(tmp_path: Path, card: str):
    assert keys(tmp_path / "x", card).keys() == {"general.type", "general.name", "general.size_label"}


def test_sampling_has_the_types_that_llama_cpp_reads(tmp_path: Path):
    found = keys(tmp_path / "x", sampling=dict(top_k=64.0, top_p=1, temperature=0.7, repetition_penalty=1.1, min_p=None,
                                               do_sample=True, eos_token_id=[1, 106]))
    assert {name: value for name, value in found.items() if "sampling" in name} == {
        "general.sampling.top_k": 64, "general.sampling.top_p": 1.0, "general.sampling.temp": 0.7,
        "general.sampling.penalty_repeat": 1.1}
    assert isinstance(found["general.sampling.top_k"], np.int32)
    assert isinstance(found["general.sampling.top_p"], float)


@pytest.mark.parametrize("sampling", [
    dict(top_k=True, temperature="warm"), {}, dict(temperature=1e300, repetition_penalty=10**400, top_p=float("nan")),
    dict(top_k=10**30, min_p=float("-inf"))])
def test_sampling_that_is_no_number_is_left_out(tmp_path: Path, sampling: object):
    assert not [name for name in keys(tmp_path / "x", sampling=sampling) if "sampling" in name]


def test_sampling_without_names_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="generation_config.json holds no settings by name"):
        keys(tmp_path / "x", sampling=[1, 2])

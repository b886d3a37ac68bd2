"""The whole catalog is held against what the rest of the program can do, field by field; names lead to their entry."""

import dataclasses
import json
import re

import gguf
import pytest
import torch
import transformers

from convert.families import FAMILIES as EXPORTED
from models import projector, runs
from models.catalog import FILE, IMAGE, INFERENCE, STREAM, TUNE, Entry, GgufFile, catalog, entry_for, find, find_any
from models.errors import UserError
from models.library import HUB_NAME
from models.quant_name import type_in
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session
from tests.models import gemma3n
from tests.train.test_learner import FAMILIES as TRAINED
from tests.train.test_learner import SMALL, learner, one_by_one, samples
from train.batches import Padded
from ui.actions.asking import SHOWN

ENTRIES = catalog()
RAW = json.loads(FILE.read_text(encoding="utf-8"))["models"]
DEMANDED = ["gemma-3-270m-it", "gemma-3-1b-it", "gemma-3-4b-it", "gemma-3-12b-it", "gemma-2-2b-it", "gemma-2-9b-it",
            "gemma-2b-it", "medgemma-4b-it", "medgemma-1.5-4b-it", "medgemma-27b-text-it", "gemma-3n-e2b-it",
            "gemma-3n-e4b-it", "gemma-4-e2b-it", "gemma-4-e4b-it"]
HEALTH = "Health AI Developer Foundations terms of use"
LICENCES = {"Gemma Terms of Use": "https://ai.google.dev/gemma/terms",
            HEALTH: "https://developers.google.com/health-ai-developer-foundations/terms",
            "Apache License 2.0": "https://www.apache.org/licenses/LICENSE-2.0"}
CAPABILITIES = (STREAM, IMAGE, INFERENCE, TUNE)
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)


def names_of(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def test_every_model_that_was_asked_for_is_there():
    assert set(DEMANDED) <= {entry.id for entry in ENTRIES}


@pytest.mark.parametrize("values", RAW, ids=lambda values: values["id"])
def test_every_field_stands_in_the_file_and_no_other(values):
    assert set(values) == names_of(Entry)
    for source in values["ggufs"]:
        assert {"repo", "files"} <= set(source) <= {"repo", "files", "projector"}
        assert all(set(file) == names_of(GgufFile) for file in source["files"])
    for name, kind in (("id", str), ("title", str), ("parameters", int), ("parameters_active", int),
                       ("cache_bytes", int), ("ctx_tokens", int), ("is_gated", bool), ("is_medical", bool),
                       ("capabilities", list), ("controls", list), ("good_for", str)):
        assert type(values[name]) is kind and values[name] not in ("", [])


def test_nothing_is_there_twice():
    for named in ([entry.id for entry in ENTRIES], [entry.title for entry in ENTRIES],
                  [entry.hub_id for entry in ENTRIES], [source.repo for entry in ENTRIES for source in entry.ggufs]):
        assert len({name.casefold() for name in named}) == len(named)
    for entry in ENTRIES:
        for source in entry.ggufs:
            types = [file.type for file in source.files]
            assert len(set(types)) == len(types) and len({file.name for file in source.files}) == len(types)
        for listed in (entry.capabilities, entry.controls):
            assert len(set(listed)) == len(listed)


@each
def test_names_and_figures_are_of_their_kind(entry):
    assert re.fullmatch(r"[a-z0-9]+(?:[.-][a-z0-9]+)*", entry.id)
    assert HUB_NAME.fullmatch(entry.hub_id) and all(HUB_NAME.fullmatch(source.repo) for source in entry.ggufs)
    assert entry.page == f"https://huggingface.co/{entry.hub_id}"
    assert 0 < entry.parameters_active <= entry.parameters < 40e9
    assert entry.cache_bytes % 1024 == 0 and entry.ctx_tokens in (8192, 32768, 131072)
    assert 40 < len(entry.good_for) < 220 and entry.good_for.endswith(".")


@each
def test_the_licence_has_its_page_and_says_who_is_gated(entry):
    assert entry.licence_url == LICENCES[entry.licence]
    assert entry.is_gated == (entry.licence != "Apache License 2.0")
    assert entry.is_medical == (entry.licence == HEALTH) == entry.hub_id.startswith("google/medgemma")


@each
def test_files_say_their_type_and_have_its_size(entry):
    assert entry.ggufs and entry.ggufs[0].files
    for source in entry.ggufs:
        for file in source.files:
            assert file.name.endswith(".gguf") and type_in(file.name) == file.type and "/" not in file.name
            bits = 8 * file.bytes / entry.parameters            # a tower lies in a file of its own
            assert {"Q4": 3.9, "Q5": 5, "Q6": 5.7, "Q8": 7}[file.type[:2]] < bits < {"Q4": 7.7}.get(file.type[:2], 9)


@each
def test_a_model_claims_what_the_program_can_do_with_its_family(entry):
    assert entry.family in gguf.MODEL_ARCH_NAMES.values()
    assert [*entry.capabilities] == [one for one in CAPABILITIES if one in entry.capabilities]
    assert entry.can(STREAM) and entry.can(INFERENCE)
    trained = {*TRAINED, "gemma4"}              # the last one is tried below
    tuned = {EXPORTED[kind].architecture for kind in trained if kind in EXPORTED}
    assert entry.can(TUNE) == (entry.family in tuned)
    assert not entry.can(IMAGE) or entry.family == projector.KIND
    assert all(bool(source.projector) == entry.can(IMAGE) for source in entry.ggufs)


@each
def test_the_controls_are_those_of_the_page_in_its_order(entry):
    assert set(SHOWN) <= names_of(SampleConfig)
    known = ["preset", "system", "picture", *SHOWN]
    assert [*entry.controls] == [one for one in known if one in entry.controls]
    assert ("picture" in entry.controls) == entry.can(IMAGE)


@each
def test_every_name_that_a_model_is_offered_under_leads_to_it(entry):
    files = [file.name for source in entry.ggufs for file in source.files]
    for name in (entry.id, entry.hub_id, *files, *(source.repo for source in entry.ggufs)):
        assert entry_for([name]) == entry
    for name in (entry.id.upper(), entry.hub_id, *(source.repo for source in entry.ggufs)):
        assert find(f" {name}") == entry


@pytest.mark.parametrize(("name", "id"), [
    ("Gemma 3 4b It", "gemma-3-4b-it"),                         # general.name, as converters write it
    ("Medgemma-1.5-4B-It", "medgemma-1.5-4b-it"),
    ("gemma3:4b", "gemma-3-4b-it"),                             # Ollama's tags
    ("library/gemma2:9b-instruct-q4_0", "gemma-2-9b-it"),
    ("gemma:2b", "gemma-2b-it"), ("gemma3n:e4b", "gemma-3n-e4b-it"), ("medgemma:4b", "medgemma-4b-it"),
    ("hf.co/unsloth/medgemma-1.5-4b-it-GGUF:Q4_K_M", "medgemma-1.5-4b-it"),
    ("hf.co/unsloth/gemma-3-1b-it-GGUF:latest", "gemma-3-1b-it"),
    ("hf.co/bartowski/gemma-2-2b-GGUF:Q4_K_M", ""), ("gemma2:2b-text-q4_0", ""),    # the base, not what was tuned
    ("google_gemma-3-12b-it-qat-Q4_0.gguf", "gemma-3-12b-it"),
    ("gemma-3-1b-it.i1-IQ4_XS.gguf", "gemma-3-1b-it"), ("gemma-4-E2B-it-UD-Q4_K_XL.gguf", "gemma-4-e2b-it"),
    ("medgemma-27b-text-it-BF16-00001-of-00002.gguf", "medgemma-27b-text-it"),
    ("gemma-3-4b-pt", ""), ("google/gemma-2-2b", ""), ("gemma3:latest", ""), ("medgemma:27b", ""),
    ("gemma-1.1-2b-it", ""), ("TheDrummer_Fallen-Gemma3-4B-v1-Q4_K_M.gguf", ""), ("gemma-3-4b-it-abliterated", ""),
    ("consultations-Q8_0", ""), ("Q4_K_M.gguf", ""), ("", ""), ("gemma", ""), (":::", "")])
def test_a_name_leads_to_its_entry_or_to_none(name, id):
    found = entry_for([name])
    assert (found.id if found else "") == id


def test_the_first_name_that_says_something_counts():
    assert entry_for(iter(["model", "", "gemma-3-1b-it", "gemma-3-4b-it"])) == find("gemma-3-1b-it")
    assert entry_for([]) is None


def test_a_model_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(UserError, match=r"no model 'gemma-5' in the catalog; there are medgemma-1\.5-4b-it, .*-e4b-it"):
        find("gemma-5")


def test_adding_a_model_is_one_entry(tmp_path):
    new = {**RAW[0], "id": "new-1b", "title": "New", "hub_id": "x/new-1b", "ggufs": [{"repo": "x/new-1b-GGUF"}]}
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps({"models": [*RAW, new]}), encoding="utf-8")
    *before, added = catalog(file)
    assert tuple(before) == ENTRIES
    assert added.ggufs[0].files == () and added.ggufs[0].projector == ""        # never verified: the hub is asked
    for wrong in ({"name": "x"}, {"parameters": None}):
        values = {**new, **wrong} if "name" in wrong else {key: new[key] for key in new if key not in wrong}
        file.write_text(json.dumps({"models": [values]}), encoding="utf-8")
        with pytest.raises(TypeError):
            catalog(file)


def test_the_table_for_users_says_the_same():
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (.+) \|$", (runs.ROOT / "docs" / "models.md").read_text(encoding="utf-8"))
    told = {id: rest for id, rest in rows if id in {entry.id for entry in ENTRIES}}
    assert len(told) >= len(DEMANDED)
    for id, rest in told.items():
        entry = find(id)
        smallest = min(file.bytes for file in entry.ggufs[0].files)
        can = [("no", "yes")[entry.can(one)] for one in (IMAGE, TUNE)]
        facts = (entry.title, f"{smallest / 1e9:.1f} GB", f"{entry.ctx_tokens:,}", *can, entry.licence)
        assert rest == " | ".join(facts)


def test_gemma_3n_answers_as_the_catalog_says(tmp_path, demo_gguf, galen_home):
    """The other families run wherever what convert/ writes is checked; this one only here."""
    path = tmp_path / "gemma-3n-E2B-it-F16.gguf"
    gemma3n.write(path, demo_gguf)
    session = Session()
    try:
        info = session.load(path, LoadConfig(ctx_tokens=512, slots=1, threads=1))
        answers = [list(session.chat([{"role": "user", "content": "What is asthma?"}],
                                     SampleConfig(temperature=0.0, max_tokens=8))) for _ in range(2)]
    finally:
        session.close()
    entry = entry_for([info.name])
    assert entry and entry.family == "gemma3n" and not entry.can(IMAGE)
    assert answers[0] == answers[1] and len(answers[0]) > 1 and "".join(answers[0]).strip()


def test_gemma_4_is_tuned_as_the_catalog_says(tmp_path):
    """Its towers stay out of it, and each token's loss is the one that transformers computes from whole logits."""
    text = {**SMALL, "num_hidden_layers": 4, "sliding_window": 8, "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 300, "global_head_dim": 8, "num_kv_shared_layers": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 2, "final_logit_softcapping": 2.0}
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
                  num_key_value_heads=2, head_dim=16, global_head_dim=16, patch_size=14)
    torch.manual_seed(1)
    transformers.Gemma4ForConditionalGeneration(transformers.Gemma4Config(
        text_config=text, vision_config=vision, audio_config=None, image_token_id=297, audio_token_id=298,
        video_token_id=299)).save_pretrained(tmp_path)
    model = learner(tmp_path)
    expected = one_by_one(model)
    with torch.no_grad():
        found = model.eval()(**Padded(0)(samples()))
    assert torch.allclose(found["losses"], torch.cat(expected), atol=2e-5)
    adapted = [name for name, _ in model.named_parameters() if "lora_A" in name]
    assert adapted and all("language_model" in name for name in adapted)


def test_any_repository_of_the_hub_is_an_entry_that_claims_nothing():
    known = find("gemma-3-4b-it")
    assert find_any(known.id) == find_any("hub:google:Gemma-3-4b-it") == known
    assert find_any(f"hub:{known.ggufs[0].repo.replace('/', ':')}") == known
    other = find_any("hub:someone:medical-thing-GGUF")
    assert (other.title, other.hub_id, other.ggufs[0].repo) == ("medical-thing", *["someone/medical-thing-GGUF"] * 2)
    assert not (other.parameters or other.is_gated or other.is_medical or other.licence or other.ctx_tokens)
    with pytest.raises(UserError, match="no model 'no-such'"):
        find_any("no-such")

"""Models that lie in parts, behind links, or as nameless blobs run as the plain file of the same model does."""

import pytest

from models.errors import UserError
from models.opened import full_path
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session
from tests.models.places import GO_TEMPLATE, TEMPLATE, in_hub_cache, in_ollama, rewritten
from tests.runtime.seeing import export_seeing, make_seeing, picture

QUESTION = [{"role": "user", "content": "What is a fever?"}]
SAMPLE = SampleConfig(max_tokens=12, temperature=0.0)


@pytest.fixture(scope="module")
def session():
    session = Session()
    yield session
    session.close()


def answer(session, path, messages=QUESTION):
    session.load(path, LoadConfig(threads=1, ctx_tokens=512))
    stream = session.chat(messages, SAMPLE)
    return "".join(stream), stream.end.prompt_tokens


@pytest.fixture(scope="module")
def wanted(session, demo_gguf):
    return answer(session, demo_gguf)


def test_a_model_in_parts_behind_links(session, wanted, demo_gguf, tmp_path):
    parts = rewritten(demo_gguf, tmp_path / "big.gguf", split=40)
    snapshot = in_hub_cache(tmp_path / "hub", "jane/big", {one.name: one for one in parts})
    for folder in (tmp_path, snapshot):
        assert answer(session, folder / parts[0].name) == wanted
    assert session.info.path == str(full_path(snapshot / parts[0].name)) and "0.01 GB" in session.info.description
    (snapshot / parts[1].name).unlink()
    with pytest.raises(UserError, match="big-00002-of-00003.gguf is missing"):
        session.load(snapshot / parts[0].name, LoadConfig(threads=1))
    assert answer(session, tmp_path / parts[0].name) == wanted      # what was loaded before a refusal stays usable


def test_ollamas_blob_with_and_without_its_own_template(session, wanted, demo_gguf, tmp_path):
    [bare] = rewritten(demo_gguf, tmp_path / "bare.gguf", without=[TEMPLATE])
    blob = in_ollama(tmp_path / "store", "tiny:1", {"model": demo_gguf, "template": "{{ .Prompt }}"})
    known = in_ollama(tmp_path / "store", "tiny:2", {"model": bare, "template": GO_TEMPLATE})
    assert blob != known and answer(session, blob) == wanted == answer(session, known)
    with pytest.raises(UserError, match="bare.gguf has no chat template"):
        answer(session, bare)


def test_a_projector_above_the_folder_of_its_type(session, demo_base, tmp_path):
    model = export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    snapshot = in_hub_cache(tmp_path / "hub", "jane/eyes", {
        "Q8/eyes.gguf": model, "mmproj-F16.gguf": model.parent / "mmproj-seeing.gguf"})
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "data": picture(1)}]
    _, tokens = answer(session, snapshot / "Q8" / "eyes.gguf", [{"role": "user", "content": parts}])
    assert session.info.projector == str(snapshot / "mmproj-F16.gguf") and tokens > 16

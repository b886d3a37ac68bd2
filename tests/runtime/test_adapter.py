"""LoRA adapters on a loaded base: equal to peft, side by side on one copy of the weights, refused by name."""

import os

import gguf
import numpy as np
import psutil
import pytest

from models.errors import UserError
from models.header import read_header
from runtime.config import LoadConfig, SampleConfig
from runtime.reference import Reference
from runtime.session import Session
from tests.convert.tiny import make_adapter, make_base
from tests.runtime.adapters import write_adapter

GREEDY = SampleConfig(temperature=0.0, max_tokens=30)
PROMPT = [2, *range(100, 180)]


@pytest.fixture(scope="module")
def peft_folder(window_base, tmp_path_factory):
    return make_adapter(tmp_path_factory.mktemp("peft"), window_base)


@pytest.fixture(scope="module")
def adapter(peft_folder, tmp_path_factory):
    return write_adapter(peft_folder, tmp_path_factory.mktemp("adapter") / "tuned.gguf")


@pytest.fixture(scope="module")
def session(window_gguf):
    session = Session()
    session.load(window_gguf, LoadConfig(exact=True, threads=1))
    yield session
    session.close()


def ask(session, adapter=None):
    stream = session.complete(PROMPT, GREEDY, adapter)
    return "".join(stream), stream.end


def test_base_and_tuned_equal_peft_and_switch_without_a_reload(session, window_base, peft_folder, adapter):
    pid, items = session.pid, [(PROMPT, [[5, 6], [7]])]
    for path, folder in ((None, None), (adapter, peft_folder), (None, None)):
        reference = Reference(window_base, folder, threads=1)
        wanted = [reference.logprobs([*PROMPT, *one], len(PROMPT)) for one in items[0][1]]
        for found, one in zip(session.score(items, path)[0], wanted, strict=True):
            assert np.allclose(found, one, atol=1e-3)
    base, tuned = ask(session), ask(session, adapter)
    assert base[0] != tuned[0] and base[1].adapter == "" and len(tuned[1].adapter) == 16
    assert ask(session)[0] == base[0] and session.pid == pid


def test_side_by_side_each_keeps_its_own(session, adapter):
    base, tuned = ask(session)[0], ask(session, adapter)[0]
    together = [session.complete(PROMPT, GREEDY, path) for path in (None, adapter, None, adapter)]
    assert ["".join(one) for one in together] == [base, tuned, base, tuned]


def test_they_share_one_copy_of_the_weights(tmp_path, demo_base):
    from convert.model import MergedModel
    from convert.stream import write_all
    base = make_base(tmp_path / "base", "gemma3_text", demo_base, hidden_size=512, intermediate_size=4096,
                     num_hidden_layers=6)
    write_all(MergedModel(base, [], "x"), {"F32": tmp_path / "x.gguf"}, threads=1)
    weights = (tmp_path / "x.gguf").stat().st_size
    assert weights > 150e6
    adapter = write_adapter(make_adapter(tmp_path / "peft", base), tmp_path / "a.gguf")
    session = Session()
    session.load(tmp_path / "x.gguf", LoadConfig(exact=True, threads=1, ctx_tokens=256))
    ask(session)
    before = psutil.Process(session.pid).memory_info().rss
    ask(session, adapter)
    assert psutil.Process(session.pid).memory_info().rss - before < weights / 3
    session.close()


def test_adapters_for_another_base_and_other_files_are_refused(session, tmp_path, window_gguf, demo_base, peft_folder):
    wide = make_base(tmp_path / "wide", "gemma3_text", demo_base, hidden_size=128)
    deep = make_base(tmp_path / "deep", "gemma3_text", demo_base, num_hidden_layers=5)
    cases = {
        "made for another base.*shape": write_adapter(make_adapter(tmp_path / "w", wide), tmp_path / "wide.gguf"),
        "has no tensor": write_adapter(make_adapter(tmp_path / "d", deep), tmp_path / "deep.gguf"),
        "made for a llama model": write_adapter(peft_folder, tmp_path / "llama.gguf", "llama"),
        "is no LoRA adapter": write_adapter(peft_folder, tmp_path / "kind.gguf", type="model"),
        "no LoRA adapter": window_gguf,
        "There is no adapter": tmp_path / "none.gguf",
        "cut short": tmp_path / "cut.gguf",
    }
    whole = (tmp_path / "wide.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:-500])
    pid = session.pid
    for words, path in cases.items():
        with pytest.raises(UserError, match=words):
            ask(session, path)
    assert ask(session)[0] and session.pid == pid


def test_an_adapter_replaced_on_disk_is_the_new_one(session, tmp_path, adapter, window_base):
    path = tmp_path / "current.gguf"
    path.write_bytes(adapter.read_bytes())
    first = ask(session, path)
    peft = make_adapter(tmp_path / "other", window_base, r=8)
    os.replace(write_adapter(peft, tmp_path / "new.gguf"), path)
    second = ask(session, path)
    assert first[1].adapter != second[1].adapter and first[0] != second[0]
    path.unlink()
    with pytest.raises(UserError, match="There is no adapter"):
        ask(session, path)


def test_many_adapters_one_after_another_do_not_fill_the_memory(session, tmp_path, window_base):
    """Contexts come and go beside them, so some megabytes move; adapters that stay would be ten times this large."""
    large, sizes = write_adapter(make_adapter(tmp_path / "large", window_base, r=1024), tmp_path / "large.gguf"), []
    assert large.stat().st_size > 10e6
    for k in range(12):
        path = tmp_path / f"{k}.gguf"
        path.write_bytes(large.read_bytes())
        ask(session, path)
        sizes.append(psutil.Process(session.pid).memory_full_info().uss)
    assert max(sizes[4:]) - sizes[4] < 3 * large.stat().st_size, sizes


def test_one_for_an_embedding_that_is_the_head_too_is_refused(session, tmp_path, window_gguf):
    """llama.cpp would multiply the head with it, find the wrong shape, and end the process."""
    columns, rows = next(t.shape for t in read_header(window_gguf).tensors if t.name == "token_embd.weight")
    writer = gguf.GGUFWriter(tmp_path / "embedding.gguf", "gemma3")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    for half, length in (("a", rows), ("b", columns)):
        writer.add_tensor(f"token_embd.weight.lora_{half}", np.ones((length, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    pid = session.pid
    with pytest.raises(UserError, match="changes the embedding, which is also the output head of window.gguf"):
        ask(session, tmp_path / "embedding.gguf")
    assert ask(session)[0] and session.pid == pid

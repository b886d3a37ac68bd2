"""Broken and hostile files: the app above stays up for every one of them and says what is wrong."""

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest

from convert.model import MergedModel
from convert.stream import write_all
from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session, WorkerDied
from tests.convert.tiny import make_base
from tests.runtime.mutated import KINDS, deaths, mutants

SEED, LIMIT_S = 1, 600               # the limit is for a hang, not for speed
SMALL = LoadConfig(ctx_tokens=256, threads=1, slots=1)
SHORT = SampleConfig(max_tokens=3, temperature=0.0)


@pytest.fixture(scope="module")
def sources(demo_gguf, shared_data):
    """The whole files that the broken ones are made from."""
    return [demo_gguf, shared_data / "models" / "stories260K" / "stories260K-f32.gguf"]


def outcome(session: Session, path: Path) -> str:
    """ "answered", or what the session said instead."""
    try:
        session.load(path, SMALL)
        list(session.complete("Once", SHORT))
    except WorkerDied as error:
        return f"died: {error}"
    except UserError as error:
        return f"refused: {error}"
    return "answered"


def outcomes(sources: list[Path], folder: Path, part: int) -> dict[str, str]:
    """One session for a fourth of the mutants, as a person who tries one file after the other."""
    found, session = {}, Session()
    for mutant in mutants([source.read_bytes() for source in sources], SEED, part, 4):
        path = folder / f"{mutant.name}.gguf"
        path.write_bytes(mutant.data)
        found[mutant.name] = outcome(session, path)
        path.unlink()
    session.close()
    return found


def test_every_mutated_file_works_or_gets_a_sentence(sources, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(outcomes, sources, tmp_path, k) for k in range(4)]
        found = {name: text for part in parts for name, text in part.result(timeout=LIMIT_S).items()}
    counts = Counter((name.split("-")[0], text.split(":")[0]) for name, text in found.items())
    print(f"\nmutated files: {dict(counts)}")
    assert len(found) == sum(KINDS.values()) == 300
    for name, text in found.items():
        assert text == "answered" or f"{name}.gguf" in text or "its file is damaged" in text, f"{name}: {text}"
    assert counts["truncation", "refused"] == KINDS["truncation"]


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_many_of_them_end_a_bare_llama_cpp(sources):
    found = deaths(sources, SEED)
    print(f"\n{len(found)} of 300 files end a process with a bare Llama(): {dict(Counter(found.values()))}")
    assert len(found) > 20


def test_a_mutation_is_the_same_each_time(demo_gguf):
    data = demo_gguf.read_bytes()
    first, second = ([next(mutants([data], seed)) for _ in range(2)] for seed in (1, 2))
    assert first[0] == first[1] and first[0] != second[0]


@pytest.fixture
def session():
    session = Session()
    yield session
    session.close()


def test_a_text_file_named_like_a_model_is_refused(session, tmp_path):
    path = tmp_path / "notes.gguf"
    path.write_text("Dear colleague, thank you for referring this patient.", encoding="utf-8")
    with pytest.raises(UserError, match="notes.gguf is no GGUF model"):
        session.load(path)


def test_an_architecture_that_llama_cpp_does_not_know_is_named(session, tmp_path):
    path = tmp_path / "new.gguf"
    writer = gguf.GGUFWriter(path, "gemma99")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match="new.gguf.*'gemma99'"):
        session.load(path, SMALL)


def test_a_context_larger_than_the_memory_is_refused_and_a_smaller_one_works(session, tmp_path, demo_base):
    base = make_base(tmp_path / "wide", "gemma3_text", demo_base, head_dim=256, num_attention_heads=32,
                     num_key_value_heads=32, query_pre_attn_scalar=256)
    write_all(MergedModel(base, [], "wide"), {"F32": tmp_path / "wide.gguf"}, threads=1)
    with pytest.raises(UserError, match="memory|more|fit"):
        session.load(tmp_path / "wide.gguf", LoadConfig(ctx_tokens=1 << 20, exact=True, threads=1))
    assert outcome(session, tmp_path / "wide.gguf") == "answered"

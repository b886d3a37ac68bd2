"""The same calls answered by a GGUF and by transformers: alike, repeatable, many at once."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from convert.model import MergedModel
from convert.stream import write_all
from models import runs
from models.errors import UserError
from runtime.config import LoadConfig
from runtime.engines import GgufEngine, ReferenceEngine, open_engine
from runtime.gelu import gelu
from runtime.session import Session
from tasks.answer import Decision, Question, decide, decision_question
from tasks.engine import Engine
from tests.convert.tiny import make_adapter
from tests.runtime.adapters import write_adapter

WORDS = ("Is aspirin safe?", "Does it help against pain in the long run?", "What is asthma?", "Is it rare in children?")
CANDIDATES = ("Yes.", "No.", "Maybe, but the trials were small")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, window_base) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter"), window_base)


@pytest.fixture(scope="module")
def exact(window_gguf):
    with open_engine(str(window_gguf), exact=True, threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(window_base):
    with open_engine(str(window_base), threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def demo():
    with open_engine("demo", threads=1) as engine:
        yield engine


def prompts(engine: Engine, words=WORDS) -> list[list[int]]:
    return [engine.prompt_ids([{"role": "user", "content": text}]) for text in words]


def items(engine: Engine, words=WORDS):
    candidates = [[*engine.encode(text), engine.terminator()] for text in CANDIDATES]
    return [(ids, candidates) for ids in prompts(engine, words)]


def flat(scores) -> np.ndarray:
    return np.concatenate([np.ravel(one) for item in scores for one in item])


def test_both_give_the_same_ids_scores_and_answers(exact: GgufEngine, reference: ReferenceEngine):
    assert prompts(exact) == prompts(reference) and exact.start() == reference.start() == [2]
    assert exact.terminator() == reference.terminator() and exact.ctx_tokens == reference.ctx_tokens == 1024
    ours, theirs = exact.score(items(exact)), reference.score(items(reference))
    assert [[len(one) for one in item] for item in ours] == [[len(one) for one in item] for item in theirs]
    assert np.abs(flat(ours) - flat(theirs)).max() < 1e-4
    assert exact.answers(prompts(exact), 12) == reference.answers(prompts(reference), 12)


def test_a_candidate_scores_as_it_does_alone(reference: ReferenceEngine):
    ids, candidates = items(reference)[1]
    [together] = reference.score([(ids, candidates)])
    for candidate, scores in zip(candidates, together, strict=True):
        alone = reference._reference.logprobs(ids + candidate, len(ids))
        assert np.abs(np.array(scores) - alone).max() < 1e-4
    [short] = reference.score([(ids, [candidates[0][:1]])])
    assert short[0] == pytest.approx(together[0][:1], abs=1e-5)
    longest = [(list(range(10, 900)), [candidates[2]])]         # beyond the window of 32
    assert np.abs(flat(reference.score(longest))
                  - reference._reference.logprobs(longest[0][0] + candidates[2], 890)).max() < 1e-4


def test_one_call_repeats_whatever_was_asked_before(demo: GgufEngine):
    shared = [decision_question(f"{text} {k}", "word " * 40 * (k + 1)) for k in range(6) for text in WORDS]
    many = prompts(demo, shared)                                # more than there are slots, which begin alike
    first = demo.score(items(demo)), demo.answers(prompts(demo), 30), demo.answers(many, 20)
    for before in (lambda: demo.answers(prompts(demo, WORDS[2:3]), 40), lambda: demo.score(items(demo, WORDS[1:])),
                   lambda: demo.answers(prompts(demo, WORDS[::-1] * 5), 9)):
        before()
        assert demo.answers(prompts(demo), 30) == first[1]
        before()
        assert demo.score(items(demo)) == first[0]
        before()
        assert demo.answers(many, 20) == first[2]


def test_the_number_of_threads_changes_nothing(demo: GgufEngine):
    long = ["word and " * 300 + text for text in WORDS[:2]]     # more cells than llama.cpp leaves to one thread
    with open_engine("demo", threads=2) as other:
        asked = prompts(demo, long)
        assert 600 < len(asked[0]) < 1000
        assert other.answers(asked[:1], 24) == demo.answers(asked[:1], 24)
        one_token = [(ids, [candidates[0][:1]]) for ids, candidates in items(demo, long)]
        for some in (items(demo, long), one_token, [(one_token[0][0][:513], one_token[0][1])]):
            assert other.score(some) == demo.score(some)
        assert flat(other.score(items(demo, long))).std() > 0.1


def test_many_answers_are_those_of_one_at_a_time(exact: GgufEngine):
    many = [f"{text} {k}" for k in range(6) for text in WORDS]
    together = exact.answers(prompts(exact, many), 10)
    assert len(together) == 24 and together == [exact.answers([one], 10)[0] for one in prompts(exact, many)]
    assert all(one.tokens <= 10 and (one.reason == "length") == (one.tokens == 10) for one in together)
    assert exact.answers([], 10) == [] and exact.score([]) == []


def test_an_answer_follows_the_grammar(demo: GgufEngine, reference: ReferenceEngine):
    found = demo.answers(prompts(demo), 20, grammar='root ::= "SUBJECTIVE: " ("yes" | "no")')
    assert {one.text for one in found} <= {"SUBJECTIVE: yes", "SUBJECTIVE: no"} and found[0].reason == "stop"
    with pytest.raises(UserError, match="The grammar"):
        demo.answers(prompts(demo), 20, grammar="root ::= nothing")
    with pytest.raises(UserError, match="transformers, which follows no grammar here; use a GGUF"):
        reference.answers(prompts(reference), 20, grammar='root ::= "a"')
    assert demo.answers(prompts(demo)[:1], 5)[0].tokens == 5    # it still answers


def test_what_does_not_fit_is_refused_before_anything_is_computed(exact: GgufEngine, reference: ReferenceEngine):
    for engine in (exact, reference):
        for ids in ([5] * 1024, [5] * 3000):
            with pytest.raises(UserError, match="tokens long and the context holds 1,024"):
                engine.answers([*prompts(engine), ids], 5)
        with pytest.raises(UserError, match="nothing to score"):
            engine.score([([5, 6], [[]])])
        assert len(engine.answers([[5] * 1020], 10)) == 1       # cut where the context ends
    with pytest.raises(UserError, match="tokens long and the context holds"):
        reference.score([([5] * 1020, [[6] * 5])])
    assert len(reference.score([([5] * 1020, [[6] * 4])])[0][0]) == 4


def test_an_adapter_changes_what_answers_and_its_fingerprint(window_gguf, window_base, adapter, tmp_path, exact):
    path = write_adapter(adapter, tmp_path / "tuned-adapter.gguf")
    session = Session()
    with pytest.raises(UserError, match="No model is loaded"):
        GgufEngine(session)
    session.load(window_gguf, LoadConfig(exact=True, threads=1))
    with GgufEngine(session, path) as tuned, open_engine(str(adapter), threads=1) as theirs:
        assert len({tuned.fingerprint, exact.fingerprint, theirs.fingerprint}) == 3
        assert tuned.name == f"{window_gguf.name} + tuned-adapter.gguf" and theirs.name == adapter.name
        ours = tuned.score(items(tuned))
        assert np.abs(flat(ours) - flat(theirs.score(items(theirs)))).max() < 1e-3
        assert np.abs(flat(ours) - flat(exact.score(items(exact)))).max() > 0.1
        assert tuned.answers(prompts(tuned), 8) == theirs.answers(prompts(theirs), 8)
        with pytest.raises(UserError, match="There is no adapter"):
            GgufEngine(session, tmp_path / "none.gguf")


def test_a_run_is_its_gguf_else_its_adapter(galen_home, window_gguf, window_base, adapter, exact, tmp_path):
    run = galen_home / "runs" / "mine"
    shutil.copytree(adapter, run / runs.ADAPTER)
    (run / runs.CONFIG).write_text(json.dumps({"rank": 8}))
    for source in ("mine", str(run), str(run / runs.ADAPTER)):
        with open_engine(source, threads=1) as engine:
            assert isinstance(engine, ReferenceEngine) and engine.name == "mine"
    (run / runs.EXPORT).mkdir()
    shutil.copy(window_gguf, run / runs.EXPORT / "mine-F32.gguf")
    with open_engine("mine", threads=1) as engine:
        assert isinstance(engine, GgufEngine) and engine.name == "mine-F32.gguf"
        assert engine.fingerprint == exact.fingerprint
    with open_engine(str(run / runs.ADAPTER), threads=1) as engine:
        assert isinstance(engine, ReferenceEngine)
    with pytest.raises(UserError, match="There is no model 'yours' here"):
        open_engine("yours")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="There is no model"):
        open_engine(str(tmp_path / "empty"))


def test_gelu_is_that_of_transformers():
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    theirs = torch.nn.functional.gelu(torch.from_numpy(x), approximate="tanh").numpy()
    assert np.abs(gelu(x) - theirs).max() < 2e-6


@pytest.mark.slow
def test_the_embedded_model_decides_alike_in_both(shared_data, tmp_path):
    """bench/evaluation.py does the same with all 500 prompts."""
    rows = list(json.loads((shared_data / "pubmedqa/pqal_dev500.json").read_text(encoding="utf-8")).values())[::25]
    asked = [Question(row["QUESTION"], " ".join(row["CONTEXTS"])) for row in rows]
    path = tmp_path / "demo-F32.gguf"
    write_all(MergedModel(runs.DEMO_BASE, [], "demo"), {"F32": path}, threads=1)
    with open_engine(str(path), exact=True, threads=1) as engine:
        ours = decide(engine, asked)
    with open_engine(str(runs.DEMO_BASE), threads=1) as engine:
        theirs = decide(engine, asked)
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, Decision) and isinstance(other, Decision) and one.choice == other.choice
        assert max(abs(one.logprobs[choice] - other.logprobs[choice]) for choice in one.logprobs) < 1e-3

"""How tokens are drawn: grammars and schemas that hold, and sentences for those that can not."""

import json

import numpy as np
import pytest

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.llama import Model
from runtime.sampler import Sampler, grammar_text, top_logprobs
from runtime.schema import schema_grammar
from runtime.session import Session

PERSON = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"},
    "kind": {"enum": ["acute", "chronic"]}, "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}},
    "required": ["name", "age", "kind", "tags"], "additionalProperties": False}


@pytest.fixture(scope="module")
def model(demo_gguf):
    model = Model(demo_gguf, LoadConfig(threads=1))
    yield model
    model.close()


@pytest.fixture(scope="module")
def session(demo_gguf):
    session = Session()
    session.load(demo_gguf, LoadConfig(threads=1))
    yield session
    session.close()


def check_person(value):
    assert set(value) == {"name", "age", "kind", "tags"} and len(value["name"]) <= 20
    assert type(value["age"]) is int and value["kind"] in ("acute", "chronic")
    assert len(value["tags"]) <= 3 and all(type(one) is bool for one in value["tags"])


def ask(session, **options):
    stream = session.chat([{"role": "user", "content": "What is asthma?"}], SampleConfig(**options))
    return "".join(stream), stream


def test_draws_follow_the_distribution(model):
    logits = np.full(model.n_vocab, -30, np.float32)
    logits[[10, 11, 12]] = np.log([0.6, 0.3, 0.1]).astype(np.float32)
    sampler = Sampler(model, SampleConfig(temperature=1.0, top_p=1.0, seed=1), [])
    drawn = [sampler.pick(logits) for _ in range(4000)]
    shares = [drawn.count(token) / 4000 for token in (10, 11, 12)]
    assert np.allclose(shares, [0.6, 0.3, 0.1], atol=0.03)


@pytest.mark.parametrize(("options", "allowed"), [
    (dict(temperature=0.0), {10}), (dict(top_k=1), {10}), (dict(top_p=0.5), {10}), (dict(min_p=0.4), {10, 11}),
    (dict(temperature=0.0, repeat_penalty=2.0), {11})])
def test_each_knob_does_what_it_says(model, options, allowed):
    logits = np.full(model.n_vocab, -30, np.float32)
    logits[[10, 11, 12]] = [3.0, 2.5, 1.0]
    sampler = Sampler(model, SampleConfig(**{"temperature": 1.0, "top_p": 1.0, "seed": 1, **options}), [10])
    assert {sampler.pick(logits) for _ in range(1 if "repeat_penalty" in options else 300)} == allowed


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_an_answer_satisfies_its_schema(session, temperature):
    for seed in range(4):
        text, stream = ask(session, temperature=temperature, seed=seed, max_tokens=400, json_schema=json.dumps(PERSON))
        if stream.end.finish_reason == "stop":
            check_person(json.loads(text))
        assert text.lstrip().startswith("{")
    assert stream.end.finish_reason == "stop"


def test_an_answer_follows_its_grammar_and_the_law_of_the_model(session, model):
    grammar = 'root ::= ("yes" | "no" | "maybe")'
    counts = {}
    for seed in range(60):
        text, stream = ask(session, temperature=1.0, top_k=0, top_p=1.0, seed=seed, grammar=grammar)
        assert stream.end.finish_reason == "stop"
        counts[text] = counts.get(text, 0) + 1
    assert set(counts) <= {"yes", "no", "maybe"} and len(counts) > 1


@pytest.mark.parametrize(("options", "words"), [
    (dict(grammar="root ::= ["), "does not parse"), (dict(grammar='root ::= root "a"'), "does not parse"),
    (dict(grammar='x ::= "a"'), "does not parse"), (dict(grammar="root ::= missing"), "does not parse"),
    (dict(grammar="a\0b"), "null character"), (dict(grammar='root ::= "' + "a" * 200_000 + '"'), "characters"),
    (dict(grammar='root ::= "a"', json_schema="{}"), "not both"),
    (dict(json_schema="{"), "is no JSON"), (dict(json_schema="[]"), "use an object"),
    (dict(json_schema='{"enum": []}'), "can not be satisfied"),
    (dict(json_schema='{"type": "string", "minLength": 5, "maxLength": 2}'), "can not be satisfied"),
    (dict(json_schema='{"type": "object", "properties": {"a": {"anyOf": []}}}'), "can not be satisfied"),
    (dict(json_schema='{"$ref": "#/definitions/none"}'), "can not be followed"),
    (dict(json_schema='{"type": "nothing"}'), "can not be followed"),
    (dict(json_schema='{"$ref": "#"}'), "can not be"),
    (dict(grammar='root ::= "a"{5,2}'), "at least 5 and at most 2"), (dict(grammar='root ::= "a"{2001}'), "repeats"),
    (dict(grammar='root ::= "a"{99999999999999999999}'), "repeats"),
    (dict(grammar="root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000), "nests more than 100"),
    (dict(json_schema='{"type": "string", "maxLength": 1000000000}'), "maxLength is 1000000000; use 0 to 2,000"),
    (dict(json_schema='{"type": "array", "items": {}, "minItems": 1000000000}'), "use 0 to 2,000"),
    (dict(json_schema='{"type": "string", "pattern": "^a{100000000}$"}'), "repeats"),
    (dict(json_schema='{"items": ' * 200 + "{}" + "}" * 200), "nested"),
])
def test_what_can_not_be_followed_gets_a_sentence_and_the_worker_lives(session, options, words):
    pid = session.pid
    with pytest.raises(UserError, match=words):
        ask(session, max_tokens=20, **options)
    assert ask(session, max_tokens=3)[0] and session.pid == pid


def test_a_grammar_that_runs_dry_says_so(model):
    logits = np.full(model.n_vocab, -np.inf, np.float32)
    logits[10] = 0.0                                    # the only thing the model would say is forbidden
    with pytest.raises(UserError, match="allows no further token"):
        Sampler(model, SampleConfig(grammar='root ::= "yes"'), []).pick(logits)


def test_a_schema_without_an_end_ends_at_the_limit(session):
    node = {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}}, "required": ["a"]}
    endless = json.dumps({"$defs": {"node": node}, **node})
    _, stream = ask(session, json_schema=endless, max_tokens=40)
    assert stream.end.finish_reason == "length"


def test_log_probabilities_come_with_every_token(session):
    text, stream = ask(session, temperature=0.0, max_tokens=12, logprobs=3)
    assert len(stream.logprobs) == stream.end.generated_tokens == 12
    assert "".join(one["text"] for one in stream.logprobs).strip() == text.strip()
    for one in stream.logprobs:
        assert one["token"] == one["top"][0][0] and one["logprob"] == one["top"][0][2] <= 0 and len(one["top"]) == 3
    assert not ask(session, max_tokens=3)[1].logprobs


def test_top_logprobs_are_the_likeliest():
    logits = np.log(np.array([0.1, 0.5, 0.05, 0.35], np.float32))
    own, top = top_logprobs(logits, 2, 2)
    assert abs(own - np.log(0.05)) < 1e-5 and [token for token, _ in top] == [1, 3]


def test_the_grammar_of_a_schema_is_deterministic():
    assert schema_grammar(json.dumps(PERSON)) == schema_grammar(json.dumps(PERSON))


@pytest.mark.parametrize("temperature", [1e-7, 1e-38, 1e-45, 5e-324])
def test_a_temperature_near_zero_is_zero(model, temperature):
    logits = np.full(model.n_vocab, -30, np.float32)
    logits[[10, 11, 12]] = [30.0, 29.9, 20.0]
    sampler = Sampler(model, SampleConfig(temperature=temperature, seed=1), [])
    assert {sampler.pick(logits) for _ in range(50)} == {10}


@pytest.mark.parametrize("grammar", [
    'root ::= "' + "(" * 200 + '" [' + "(" * 200 + "] # " + "(" * 200 + "{9999}", r'root ::= "\"' + "(" * 200 + '"',
    'root ::= "{9,2}" [{9,2}] ' + '("a") ' * 200, r"root ::= [\]" + "(" * 200 + "]"])
def test_signs_in_literals_classes_and_comments_are_no_brackets(model, grammar):
    assert grammar_text(SampleConfig(grammar=grammar)) == grammar
    Sampler(model, SampleConfig(grammar=grammar), []).close()

"""What a schema's grammar allows is JSON that satisfies the schema; what it can not promise is refused by name."""

import json
import re

import numpy as np
import pytest

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.llama import Model
from runtime.sampler import Candidates, lib, made_grammar
from runtime.schema import schema_grammar

CLOSING = {b'"', b"}", b"]", b","}


@pytest.fixture(scope="module")
def model(demo_gguf):
    model = Model(demo_gguf, LoadConfig(device="cpu"), vocab_only=True)
    yield model
    model.close()


def accepts(model, schema, text):
    """True if the schema's grammar lets text through as a whole answer."""
    grammar = made_grammar(model, SampleConfig(json_schema=json.dumps(schema)))
    try:
        for token in model.encode(text, control=False):
            if not Candidates(np.zeros(1, np.float32), first_id=token).restrict(grammar):
                return False
            lib.llama_sampler_accept(grammar, token)
        return any(Candidates(np.zeros(1, np.float32), first_id=end).restrict(grammar) for end in model.eog_ids)
    finally:
        lib.llama_sampler_free(grammar)


def written(model, schema, seed):
    """A random value that the schema's grammar allows, or None if it became too long."""
    grammar = made_grammar(model, SampleConfig(json_schema=json.dumps(schema)))
    chance, said = np.random.default_rng(seed), b""
    for _ in range(300):
        candidates = Candidates(np.zeros(model.n_vocab, np.float32))
        assert candidates.restrict(grammar)
        left = candidates.left()
        if any(model.is_eog(int(token)) for token in left):
            break
        single = [int(token) for token in left if len(model.piece(int(token))) == 1]
        closing = [token for token in single if model.piece(token) in CLOSING]
        token = int(chance.choice(closing if closing and chance.random() < 0.5 else single or left))
        said += model.piece(token)
        lib.llama_sampler_accept(grammar, token)
    else:
        return None
    lib.llama_sampler_free(grammar)
    return json.loads(said.decode("utf-8", "replace"))


STRICT = {"type": "object", "properties": {"a": {"type": "boolean"}, "ab": {"type": "null"}}}
TREE = {"type": "object", "properties": {"v": {"type": "boolean"}, "kids": {
    "type": "array", "maxItems": 2, "items": {"$ref": "#"}}}, "required": ["v"]}
CHAIN = {"$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"type": "boolean"}}, "$ref": "#/$defs/x"}
PARTS = {"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "null"}}, "required": ["y"]}],
         "$defs": {"a": {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]}}}


@pytest.mark.parametrize(("schema", "good", "bad"), [
    ({"enum": ["a\nb", "a\tb", "C:\\x", 'say "hi"', "日本", 1.5, None, {"k": [1]}]},
     ["a\nb", "a\tb", "C:\\x", 'say "hi"', "日本", 1.5, None, {"k": [1]}], ["a", 1]),
    ({"const": '\u2028"\\'}, ['\u2028"\\'], [""]), ({"type": "string", "enum": ["x", 1]}, ["x"], [1]),
    ({"type": "object", "properties": {'a"b\\': {"type": "boolean"}}, "required": ['a"b\\']}, [{'a"b\\': True}], [{}]),
    (CHAIN, [True, False], [None]), (TREE, [{"v": True, "kids": [{"v": False}]}], [{"kids": []}]),
    (PARTS, [{"x": True, "y": None}], [{"x": True}]),
    ({"type": "integer", "minimum": -15, "maximum": 1200}, [-15, -1, 0, 9, 10, 999, 1200], [-16, 1201, 9999, 1.5]),
    ({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 8.0}, [6, 7], [5, 8, 60]),
    ({"type": "integer", "minimum": 1000}, [1000, 123456], [999, -1000]),
    ({"type": "integer", "maximum": -3}, [-3, -44], [-2, 0, 3]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc", "日本"], ["a", "abcd"]),
    ({"type": ["string", "null"], "maxLength": 1}, ["", "a", None], ["ab", 1]),
    ({"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2}, [[None], [None] * 2],
     [[], [None] * 3]),
    ({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}]}, [[None, True]], [[None], []]),
    ({**STRICT, "additionalProperties": False}, [{}, {"a": True}, {"ab": None}], [{"c": 1}]),
    ({**STRICT, "additionalProperties": {"type": "integer"}}, [{"b": 1}, {"abc": 1, "": 2}], [{"a": 1}, {"ab": 1}]),
    ({"type": "string", "pattern": r"^(\d{2}-)?[^a-z]+?\.x$"}, ["12-A.x", "A.x"], ["1-a.x", "a.x", "A-x"]),
    ({"type": "string", "pattern": "^a|b$"}, ["a", "b"], ["ab"]), ({"type": "string", "pattern": "^.*$"}, ["xy"], []),
    ({"type": "string", "format": "date"}, ["2024-01-31", "2024-02-29"], ["2024-02-30", "2024-13-01"]),
    ({"title": "t", "description": "d", "default": 1, "$schema": "s", "$comment": "c", "type": "null"}, [None], [0]),
])
def test_a_grammar_allows_what_the_schema_allows(model, schema, good, bad):
    for value in good:
        text = json.dumps(value, ensure_ascii=False)
        assert accepts(model, schema, text) or accepts(model, schema, json.dumps(value, separators=(",", ":"))), value
    for value in bad:
        assert not accepts(model, schema, json.dumps(value)), value
    texts = [text for text in (written(model, schema, seed) for seed in range(6)) if text is not None]
    assert all(value not in texts for value in bad if not isinstance(value, bool | int))


def test_every_small_range_of_integers_is_exact():
    for low in range(-12, 25, 3):
        for high in range(low, 130, 7):
            rule = re.search(r"^r0 ::= (.*) space$", schema_grammar(json.dumps(
                {"type": "integer", "minimum": low, "maximum": high})), re.MULTILINE).group(1)
            found = re.compile(rule.replace('"', "").replace(" ", ""))
            assert all(bool(found.fullmatch(str(k))) == (low <= k <= high) for k in range(-140, 140))


@pytest.mark.parametrize("schema", [{}, {"type": "string"}, {"type": "string", "pattern": "^[^a]{1,20}$"},
                                    {"type": "object", "additionalProperties": True}])
def test_random_text_by_a_grammar_is_json(model, schema):
    assert any(written(model, schema, seed) is not None for seed in range(20))


@pytest.mark.parametrize(("schema", "words"), [
    ({"type": "number", "minimum": 0}, "'minimum' with the type number"),
    ({"type": "integer", "multipleOf": 7}, "multipleOf"),
    ({"type": "object", "minProperties": 1}, "minProperties"), ({"not": {}}, "'not'"), ({"if": {}}, "'if'"),
    ({"type": "array", "uniqueItems": True}, "uniqueItems"), ({"patternProperties": {}}, "patternProperties"),
    ({"type": "string", "format": "email"}, "format 'email'"),
    ({"type": "object", "required": ["b"]}, "'b' is required"),
    ({"$ref": "#/a", "maxLength": 1}, "beside \\$ref"), ({"$ref": "https://example.com/x"}, "points outside"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "back to itself"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}, {}]}, "b": {"properties": {
        "x": {"allOf": [{"$ref": "#/$defs/b"}, {"required": []}]}}}}}, "without an end"),
    ({"type": "integer", "minimum": 5, "maximum": 2}, "can not be satisfied"),
    ({"minimum": "x", "type": "integer"}, "whole"),
    ({"type": "integer", "enum": ["x"]}, "can not be satisfied"),
    ({"type": "string", "pattern": "^\\bx$"}, "supported"),
    ({"type": "string", "pattern": '^"$'}, "quote marks"), ({"type": "string", "pattern": "x"}, "begins with"),
    ({"type": "string", "pattern": "^(a$"}, "no regular expression"),
    ({"type": "string", "pattern": "^(?=a)$"}, "groups"),
    ({"type": []}, "type is empty"), ({"properties": {"a": False}, "required": ["a"]}, "never allows"),
    ({"properties": [1]}, "no object"), ({"required": [{}], "properties": {"a": {}}}, "is required"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "different things"), ({"anyOf": None}, "no list"),
    ({"minLength": 1, "minItems": 2}, "without a type"), ({"const": 1, "minimum": 0}, "beside enum or const"),
])
def test_what_a_grammar_can_not_promise_is_refused_by_name(schema, words):
    with pytest.raises(UserError, match=words):
        schema_grammar(json.dumps(schema))


def test_numbers_that_are_no_json_are_refused():
    for text in ('{"type": "integer", "minimum": NaN}', '{"enum": [1e999]}'):
        with pytest.raises(UserError, match="is no JSON"):
            schema_grammar(text)

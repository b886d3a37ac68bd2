import shutil
from pathlib import Path

import numpy as np
import pytest

from convert import survey as surveys
from convert.probes import Messages, built_in
from convert.survey import Survey
from runtime.reference import ActivationSums, Reference
from tasks.controls import controls_of
from tasks.prompt import prompt_ids, sample_ids
from tests.convert.tiny import make_base


def quiet(text: str, done: int, of: int) -> None:
    """No progress shown."""


def rows(count: int) -> list[Messages]:
    """Held-out rows of about forty tokens each."""
    return [[{"role": "user", "content": f"Patient {k} has had a dry cough for {k + 2} days. What is it?"},
             {"role": "assistant", "content": "Most likely a cold."}] for k in range(count)]


@pytest.fixture(scope="module")
def reference(terse: Path) -> Reference:
    return Reference(terse, threads=1)


def test_what_the_reference_reads_is_the_held_out_rows(reference: Reference):
    found = Survey.take(reference, rows(90), quiet)
    wanted = [sample_ids(row, reference.tokenizer)[0] for row in rows(90)]
    assert sum(map(len, found.rows)) == found.heldout_tokens == surveys.COMPARED_TOKENS
    assert found.rows[:-1] == wanted[:len(found.rows) - 1]
    for ids, state, logits in zip(found.rows, found.states, reference.logits_of(found.states), strict=True):
        assert state.shape == (len(ids), 64) and np.abs(logits - reference.logits(ids)).max() < 1e-5
    assert found.sums is None and "none" in found.importance_json()
    assert found.to_json()["seconds"] > 0 and found.to_json()["peak_mb"] > 1


@pytest.mark.parametrize(("count", "is_apart"), [(200, True), (90, False), (5, False)])
def test_the_importance_matrix_sees_other_rows_where_there_are_enough(reference: Reference, count: int, is_apart: bool):
    found = Survey.take(reference, rows(count), quiet, wants_sums=True)
    ids = [sample_ids(row, reference.tokenizer)[0] for row in rows(count)]
    taken = len(found.rows) if is_apart else 0
    assert found.is_apart is is_apart
    alone = ActivationSums()
    list(reference.states(ids[taken:], alone))
    assert found.sums is not None and set(found.sums.in_sum2) == set(alone.in_sum2)
    if count != 90:                     # there a row is cut to the limit of the compared ones
        assert found.importance_tokens == sum(map(len, ids[taken:]))
        assert found.sums.tokens == alone.tokens
        assert all(np.allclose(found.sums.in_sum2[name], alone.in_sum2[name], rtol=1e-6) for name in alone.in_sum2)
    assert found.importance_json()["is_apart"] is is_apart


def test_few_rows_are_filled_up_and_told(reference: Reference):
    found = Survey.take(reference, rows(5), quiet, wants_sums=True)
    assert found.heldout_tokens == found.importance_tokens == sum(map(len, found.rows[-5:])) < 500
    assert sum(map(len, found.rows)) == surveys.COMPARED_TOKENS
    assert found.rows[0] == found.starts[0].ids + found.starts[0].answer


def test_without_rows_there_is_no_importance_matrix(reference: Reference):
    found = Survey.take(reference, [], quiet, wants_sums=True)
    assert found.sums is None and found.heldout_tokens == 0 and len(found.starts) == 4
    assert 1000 < sum(map(len, found.rows)) <= surveys.COMPARED_TOKENS


def test_prompts_of_held_out_rows_are_of_every_kind(reference: Reference):
    found = Survey.take(reference, rows(30), quiet)
    asked = [prompt.messages for prompt in found.prompts[:found.heldout_prompts]]
    find = controls_of(reference.tokenizer.controls).first
    assert found.heldout_prompts == 40 and len(found.prompts) - 40 >= len(built_in(reference.tokenizer.controls))
    assert asked[::2] == [row[:-1] for row in rows(20)]
    assert sum(one[0]["role"] == "system" for one in asked) == 5
    assert sum(len(one) == 3 and one[0]["role"] == "user" for one in asked) == 5
    assert sum(any(ord(c) > 0xFFFF for c in one[-1]["content"]) for one in asked) == 5
    assert sum(bool(find(one[-1]["content"])) for one in asked) == 5


def test_transformers_is_asked_for_all_prompts_without_control_strings(reference: Reference):
    found = Survey.take(reference, rows(20), quiet)
    find = controls_of(reference.tokenizer.controls).first
    for prompt in found.prompts:
        is_hostile = any(find(message["content"]) for message in prompt.messages)
        assert (prompt.of_template is None) is is_hostile
        assert prompt.of_template in (None, prompt.ids)
    assert sum(prompt.of_template is not None for prompt in found.prompts) > 50


def test_a_template_that_leaves_bos_to_the_tokenizer(tmp_path: Path, terse: Path):
    base = shutil.copytree(terse, tmp_path / "base")
    template = base / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8").replace("{{ bos_token }}", ""), encoding="utf-8")
    found = Survey.take(Reference(base, threads=1), [], quiet)
    assert all(prompt.of_template in (None, prompt.ids) for prompt in found.prompts)
    assert all(prompt.ids.count(2) == 1 for prompt in found.prompts if prompt.of_template)


def test_a_base_without_template_is_asked_for_texts(tmp_path: Path, tokenizer_folder: Path):
    base = make_base(tmp_path / "base", "gemma", tokenizer_folder)
    (base / "chat_template.jinja").unlink()
    config = base / "tokenizer_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"chat_template"', '"was"'), encoding="utf-8")
    found = Survey.take(Reference(base, threads=1), rows(100), quiet, wants_sums=True)
    assert not found.prompts and not found.starts and len(found.texts) > 40
    assert found.rows[0] == [2, *found.texts[0][1]] and found.heldout_tokens == 2000 and found.sums is not None


def test_layers_can_be_given_back(terse: Path):
    for is_layerwise in (False, True):
        reference = Reference(terse, threads=1, is_layerwise=is_layerwise)
        found = Survey.take(reference, [], quiet)
        before = next(reference.logits_of(found.states[:1]))
        reference.release_layers()
        assert np.array_equal(next(reference.logits_of(found.states[:1])), before)
        assert reference.tokenizer.encode("a cough", control=False)


class Stopped(Exception):
    """Somebody pressed Stop."""


@pytest.mark.parametrize("text", ["The reference answers", "The reference reads the rows"])
def test_it_can_be_stopped(reference: Reference, text: str):
    def stop(said: str, done: int, of: int) -> None:
        if said == text:
            raise Stopped

    with pytest.raises(Stopped):
        Survey.take(reference, rows(3), stop)


def test_rows_that_the_template_refuses_are_left_out_and_counted(reference: Reference):
    twice = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    found = Survey.take(reference, [twice, *rows(5), twice], quiet, wants_sums=True)
    alone = Survey.take(reference, rows(5), quiet, wants_sums=True)
    assert found.refused == [twice] * 2 and not alone.refused and found.to_json()["refused_rows"] == 2
    assert found.rows == alone.rows and found.prompts == alone.prompts and found.heldout_prompts == 10
    none = Survey.take(reference, [twice], quiet, wants_sums=True)
    assert none.refused == [twice] and none.heldout_tokens == none.heldout_prompts == 0 and none.sums is None


@pytest.mark.parametrize("count", [0, 3, 90])
def test_one_row_is_as_long_as_asked(reference: Reference, count: int):
    """Of the user's rows where they suffice, else of the others; the rest is as before."""
    found = Survey.take(reference, rows(count), quiet, long_row_tokens=300)
    joined = [token for row in rows(count) for token in sample_ids(row, reference.tokenizer)[0]]
    assert max(map(len, found.rows)) == len(found.rows[0]) == 300
    assert 1000 < sum(map(len, found.rows)) <= surveys.COMPARED_TOKENS
    assert (found.rows[0] == joined[:300]) is (count == 90)
    assert found.heldout_tokens == (2000 if count == 90 else len(joined))


def test_answers_are_asked_for_where_they_end_soon(reference: Reference):
    long = [[*row[:-1], {"role": "assistant", "content": "So. " * 400}] for row in rows(20)]
    found = Survey.take(reference, [*long, *rows(12)[8:]], quiet)
    assert len(found.starts) == surveys.GREEDY_STARTS == 8
    assert [start.ids for start in found.starts[:4]] == [prompt_ids(row[:-1], reference.tokenizer)
                                                         for row in rows(12)[8:]]

"""A long conversation is cut at one place over several turns, whoever else is served in between."""

import pytest
from transformers import AutoTokenizer

from tasks import prompt
from tasks.hf_tokenizer import HFTokenizer
from tasks.window import CONVERSATIONS, Window

LIMIT = 400


@pytest.fixture(scope="module")
def tokenizer(demo_base):
    return HFTokenizer(AutoTokenizer.from_pretrained(demo_base))


def turn(name, k):
    return [{"role": "user", "content": f"{name} asks {k} " + "word " * 8}, {"role": "assistant", "content": "Yes."}]


@pytest.mark.parametrize("rules", [[], [{"role": "system", "content": "Be brief."}]])
def test_the_cut_stays_for_several_turns_and_moves_in_steps(tokenizer, rules):
    window, cuts, before = Window(), [], {"A": [], "B": []}
    for k in range(60):
        for name in before:
            conversation = rules + [one for j in range(k) for one in turn(name, j)] + turn(name, k)[:1]
            ids, dropped = window.fit(conversation, tokenizer, LIMIT)
            assert len(ids) <= LIMIT
            if name == "A":
                cuts.append(dropped)
                if k and cuts[-2] == dropped:
                    assert ids[:len(before[name])] == before[name]     # the last prompt is the beginning of this one
            before[name] = ids
    steps = sorted(set(cuts))
    assert cuts == sorted(cuts) and len(steps) > 4
    assert all(cuts.count(step) >= 4 for step in steps[1:-1])           # a quarter of the context is some turns
    assert all(prompt.fit(conversation, tokenizer, LIMIT)[1] >= one for one in steps)


def test_old_conversations_are_forgotten(tokenizer):
    window = Window()
    for k in range(CONVERSATIONS + 5):
        window.fit([one for j in range(30) for one in turn(str(k), j)] + turn("last", 0)[:1], tokenizer, LIMIT)
    assert len(window._cuts) == CONVERSATIONS


def test_another_beginning_is_another_conversation(tokenizer):
    window = Window()
    first = [one for j in range(30) for one in turn("A", j)] + turn("A", 30)[:1]
    kept = window.fit(first, tokenizer, LIMIT)[1]
    changed = [{"role": "user", "content": "Else"}, *first[1:]]
    assert window.fit(first, tokenizer, LIMIT + 100)[1] == kept                 # though more would fit
    assert window.fit(changed, tokenizer, LIMIT + 100)[1] < kept

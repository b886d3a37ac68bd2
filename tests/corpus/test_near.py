import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.near import SLICE, Near, jaccard, triples, words
from tests.corpus.rows import with_word
from tests.corpus.rows import words as text

SOME = st.lists(st.integers(0, 60), min_size=1, max_size=60, unique=True).map(
    lambda found: np.array(sorted(found), dtype=np.uint64))


def sets(*texts: str) -> list:
    return triples(map(words, texts))


def brute(a: np.ndarray, b: np.ndarray) -> float:
    one, two = set(a.tolist()), set(b.tolist())
    return len(one & two) / len(one | two)


@pytest.mark.parametrize("text, found", [
    ("The  PATIENT's pain, (5/10)!", ["the", "patient", "s", "pain", "5", "10"]),
    ("HER2+ p < 0.05", ["her2", "+", "p", "<", "0", "05"]),
    ("HER2- and -2, up-to-date", ["her2", "-", "and", "-", "2", "up", "to", "date"]),
    ("ça où", ["ça", "où"]),
    ("头痛 CT", ["头", "痛", "ct"]),
    (" .,;\n", []),
])
def test_words_keep_what_changes_a_meaning(text: str, found: list[str]):
    assert words(text) == found


def test_similarity_is_that_of_the_sets_of_word_triples():
    a, b = sets("one two three four five", "one two three four six")
    assert (a.size, b.size) == (3, 3) and jaccard(a, b) == 2 / 4
    a, b, c, d = sets("One, two; three four.", "one two three four", "one two", "")
    assert jaccard(a, b) == 1 and jaccard(a, c) == 0 and d.size == 0 == jaccard(d, d)
    assert jaccard(*sets("tumour is HER2+ now", "tumour is HER2- now")) < 0.5


@pytest.mark.parametrize("a, b", [("Take 5 mg daily.", "Take 50 mg daily."), ("He has fever.", "He has no fever."),
                                  ("Type 2 diabetes", "Type 1 diabetes"), ("a", "b")])
def test_short_texts_are_near_only_when_they_are_equal(a: str, b: str):
    near = Near(0.85)
    one, other = sets(a, b)
    near.add(0, one)
    assert near.find(one) == [(0, 1.0)] and not near.find(other)


@given(known=st.lists(SOME, max_size=12), one=SOME, similarity=st.floats(0.5, 1))
@settings(max_examples=60, deadline=None)
def test_no_false_pair_and_its_similarity_is_exact(known: list, one: np.ndarray, similarity: float):
    near = Near(similarity)
    for key, other in enumerate(known):
        near.add(key, other)
    for key, found in near.find(one):
        assert found == brute(known[key], one) >= similarity


def test_of_pairs_just_above_the_threshold_next_to_none_is_missed():
    rng, found, tried = np.random.default_rng(0), 0, 300
    near, asked = Near(0.85), []
    for key in range(tried):
        one = rng.integers(0, 2**63, 200, dtype=np.uint64)
        other = one.copy()
        other[:16] = rng.integers(0, 2**63, 16, dtype=np.uint64)        # 184 / 216 = 0.852
        near.add(key, np.unique(one))
        asked.append(np.unique(other))
    for key, other in enumerate(asked):
        found += [match for match, _ in near.find(other)] == [key]
    assert found >= tried * 0.98


def test_the_wording_of_the_task_is_no_similarity():
    instruction = text(0, 120)
    asked = [f"{instruction} {text(seed, 8)}" for seed in range(1, 31)]
    found = sets(*asked)
    assert max(jaccard(found[k], found[0]) for k in range(1, 30)) == 0
    few = sets(*asked[:5])                      # of five texts nobody knows which part is wording
    assert jaccard(few[0], few[1]) > 0.85


def test_a_very_long_text_is_hashed_in_slices_and_found():
    long = text(1, SLICE + 50_000)
    one, other = sets(long, with_word(long, 500, "else"))
    near = Near(0.85)
    near.add(7, one)
    assert [key for key, _ in near.find(other)] == [7]


def test_the_same_text_gives_the_same_triples_in_every_process():
    assert sets("cough", "fever and cough")[1].tolist() == [17082303629071568732]

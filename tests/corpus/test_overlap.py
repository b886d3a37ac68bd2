import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.overlap import PART_TRIPLES, Overlap

SOME = st.lists(st.integers(0, 60), min_size=1, max_size=60, unique=True).map(
    lambda found: np.array(sorted(found), dtype=np.uint64))


def brute(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    one, two = set(a.tolist()), set(b.tolist())
    shared = len(one & two)
    return shared / len(one | two), shared / min(len(one), len(two))


@given(known=st.lists(SOME, max_size=12), one=SOME, similarity=st.floats(0.5, 1))
@settings(max_examples=200, deadline=None)
def test_overlap_finds_exactly_what_comparing_all_would(known: list, one: np.ndarray, similarity: float):
    found = {shared.key: (shared.jaccard, shared.part) for shared in Overlap(known, similarity).find(one)}
    all_of_them = {key: brute(other, one) for key, other in enumerate(known)}
    assert found == {key: (near, part) for key, (near, part) in all_of_them.items()
                     if near >= similarity or part >= similarity and min(known[key].size, one.size) >= PART_TRIPLES}


def test_overlap_of_nothing_finds_nothing():
    empty = np.empty(0, dtype=np.uint64)
    assert not list(Overlap([], 0.85).find(np.arange(3, dtype=np.uint64)))
    assert not list(Overlap([empty, empty], 0.85).find(empty))


def test_a_part_is_found_from_either_side_among_many_others():
    rng = np.random.default_rng(0)
    others = [np.unique(rng.integers(1000, 5000, 50, dtype=np.uint64)) for _ in range(50)]
    whole, part = np.arange(400, dtype=np.uint64), np.arange(100, 130, dtype=np.uint64)
    assert [(s.key, s.part) for s in Overlap([*others, part], 0.85).find(whole)] == [(50, 1.0)]
    assert [(s.key, s.part) for s in Overlap([*others, whole], 0.85).find(part)] == [(50, 1.0)]
    assert not list(Overlap([part[:19]], 0.85).find(whole))


def test_a_key_that_is_not_wanted_is_not_looked_at():
    one = np.arange(30, dtype=np.uint64)
    overlap, asked = Overlap([one, one, one], 0.85), []
    assert [shared.key for shared in overlap.find(one, lambda key: asked.append(key) or key == 1)] == [1]
    assert asked == [0, 1, 2]

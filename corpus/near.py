"""Which texts nearly repeat each other: Jaccard similarity of their word triples, candidates found by MinHash.

Every similarity reported is exact. Only a candidate can be missed: of pairs right at the threshold fewer than 1 in
100, of more similar ones far fewer (MINHASHES, RECALL).
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Triples = NDArray[np.uint64]        # sorted, without repeats

# a word, one letter of a script without spaces, or a sign that changes a meaning (HER2+, p < 0.05, -2)
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|(?:(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])[^\W_])+"
                  r"|[+<>=%±≤≥]|(?<!\w)[-−](?=\w)|(?<=\w)[-−](?!\w)")
UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
# letters of other scripts that look like Latin ones, in lower case
ALIKE = str.maketrans("\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u04bb"
                      "\u0501\u051b\u051d\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0261\u0131",
                      "abekmhopctyxijshdqw" "aikvoptuxgi")
RUN = 3
COMMON_SHARE, COMMON_TEXTS = 0.1, 10        # a beginning or end that more than both share may be the task's wording
WORDING_WORDS, OWN_WORDS = 10, 5            # a shorter wording makes no two texts alike; what must stay between two
PARTING_SHARE = 0.25                        # wording ends where more than this leave what most go on with
COPY_WORDS, CHANGED_WORDS = 25, 2           # texts that share so many words and change no more are copies
COMPARED = 200                              # of a group that may be copies
TASK_SHARE = 0.9                            # what so many of a source share is its task, however little is their own
MINHASHES, RECALL = 128, 0.99
SLICE = 32_768                              # triples hashed at once: 16 MB


def words(text: str) -> list[str]:
    """The words of a text, letter case, punctuation and letters of another script that look the same aside."""
    return WORD.findall(plain(text))


def plain(text: str) -> str:
    """A text as it is compared: in lower case, its letters by their look, without signs that can not be seen."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", UNSEEN.sub("", text)).casefold().translate(ALIKE)


def triples(texts: Iterable[Sequence[str]], sources: Sequence[str] = ()) -> list[Triples]:
    """Each text, given as its words, as the set of its runs of three; fewer words are one run, none are none.

    The wording of the task (a long instruction before or after every question) says nothing of a row and is left
    out: what more than a tenth of the texts, and more than ten, begin or end with before they part. Many copies of
    one text do not part: a few words differ, here in one and there in another.

    sources: where each text comes from (its file, its instruction). With them, copies are told from wording even
    where all differ in one place: a long text and another word or two, unless nearly all of a source is so.
    """
    numbers: dict[str, int] = {}
    given = list(texts)
    starts = _wording(given, sources)
    rest = [text[start:] for text, start in zip(given, starts, strict=True)]
    ends = _wording([text[::-1] for text in rest], sources)
    own = [text if start and len(text) - end < OWN_WORDS else text[:len(text) - end]
           for text, start, end in zip(rest, starts, ends, strict=True)]
    return [_triples_of(text, numbers) for text in own]


def _wording(texts: Sequence[Sequence[str]], sources: Sequence[str]) -> list[int]:
    """How many words of each text, from its beginning, are wording."""
    lengths = [0] * len(texts)
    enough = max(COMMON_TEXTS, COMMON_SHARE * len(texts))
    alike = [(list(range(len(texts))), 0)] if len(texts) > enough else []     # and where their wording ends so far
    sizes = Counter(sources)
    depth = 0
    while alike:
        longer: list[tuple[list[int], int]] = []
        for group, end in alike:
            going_on: dict[str | None, list[int]] = defaultdict(list)
            for k in group:
                going_on[texts[k][depth] if depth < len(texts[k]) else None].append(k)
            parted = len(group) - max(map(len, going_on.values()))
            if (depth >= WORDING_WORDS and parted > PARTING_SHARE * len(group)
                    and not (sizes and _are_copies([texts[k] for k in group], end, depth)
                             and not _is_task([sources[k] for k in group], sizes))):
                end = depth
                for k in group:
                    lengths[k] = depth
            longer += [(some, end) for word, some in going_on.items() if word is not None and len(some) > enough]
        alike, depth = longer, depth + 1
    return lengths


def _are_copies(group: Sequence[Sequence[str]], end: int, depth: int) -> bool:
    """Whether texts that are alike up to depth differ, after it, in a word or two only, and share many after end."""
    some = group[::max(1, len(group) // COMPARED)]
    copies = 0
    for one, other in pairwise(some):
        a, b = one[depth:], other[depth:]
        if abs(len(a) - len(b)) <= CHANGED_WORDS and min(len(one), len(other)) - end >= COPY_WORDS:
            kept = (Counter(a) & Counter(b)).total()
            changed = max(len(a), len(b)) - kept
            copies += changed <= CHANGED_WORDS and depth - end + kept >= COPY_WORDS
    return copies >= (1 - PARTING_SHARE) * (len(some) - 1)


def _is_task(group: Sequence[str], sizes: Mapping[str, int]) -> bool:
    """Whether sources that lie nearly whole in the group, given by its sources, make up half of it."""
    whole = sum(n for source, n in Counter(group).items() if n >= TASK_SHARE * sizes[source])
    return 2 * whole >= len(group)


def _triples_of(found: Sequence[str], numbers: dict[str, int]) -> Triples:
    """numbers remembers what each word was hashed to."""
    ids = np.empty(len(found), dtype=np.uint64)
    for k, word in enumerate(found):
        number = numbers.get(word)
        if number is None:
            number = numbers[word] = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"),
                                                                    digest_size=8).digest(), "little")
        ids[k] = number
    if not len(ids):
        return ids
    runs = ids[:1] * 0 if len(ids) < RUN else np.zeros(len(ids) - RUN + 1, dtype=np.uint64)
    for k in range(min(RUN, len(ids))):
        runs = _mixed(runs + ids[k:k + len(runs)])
    return np.unique(runs)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of each number depends on all of its bits (the end of MurmurHash3, 64 bits)."""
    for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
        x = (x ^ (x >> np.uint64(33))) * np.uint64(factor)
    return x ^ (x >> np.uint64(33))


def jaccard(a: Triples, b: Triples) -> float:
    """Size of the intersection over size of the union; 0 where one is empty."""
    if not (a.size and b.size):
        return 0.0
    shared = np.intersect1d(a, b, assume_unique=True).size
    return shared / (a.size + b.size - shared)


class Near:
    """Sets of triples that can be asked for those at least this similar to another."""

    def __init__(self, similarity: float) -> None:
        from datasketch import MinHash, MinHashLSH
        self.similarity = similarity
        self._sets: dict[int, Triples] = {}
        self._empty = MinHash(num_perm=MINHASHES, hashfunc=int)
        self._lsh = MinHashLSH(num_perm=MINHASHES, params=_bands(similarity))

    def add(self, key: int, one: Triples) -> None:
        """Let one be found under key. An empty set never is."""
        if one.size:
            self._sets[key] = one
            self._lsh.insert(key, self._signature(one))

    def find(self, one: Triples) -> list[tuple[int, float]]:
        """(key, exact similarity) of every set at least that similar, the most similar first."""
        if not one.size:
            return []
        found = []
        for key in self._lsh.query(self._signature(one)):
            low, high = sorted((one.size, self._sets[key].size))
            if low >= self.similarity * high:
                similarity = jaccard(one, self._sets[key])
                if similarity >= self.similarity:
                    found.append((key, similarity))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def _signature(self, one: Triples) -> Any:
        minhash = self._empty.copy()
        low = one & np.uint64(0xffffffff)
        for start in range(0, low.size, SLICE):
            minhash.update_batch(low[start:start + SLICE].tolist())
        return minhash


def _bands(similarity: float) -> tuple[int, int]:
    """(bands, rows in each): the most rows with which a pair at the threshold is still a candidate, by RECALL."""
    for rows in range(MINHASHES // 2, 1, -1):       # the library wants two bands
        bands = MINHASHES // rows
        if 1 - (1 - similarity ** rows) ** bands >= RECALL:
            return bands, rows
    return MINHASHES, 1

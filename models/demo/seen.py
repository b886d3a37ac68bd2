"""What the embedded model learned from, as hashes: its questions and dialogues can be recognised, not read back.

Made again with `python models/demo/seen.py DATA`, which reads what make.py reads.
"""

import hashlib
import re
import sys
from functools import lru_cache
from pathlib import Path

SEEN = Path(__file__).with_name("seen.bin")
BYTES = 6                           # of each text's sha256
LEAST_WORDS = 4                     # a shorter text says nothing


def has_seen(text: str) -> bool:
    """Whether the embedded model learned from this question or dialogue; case, spaces and punctuation aside."""
    return len(_plain(text).split()) >= LEAST_WORDS and _hash(text) in _all()


def write(data: Path, path: Path = SEEN) -> int:
    """Write the hashes of all training texts in this folder of data, and say how many there are."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from models.demo.documents import read_corpus
    texts = set()
    for document in read_corpus(data).training:
        asked = [question.partition("\n\n")[0] for question, _ in document.pairs]
        texts |= {_hash(text) for text in asked or [document.text]}
    path.write_bytes(b"".join(sorted(texts)))
    return len(texts)


@lru_cache(maxsize=1)
def _all() -> frozenset[bytes]:
    data = SEEN.read_bytes()
    return frozenset(data[at:at + BYTES] for at in range(0, len(data), BYTES))


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def _hash(text: str) -> bytes:
    return hashlib.sha256(_plain(text).encode()).digest()[:BYTES]


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1])):,} texts")

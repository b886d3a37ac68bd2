"""The documents the demonstration model learns from, without benchmark rows, split into training and held-out."""

import csv
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_SHARE = 0.04
SPLIT_SEED = 20


@dataclass(frozen=True)
class Document:
    """One text to learn from, with the question-answer pairs it holds.

    keys: whatever makes two documents near-identical; documents that share one stand on the same side of the split.
    pairs: (question as a user types it, answer); empty where the source is no question-answer source.
    """

    source: str
    text: str
    keys: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Corpus:
    training: list[Document]
    held_out: list[Document]
    rows: dict[str, int]      # rows used of each source
    left_out: dict[str, int]  # rows of each source that recur in a validation or test split


def read_corpus(data: Path) -> Corpus:
    """All four sources, split by document; the same folder gives the same split every time."""
    documents: list[Document] = []
    rows: dict[str, int] = {}
    left_out: dict[str, int] = {}
    readers = {"MedQuAD": read_medquad, "PubMedQA": read_pubmedqa, "MTS-Dialog": read_mts, "ACI-BENCH": read_aci}
    for name, read in readers.items():
        found, rows[name], left_out[name] = read(data)
        documents += found
    training, held_out = split(documents)
    return Corpus(training, held_out, rows, left_out)


def read_medquad(data: Path) -> tuple[list[Document], int, int]:
    """Documents, rows used, rows left out (none). One document a page: its questions and answers in their order."""
    lines = (data / "medquad" / "medquad_train.jsonl").read_text(encoding="utf-8").splitlines()
    pages: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in map(json.loads, lines):
        pages.setdefault((row["source"], row["doc"]), []).append(row)
    documents = []
    for (source, doc), rows in pages.items():
        rows.sort(key=lambda row: int(row["qid"].rsplit("-", 1)[1]))
        pairs = tuple((tidy(row["question"]), tidy(row["answer"])) for row in rows)
        keys = {f"doc {source} {doc}"}
        keys |= {key for row in rows for key in ("url " + row["url"], "focus " + plain(row["focus"]))}
        text = "\n\n".join(f"{question}\n{answer}" for question, answer in pairs)
        documents.append(Document("MedQuAD", text, tuple(sorted(keys)), pairs))
    return documents, len(lines), 0


def read_pubmedqa(data: Path) -> tuple[list[Document], int, int]:
    """As read_medquad; question, contexts, conclusion of one abstract. As a pair: the decision, then the conclusion."""
    rows = json.loads((data / "pubmedqa" / "pqal_dev500.json").read_text(encoding="utf-8"))
    documents = []
    for pmid, row in rows.items():
        question, conclusion = tidy(row["QUESTION"]), tidy(row["LONG_ANSWER"])
        contexts = tidy(" ".join(row["CONTEXTS"]))
        pair = (f"{question}\n\n{contexts}", f"{row['final_decision']}\n\n{conclusion}")
        text = f"{question}\n\n{contexts}\n\n{conclusion}"
        documents.append(Document("PubMedQA", text, ("pmid " + pmid, "question " + plain(question)), (pair,)))
    return documents, len(rows), 0


def read_mts(data: Path) -> tuple[list[Document], int, int]:
    """Dialogue and note of a row as two documents of one key: summarising is what users tune the model for."""
    folder = data / "mts-dialog"
    reserved = [folder / "validation.csv", folder / "test1.csv"]
    return read_dialogues("MTS-Dialog", folder / "train.csv", reserved, "section_text")


def read_aci(data: Path) -> tuple[list[Document], int, int]:
    """As read_mts, for the long dialogues."""
    folder = data / "aci-bench"
    return read_dialogues("ACI-BENCH", folder / "train.csv", [folder / "valid.csv"], "note")


def read_dialogues(name: str, train: Path, reserved: list[Path], note: str) -> tuple[list[Document], int, int]:
    """Documents, rows used, rows left out because their dialogue recurs in a reserved split."""
    taken = {plain(row["dialogue"]) for path in reserved for row in read_csv(path)}
    rows = read_csv(train)
    free = [row for row in rows if plain(row["dialogue"]) not in taken]
    documents = []
    for row in free:
        key = ("dialogue " + plain(row["dialogue"]),)
        documents += [Document(name, tidy(row["dialogue"]), key), Document(name, tidy(row[note]), key)]
    return documents, len(free), len(rows) - len(free)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def plain(text: str) -> str:
    """Lower-case letters and digits only, for telling whether two texts are the same."""
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def tidy(text: str) -> str:
    """One kind of line end, no spaces at line ends; U+2581 is a space to the tokenizer, so here too."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2581", " ")
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip()


def split(documents: list[Document]) -> tuple[list[Document], list[Document]]:
    """(training, held-out): whole groups of documents that share a key, HELD_OUT_SHARE of each source's documents."""
    groups = grouped(documents)
    random.Random(SPLIT_SEED).shuffle(groups)
    wanted = {source: HELD_OUT_SHARE * count for source, count in Counter(d.source for d in documents).items()}
    training: list[Document] = []
    held_out: list[Document] = []
    held: Counter[str] = Counter()
    for group in groups:
        if all(held[document.source] < wanted[document.source] for document in group):
            held_out += group
            held.update(document.source for document in group)
        else:
            training += group
    return training, held_out


def grouped(documents: list[Document]) -> list[list[Document]]:
    """Documents that share a key, directly or through others, together (union-find over keys)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for document in documents:
        for key in document.keys[1:]:
            parent[root(key)] = root(document.keys[0])
    groups: dict[str, list[Document]] = {}
    for document in documents:
        groups.setdefault(root(document.keys[0]), []).append(document)
    return list(groups.values())

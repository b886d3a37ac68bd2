import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.read import fingerprint, read_tables
from models.errors import UserError
from tests.corpus.fake_hub import FakeHub, fake_hub

ROWS = [{"question": f"q{k}", "answer": None if k == 1 else "a"} for k in range(9)]
CARD = b"""---
configs:
- config_name: first
  data_files: first.jsonl
- config_name: second
  data_files: second.jsonl
---
"""


def lines(rows: list[dict]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub of our own, and an empty place for what is fetched."""
    with fake_hub() as state:
        state.datasets["me/qa"] = {"train.jsonl": lines(ROWS), "test.jsonl": lines(ROWS[:2])}
        state.datasets["me/two"] = {"README.md": CARD, "first.jsonl": lines(ROWS[:3]), "second.jsonl": lines(ROWS[:4])}
        state.closed |= {"me/licence": (403, "GatedRepo"), "me/private": (401, "RepoNotFound"), "me/token": (401, ""),
                         "me/right": (403, ""), "me/broken": (503, "Down")}
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield state


def test_splits_of_a_dataset_are_read_and_kept_for_times_without_a_network(hub: FakeHub,
                                                                           monkeypatch: pytest.MonkeyPatch):
    train, test = read_tables("hf:me/qa", DataConfig())
    assert [record.fields for record in train.records] == ROWS
    assert (train.split, test.split, train.file, train.notes) == ("train", "test", "hf:me/qa train", ())
    before = fingerprint("hf:me/qa", DataConfig())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = read_tables("hf:me/qa", DataConfig())
    assert again[0].records == train.records and fingerprint("hf:me/qa", DataConfig()) == before
    assert again[0].notes == ("The hub can not be reached; me/qa is read as it was fetched before.",)


def test_a_limit_and_a_split(hub: FakeHub):
    limited = read_tables("hf:me/qa", DataConfig(limit_rows=4))
    assert [len(table.records) for table in limited] == [4, 2]
    assert limited[0].notes == ("Of qa train only the first 4 rows were read.",) and not limited[1].notes
    only = read_tables("hf:me/qa", DataConfig(dataset_split="test"))
    assert [(table.split, len(table.records)) for table in only] == [("", 2)]


def test_a_subset_is_named_behind_a_colon(hub: FakeHub):
    assert [len(table.records) for table in read_tables("hf:me/two:second", DataConfig())] == [4]


@pytest.mark.parametrize("source, split, words", [
    ("hf:me/two", "", r"me/two has the subsets first, second; write one of them, as hf:me/two:first\."),
    ("hf:me/two:third", "", r"me/two has the subsets first, second"),
    ("hf:me/qa", "dev", r"me/qa has no such split; there are train, test\."),
    ("hf:me/none", "", r"There is no dataset me/none on the hub; look up its name"),
    ("hf:me/private", "", r"not open to everybody, or its name is wrong; make a token at .*, and give it to Galen"),
    ("hf:me/licence", "", r"not open to everybody"),
    ("hf:me/broken", "", r"The hub answered 503 for me/broken; try again later\."),
    ("hf:alone", "", r"'hf:alone' names no dataset of the hub; write hf:OWNER/NAME"),
])
def test_what_the_hub_does_not_give_gets_one_clear_line(hub: FakeHub, source: str, split: str, words: str):
    with pytest.raises(UserError, match=words) as error:
        read_tables(source, DataConfig(dataset_split=split))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name, words", [
    ("token", "The hub does not accept your token, which HF_TOKEN holds; make a new one"),
    ("licence", r"The licence of me/licence is not accepted yet; open https://\S+/me/licence, accept it"),
    ("right", "Your token may not read me/right"),
])
def test_a_token_a_licence_and_a_right_are_three_sentences(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, name: str,
                                                           words: str):
    monkeypatch.setenv("HF_TOKEN", "hf_some")
    with pytest.raises(UserError, match=words):
        read_tables(f"hf:me/{name}", DataConfig())


def test_without_a_network_one_line_says_so(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"can not be reached to fetch me/qa; connect to the internet, or give a file"):
        read_tables("hf:me/qa", DataConfig())


def test_a_hub_that_hangs_up_is_asked_once(hub: FakeHub):
    hub.is_deaf = True
    with pytest.raises(UserError, match="can not be reached to fetch me/qa"):
        read_tables("hf:me/qa", DataConfig())
    assert len(hub.requests) == 1


def test_nobody_is_asked_when_a_file_is_read(hub: FakeHub, tmp_path: Path):
    (tmp_path / "a.csv").write_text("q,a\n1,2\n", encoding="utf-8")
    read_tables(str(tmp_path), DataConfig())
    assert not hub.requests

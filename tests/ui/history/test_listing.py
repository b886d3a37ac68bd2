from pathlib import Path

import pytest

from models.errors import UserError
from tests.ui.fakes import wait_for
from tests.ui.history.asked import answered, files_holding
from ui.history import File, History, Message, new_id


def titles(history: History, query: str = "") -> list[str]:
    return [one.title for one in history.conversations(query)]


def test_words_are_found_in_titles_and_messages(tmp_path: Path):
    history = History(tmp_path)
    answered(history, new_id(), "Ibuprofen in the third trimester", "Better not after week 20.")
    answered(history, new_id(), "ÄRZTE und Straße", "5 mg/kg of 100 % _this_")
    answered(history, new_id(), "頭痛がする", "résumé of a 'quoted' \"answer\" AND more")
    for query, expected in {
            "ibuPROFEN": "Ib", "profen": "Ib", "trimester third": "Ib", "WEEK 20": "Ib", "ärzte": "ÄR", "arzt": "ÄR",
            "5 mg": "ÄR", "%": "ÄR", "_t": "ÄR", "頭痛": "頭痛", "頭": "頭痛", "RESUME": "頭痛", '"answer"': "頭痛",
            "'quoted'": "頭痛", "and more": "頭痛"}.items():
        assert [title[:2] for title in titles(history, query)] == [expected], query
    answered(history, new_id(), "Йод и ίντσα", "いが 한국어 İlaç der letzte Satz ab")
    for query in ("йод", "ЙОД", "Йо", "Ίντσα", "いが", "한국", "ilac", "IL", "ab", "satz AB"):
        assert [title[:3] for title in titles(history, query)] == ["Йод"], query
    for query in ("ibuprofen mg", "trimester week", "xyz", "zq", "NEAR(a b)", "text:Better", '"', "\\"):
        assert titles(history, query) == (["頭痛がする"] if query == '"' else []), query
    assert len(titles(history, "  ")) == 4 == history.count() and history.count("week") == 1


def test_the_same_is_found_whenever_an_answer_ends(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    number, = history.ask(one, "Why?")
    history.write(number, "half an ans")
    assert titles(history, "half") == []                        # not before it has ended
    history.mark_interrupted()
    assert titles(history, "half") == ["Why?"]
    history.finish(one, Message(id=number, role="assistant", text="a whole answer"))
    assert titles(history, "half") == [] and titles(history, "whole") == ["Why?"]
    with history._disk.writing() as db:
        db.execute("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")         # raises


def test_starred_ones_come_first_and_a_part_of_the_list_is_given(tmp_path: Path):
    history = History(tmp_path)
    ids = [new_id() for _ in range(5)]
    for k, one in enumerate(ids):
        answered(history, one, f"number {k}", "x")
    history.star(ids[1])
    assert titles(history) == [f"number {k}" for k in (1, 4, 3, 2, 0)]
    assert [one.is_starred for one in history.conversations()] == [True, False, False, False, False]
    assert [one.title for one in history.conversations("number", 2, 1)] == ["number 4", "number 3"]
    history.star(ids[1], False)
    assert titles(history) == [f"number {k}" for k in (4, 3, 2, 1, 0)]


def test_every_change_of_the_list_is_seen(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    beside = History(tmp_path)
    number = answered(history, one, "a", "b")
    seen = [beside.list_version()]
    for change in (lambda: history.rename(one, " A new\ntitle "), lambda: history.star(one),
                   lambda: history.delete(one), lambda: history.restore(one), lambda: answered(history, one, "c", "d")):
        change()
        seen.append(beside.list_version())
    assert len(set(seen)) == len(seen)
    assert titles(beside) == ["A new title"] and [turn.text for turn in beside.thread(one)] == ["a", "b", "c", "d"]
    before = beside.version(one)
    history.write(number, "b ")
    assert (beside.version(one), beside.list_version()) == (before, seen[-1])       # not with each piece of text


def test_a_deleted_one_is_hidden_and_restored(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    number = answered(history, one, "Where?", "here")
    history.delete(one)
    history.delete(new_id())
    assert titles(history) == titles(history, "where") == titles(history, "here") == [] and history.count() == 0
    assert (history.version(one), history.thread(one), history.settings(one)) == (-1, [], "")
    for call in (lambda: history.ask(one, "x"), lambda: history.ask_again(one), lambda: history.rename(one, "x"),
                 lambda: history.export_json(one), lambda: history.choose_version(one, number)):
        with pytest.raises(UserError):
            call()
    history.write(number, "here it is")                         # it was still running
    history.restore(one)
    assert titles(history) == ["Where?"] and history.thread(one)[-1].text == "here it is"


def rows_of(history: History, conversation: str) -> int:
    with history._disk.reading() as db:
        return db.execute("SELECT count(*) FROM conversation WHERE id = ?", (conversation,)).fetchone()[0]


@pytest.mark.parametrize("end", ["late", "close", "start"])
@pytest.mark.parametrize("passphrase", ["", "secret"])
def test_deleted_text_is_gone_from_the_files(tmp_path: Path, end: str, passphrase: str):
    history, one, two = History(tmp_path, restore_s=0.2 if end == "late" else 30.0), new_id(), new_id()
    number, = history.ask(one, "my-very-private-question", settings="my-very-private-settings",
                          files=(File(name="my-very-private-file", kind="picture", data=b"my-very-private-data"),))
    for k in range(25):
        answered(history, one, f"{k} question", "my-very-private-answer " * 200)
    answered(history, two, "another", "stays")
    history.set_passphrase("", passphrase)
    history.delete(one)
    assert passphrase or end == "late" or files_holding(tmp_path, "very-private")     # "late": may be gone by now
    if end == "late":
        wait_for(lambda: not rows_of(history, one))       # by itself
        with pytest.raises(UserError, match="deleted for good"):
            history.restore(one)
        history.write(number, "late my-very-private piece")     # of an answer that ran on after its deletion
        history.finish(one, Message(id=number, role="assistant", text="late my-very-private piece"))
    elif end == "close":
        history.close()
        assert files_holding(tmp_path, "very-private") == []
        history = History(tmp_path)
        history.unlock(passphrase)
    else:
        history = History(tmp_path)                             # as after a kill: the first was not closed
        history.unlock(passphrase)
    history.set_passphrase(passphrase, "") if end != "start" else None
    assert files_holding(tmp_path, "very-private") == []
    assert titles(history) == ["another"] and history.conversations("private") == []
    with history._disk.reading() as db:
        terms = db.execute("SELECT count(*) FROM found WHERE found MATCH 'priv'").fetchone()
        assert terms == (0,) and b"riv" not in b"".join(
            bytes(block) for block, in db.execute("SELECT block FROM found_data"))
    history.ask(one, "the id may be used again")


def test_presets_are_saved_by_name(tmp_path: Path):
    history = History(tmp_path)
    history.save_preset("zebra", "{}")
    history.save_preset(" Ward ", '{"system": "a"}')
    history.save_preset("Ward", '{"system": "b"}')
    assert [(one.name, one.settings) for one in history.presets()] == [("Ward", '{"system": "b"}'), ("zebra", "{}")]
    history.delete_preset("Ward")
    history.delete_preset("unknown")
    with pytest.raises(UserError, match="needs a name"):
        history.save_preset(" ", "{}")
    with pytest.raises(UserError, match="needs a title"):
        history.rename(new_id(), " ")
    with pytest.raises(UserError, match="no longer there"):
        history.star(new_id())
    history.close()
    assert [one.name for one in History(tmp_path).presets()] == ["zebra"]

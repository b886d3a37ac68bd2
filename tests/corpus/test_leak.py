import difflib
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.config import DataConfig
from corpus.layouts import load
from corpus.leak import guard
from corpus.same import Cases, traits
from corpus.split import draw
from tests.corpus.rows import row, with_word, words

LONG = words(1, 60)
ASKED = "Which first-line medicine lowers the pressure of adults with fibrillation and café-au-lait spots?"
CONFIG = DataConfig()


def test_every_kind_of_leak_is_removed_and_shown_with_both_rows():
    training = [row(1, "Why does it hurt?"), row(2, "Another patient's visit.", group="D2N001"),
                row(3, with_word(LONG, 30, "else")), row(4, f"{words(2, 15)} {words(3, 60)} {words(4, 15)}"),
                row(5, words(5, 20), words(6, 60)), row(6, "What is gout?")]
    held = [row(1, "why does it HURT", file="b.csv"), row(2, "First visit.", group="D2N001", file="b.csv"),
            row(3, LONG, file="b.csv"), row(4, words(3, 60), file="b.csv"), row(5, words(7, 20), words(6, 60),
                                                                                file="b.csv")]
    guarded = guard(training, {"validation": held}, CONFIG)
    assert [e.line for e in guarded.kept] == [6]
    assert [(out.line, out.reason) for out in guarded.left_out] == [
        (1, "it is also in validation (b.csv, line 1): the same input"),
        (2, "it is also in validation (b.csv, line 2): the same id (D2N001)"),
        (3, "it is also in validation (b.csv, line 3): 90% of the input is the same, wording common to all aside"),
        (4, "it is also in validation (b.csv, line 4): one input holds 100% of the other, wording common to all aside"),
        (5, "it is also in validation (b.csv, line 5): 100% of the answer is the same, wording common to all aside")]
    [found] = guarded.findings
    assert found.count == 5
    assert found.text == (
        "5 of 6 rows for training are also in validation (1 with the same input, 1 of the same patient or document, "
        "1 with nearly the same input, 1 of which one's input holds the other's, 1 with the same long answer): "
        "removed from training.")
    assert [(r["line"], r["other_line"], r["other_file"]) for r in found.rows] == [(k, k, "b.csv") for k in range(1, 6)]
    assert found.rows[2]["input"].startswith("w1x0 w1x1") and found.rows[2]["other_input"].startswith("w1x0 w1x1")


@pytest.mark.parametrize("copied", [
    ASKED.upper(), "\n ".join(ASKED.split()), unicodedata.normalize("NFD", ASKED), ASKED.replace("fi", "\ufb01"),
    ASKED.replace("e", "e\u200b"), ASKED.replace("l", "\u00adl"), ASKED.replace(" ", "\u00a0"),
    ASKED.translate(str.maketrans("aeopcx", "\u0430\u0435\u043e\u0440\u0441\u0445")),
    "".join(chr(ord(sign) + 0xfee0) if "!" <= sign <= "~" else sign for sign in ASKED)],
    ids=["case", "spaces", "NFD", "ligature", "zero width", "soft hyphen", "hard space", "Cyrillic", "full width"])
def test_what_only_looks_the_same_is_found(copied: str):
    assert copied != ASKED and not guard([row(1, copied, "Another answer.")], {"test": [row(1, ASKED)]}, CONFIG).kept


def test_a_row_in_two_sets_is_counted_in_both_and_left_out_once():
    held = {"validation": [row(8, "What is gout?")], "b.csv": [row(9, "what is gout")], "c.csv": [row(1, "Else?")]}
    guarded = guard([row(1, "What is gout?"), row(2, "Why sleep?")], held, CONFIG)
    assert [found.count for found in guarded.findings] == [1, 1, 0]
    assert guarded.findings[2].text == "No row for training is also in c.csv."
    assert [out.line for out in guarded.left_out] == [1] and [e.line for e in guarded.kept] == [2]


def test_kept_on_request_and_counted_all_the_same():
    guarded = guard([row(1, "What is gout?")], {"b.csv": [row(9, "what is gout")]}, DataConfig(leaks="keep"))
    assert [e.line for e in guarded.kept] == [1] and not guarded.left_out
    assert guarded.findings[0].count == 1 and guarded.findings[0].text.endswith("the same input): kept, as asked.")


def test_the_plainest_and_most_similar_row_is_the_one_shown():
    held = [row(1, with_word(with_word(LONG, 20, "x"), 40, "y")), row(2, with_word(LONG, 30, "else"))]
    found = guard([row(1, LONG)], {"b.csv": held}, DataConfig(similarity=0.8)).findings[0]
    assert found.rows[0]["other_line"] == 2
    found = guard([row(1, LONG)], {"b.csv": [*held, row(3, LONG + "!")]}, CONFIG).findings[0]
    assert (found.rows[0]["other_line"], found.rows[0]["why"]) == (3, "the same input")


def test_a_long_instruction_before_every_question_is_no_leak():
    asked = [row(k, f"{words(0, 150)} {words(k, 8)}") for k in range(1, 60)]
    assert not guard(asked[:40], {"b.csv": asked[40:]}, CONFIG).left_out


def one_word_changed(count: int, place: int | None) -> list[str]:
    """Copies of one text, each with another word, at one place or at another in each."""
    rng = random.Random(0)
    return [with_word(LONG, rng.randrange(60) if place is None else place, f"changed{k}") for k in range(count)]


def is_near_copy(a: str, b: str) -> bool:
    """By another judge than the code's: four fifths of all words stand in the same order in both."""
    return difflib.SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio() > 0.8


@pytest.mark.parametrize("place", [None, 0, 5, 30, 50, 59])
@pytest.mark.parametrize("copies", [9, 14, 60])
def test_many_copies_of_one_text_are_not_taken_for_the_wording_of_the_task(copies: int, place: int | None):
    asked = [*one_word_changed(copies + 1, place), *(words(seed, 60) for seed in range(100, 185))]
    rows = [row(line, text, words(200 + line, 30)) for line, text in enumerate(asked)]
    guarded = guard(rows[1:], {"b.csv": rows[:1]}, CONFIG)
    assert [e.line for e in guarded.kept] == [e.line for e in rows[1:] if not is_near_copy(asked[e.line], asked[0])]
    if copies < 60:
        parts = draw(rows, CONFIG, 0.15, 0.15)
        holding = [sum(is_near_copy(asked[e.line], asked[0]) for e in part) for part in parts]
        assert sorted(holding) == [0, 0, copies + 1]


def guarded_lines(training: list[str], held: list[str]) -> list[int]:
    """The training rows that the guard takes out: their places."""
    rows = [row(k, text, words(200 + k, 30)) for k, text in enumerate(training)]
    return [out.line for out in guard(rows, {"b.csv": [row(k, text, words(500 + k, 30), file="b.csv")
                                                       for k, text in enumerate(held)]}, CONFIG).left_out]


def test_copies_after_an_instruction_are_found_whether_the_first_or_the_last_word_is_another():
    instruction, others = words(0, 80), [words(seed, 60) for seed in range(100, 160)]
    copies = [with_word(LONG, place, f"changed{k}") for k, place in enumerate([0, 59] * 12)]
    asked = [f"{instruction} {text}" for text in (*copies, *others)]
    assert guarded_lines(asked[1:], asked[:1]) == list(range(23))
    assert not guarded_lines(asked[30:], asked[:1])


@pytest.mark.parametrize("length", [14, 30, 80])
@pytest.mark.parametrize("before", [True, False])
def test_a_term_after_the_instruction_of_its_file_is_a_case_of_its_own(length: int, before: bool):
    """The file is a list of terms: with and without rows of other files beside it."""
    instruction = words(0, length)
    terms = [f"{instruction} term{k}" if before else f"term{k} {instruction}" for k in range(60)]
    others = [row(k, words(100 + k, 60), words(700 + k, 30), file="c.csv") for k in range(80)]
    asked = [row(k, text, words(200 + k, 30)) for k, text in enumerate(terms)]
    assert not guard(asked[:40], {"b.csv": asked[40:]}, CONFIG).left_out
    assert not guard([*asked[:40], *others[:40]], {"b.csv": [*asked[40:], *others[40:]]}, CONFIG).left_out


@pytest.mark.parametrize("instruction, template, own", [(60, 16, 1), (0, 20, 1), (0, 60, 6)])
def test_a_short_question_and_own_words_after_a_long_wording_are_no_copies(instruction: int, template: int, own: int):
    """A third of a file asks in one template, after the instruction of all."""
    asked = [f"{words(0, template)} {words(900 + k, own)}" for k in range(30)] + [words(k, 60) for k in range(100, 160)]
    asked = [f"{words(1, instruction)} {text}" for text in asked]
    assert not guarded_lines(asked[1:], asked[:1])


def test_a_short_input_that_its_file_tells_from_a_long_instruction_is_a_case_of_its_own():
    instruction = words(0, 60)
    asked = [row(k, f"{instruction}\n\nterm{k}", words(200 + k, 30), input=f"term{k}") for k in range(30)]
    others = [row(k, words(k, 60), words(200 + k, 30)) for k in range(100, 160)]
    rows = [*asked, *others]
    assert not guard(rows[1:], {"b.csv": rows[:1]}, CONFIG).left_out
    inline = [row(e.line, e.messages[0]["content"], words(200 + e.line, 30)) for e in rows]
    assert len(guard(inline[1:], {"b.csv": inline[:1]}, CONFIG).left_out) == 29


@given(training=st.lists(st.integers(0, 30), max_size=20), held=st.lists(st.integers(0, 30), max_size=20))
@settings(max_examples=50, deadline=None)
def test_afterwards_no_case_is_on_both_sides(training: list[int], held: list[int]):
    def rows(seeds: list[int], file: str) -> list:
        return [row(line, words(seed % 10, 30), file=file, group=f"p{seed}" if seed % 3 else "")
                for line, seed in enumerate(seeds)]
    sets = {"one": rows(held[::2], "b.csv"), "two": rows(held[1::2], "c.csv")}
    guarded = guard(rows(training, "a.csv"), sets, CONFIG)
    known = traits([*sets["one"], *sets["two"], *guarded.kept])
    border = len(held)
    assert not [match for one in known[border:] for match in Cases(known[:border], CONFIG.similarity).find(one)]
    assert len(guarded.kept) + len(guarded.left_out) == len(training)


@pytest.mark.parametrize("name, dialogues, notes", [
    ("validation", {538: 503, 2417: 46}, {5357: 392, 7926: 62, 9454: 350, 10978: 753}),
    ("test1", {2790: 881, 8601: 943}, {9410: 130, 9559: 1032, 9934: 1386})])
def test_the_dialogues_of_mts_dialog_that_are_in_two_parts_are_found(shared_data, name: str, dialogues: dict[int, int],
                                                                     notes: dict[int, int]):
    """Two dialogues each, known to all; and seven notes that stand in both under another dialogue, known to few."""
    parts = {part: load([str(shared_data / "mts-dialog" / f"{part}.csv")]).examples for part in ("train", name)}
    [found] = guard(parts["train"], {name: parts[name]}, CONFIG).findings
    by_input = {r["line"]: r["other_line"] for r in found.rows if r["why"] == "the same input"}
    by_note = {r["line"]: r["other_line"] for r in found.rows if r["why"].startswith("100% of the answer")}
    assert by_input == dialogues and by_note == notes and found.count == len(by_input) + len(by_note)

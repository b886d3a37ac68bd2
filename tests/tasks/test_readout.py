import math

import pytest

from tasks.engine import TooLong
from tasks.readout import APART, TEXT, TURN, Asked, Reading, probabilities, read
from tests.tasks.fake_engine import END, FakeEngine

YES_NO = {"yes": ("Yes", "yes"), "no": ("No", "no")}


class Told(FakeEngine):
    """Log p of each token behind a prompt by a table: {text so far: {next character: log p}}; END is "|"."""

    def __init__(self, table: dict[str, dict[str, float]], ctx_tokens: int = 1000):
        super().__init__(ctx_tokens=ctx_tokens)
        self._table = table

    def _scores(self, prompt, candidate):
        said, found = "", []
        asked = self.text(prompt)
        for token in candidate:
            one = "|" if token == END else self.text([token])
            found.append(self._table.get(asked + said, self._table.get(said, {})).get(one, -5.0))
            said += one
        return found


def asked(engine: FakeEngine, text: str, forms, neutral: str | None = None) -> Asked:
    return Asked(engine.encode(text), forms, engine.encode(neutral) if neutral else None)


def test_the_ways_to_write_a_choice_add_up():
    engine = Told({"": {"Y": math.log(0.2), "y": math.log(0.3), "N": math.log(0.1)},
                   "Y": {"e": -0.1}, "Ye": {"s": -0.2}, "y": {"e": -0.3}, "ye": {"s": 0.0}, "N": {"o": 0.0}})
    [logs] = read(engine, [asked(engine, "?", YES_NO)])
    yes = 0.2 * math.exp(-0.3) + 0.3 * math.exp(-0.3)
    assert logs["yes"] == pytest.approx(math.log(yes))
    assert logs["no"] == pytest.approx(math.log(0.1 + math.exp(-10)))
    assert sum(probabilities(logs).values()) == pytest.approx(1.0)


def test_a_choice_counts_up_to_where_it_is_told_apart():
    engine = Told({})
    forms = {"A": ("A. Aspirin",), "B": ("B. Ibuprofen",), "AB": ("AB. Both",)}
    for until, lengths in ((APART, {2, 1}), (TEXT, {10, 12, 8}), (TURN, {11, 13, 9})):
        engine.scored.clear()
        read(engine, [asked(engine, "?", forms)], Reading(until=until))
        [(_, candidates)] = engine.scored
        assert {len(one) for one in candidates} == lengths
        assert all((one[-1] == END) == (until == TURN) for one in candidates)


def test_a_choice_that_another_goes_on_from_is_ended():
    engine = Told({"": {"p": -0.5}})
    [logs] = read(engine, [asked(engine, "?", {"pain": ("pain",), "pain, chronic": ("pain, chronic",)})])
    [(_, candidates)] = engine.scored
    assert sorted(one[-1] == END for one in candidates) == [False, True]
    assert logs["pain"] == pytest.approx(-0.5 - 4 * 5.0)        # four letters and the end of the turn
    engine.scored.clear()
    read(engine, [asked(engine, "?", {"one": ("no", "normal", "no"), "two": ("yes",)})])
    assert [engine.text(one) for one in engine.scored[0][1]] == ["no", "yes"]       # "normal" is counted in "no"


def test_the_mean_over_tokens_does_not_prefer_what_is_short():
    engine = Told({})
    forms = {"short": ("ab",), "long": ("abcdefgh and more",)}
    [logs] = read(engine, [asked(engine, "?", forms)])
    [mean] = read(engine, [asked(engine, "?", forms)], Reading(per_token=True))
    assert logs["short"] > logs["long"] and mean["short"] == mean["long"] == -5.0


def test_what_is_chosen_without_a_question_is_taken_out():
    likes = {"a": -1.0, "b": -3.0}
    engine = Told({"": likes, "N/A": likes, "Is it b?": {"a": -1.0, "b": -2.0}})
    forms = {"a": ("a",), "b": ("b",)}
    one, other = read(engine, [asked(engine, "Is it b?", forms), asked(engine, "Is it b?", forms, "N/A")])
    assert one == {"a": -1.0, "b": -2.0} and other == {"a": 0.0, "b": 1.0}
    assert len(engine.scored) == 2                              # each prompt once


def test_what_does_not_fit_stands_in_its_place():
    engine = Told({}, ctx_tokens=12)
    results = read(engine, [asked(engine, text, YES_NO) for text in ("x" * 9, "x" * 10, "x")]
                   + [asked(engine, "x", YES_NO, "n" * 11)])
    assert [isinstance(one, TooLong) for one in results] == [False, True, False, True]
    assert results[1] == TooLong(13, 12) and results[3] == TooLong(14, 12)
    assert len(engine.scored) == 2
    assert read(engine, [asked(engine, "x" * 20, YES_NO)]) == [TooLong(23, 12)] and read(engine, []) == []


def test_order_and_company_change_nothing():
    engine = FakeEngine()
    many = [asked(engine, f"question {k}", YES_NO if k % 2 else {"A": ("A",), "B": ("B",)}) for k in range(6)]
    together = read(engine, many)
    assert together == [read(engine, [one])[0] for one in many] == read(engine, many[::-1])[::-1]

"""What the figures of an evaluation say, in sentences; every one of them names its n."""

from collections.abc import Mapping
from typing import Any

from evaluation.benchmarks.benchmark import ACCURACY, LABELS
from evaluation.figures import ABOVE, ALIKE, BELOW
from evaluation.items import SIDES, Stated
from evaluation.statistics import CHANCE

MODEL, AGAINST = SIDES
FEW_GROUPS = 6                      # more are a table, not sentences
WHOLE_PERCENT_ITEMS = 1_000         # below it a tenth of a percent is no item
Json = Mapping[str, Any]


def names(stated: Stated) -> dict[str, str]:
    """{side: what a person calls the model}, never two alike."""
    found = {one["side"]: one["name"] for one in stated.models}
    if len(set(found.values())) < len(found):
        found = {one["side"]: f"{one['name']} ({one['fingerprint'][:8]})" for one in stated.models}
    if len(set(found.values())) < len(found):
        found = {side: f"{name}, {'first' if side == AGAINST else 'second'} model" for side, name in found.items()}
    return found


def sentences(stated: Stated, report: Json) -> list[str]:
    """The headline first; then what it has to be read with."""
    whole = report["whole"]
    first, *others = headline(stated, whole)
    with_them = "With leaked items: " if report["leaked"] else ""
    found = [first, *leaks(stated, report), *(with_them + text for text in (*others, *baselines(stated, whole))),
             *_missing(stated, whole), *_skipped(stated, whole), *_unanswered(stated, whole)]
    if 1 < len(report["groups"]) <= FEW_GROUPS:
        found += [with_them + text for text in _groups(stated, report["groups"])]
    return found + [with_them + text for text in calibration(stated, report["calibration"])]


def _groups(stated: Stated, groups: Json) -> list[str]:
    """The headline of each group, and what was done to their p values."""
    found = [f"{name}: {headline(stated, part)[0]}" for name, part in groups.items()]
    is_tested = any(part["pair"] and part["pair"]["n"] for part in groups.values())
    return found + ([f"The p values of these {len(groups)} groups are corrected for their number (Holm)."]
                    if is_tested else [])


def leaks(stated: Stated, report: Json) -> list[str]:
    """How many items were also learned from, and the main figure of the others."""
    count = len(report["leaked"])
    if not count:
        return []
    whole = report["whole"]["items"]
    if count == whole:
        text = "This item also stands" if count == 1 else f"All {count:,} items also stand"
        return [f"{text} among the training rows, so that says nothing of items that were not learned from."]
    return [f"{_count(count, 'item')} of {whole:,} also {'stands' if count == 1 else 'stand'} among "
            "the training rows, so that says less than it seems.",
            *(f"Without leaked items: {text}" for text in (
                *headline(stated, report["without_leaked"]), *baselines(stated, report["without_leaked"]),
                *calibration(stated, report["calibration_without_leaked"])))]


def headline(stated: Stated, part: Json) -> list[str]:
    """The main figure of some items: of one model, or from the other model to it."""
    called = names(stated)
    pair = part["pair"]
    if pair is None:
        return [_alone(stated, called[MODEL], part["models"][MODEL])]
    main = pair["metrics"].get(pair["main"])
    if main is None:
        return ["No item was scored by both models, so there is nothing to compare."]
    if main["difference"]["value"] == 0:
        return [f"{_capital(metric(pair['main']))} is {value(stated, main['to'], pair['n'])} with both "
                f"{called[AGAINST]} and {called[MODEL]} on {_count(pair['n'], 'item')}: no difference, "
                f"{p_words(main['p'])}.", *_reach(stated, main)]
    then, now = _two(stated, main["from"], main["to"], pair["n"])
    return [f"{_capital(metric(pair['main']))} goes from {then} ({called[AGAINST]}) to {now} ({called[MODEL]}) on "
            f"{_count(pair['n'], 'item')}: {_difference(stated, main, called)}", *_reach(stated, main)]


def _alone(stated: Stated, name: str, side: Json) -> str:
    main = stated.metrics[0]
    one = side["metrics"].get(main)
    if not one or one["value"] is None:
        return f"{name}: no item could be scored, so there is no {metric(main)}."
    spread = (f" (95% interval {value(stated, one['low'], one['n'])} to {value(stated, one['high'], one['n'])})"
              if one["low"] is not None else f" (no interval: {one['how']})")
    return f"{name}: {metric(main)} {value(stated, one['value'], one['n'])} on {_count(one['n'], 'item')}{spread}."


def _difference(stated: Stated, main: Json, called: Json) -> str:
    """Whether a difference could be chance."""
    gap, p = main["difference"]["value"], main["p"]
    if p is None:
        return "nothing can be said of the difference."
    if p >= CHANCE:
        return f"the difference could be chance, {p_words(p)}."
    better = MODEL if (gap > 0) == stated.is_higher_better else AGAINST
    return f"the difference is hardly chance, {p_words(p)}; {called[better]} is better."


def _reach(stated: Stated, main: Json) -> list[str]:
    gap = main["difference"]
    if gap["low"] is None:
        return []
    low, high = (change(stated, gap[end], gap["n"]) for end in ("low", "high"))
    return [f"With 95% confidence the change lies between {low} and {high}"
            f"{' points' if is_share(stated) else ''} ({_count(gap['n'], 'item')})."]


def _missing(stated: Stated, part: Json) -> list[str]:
    """Items that were drawn, and never asked: the evaluation did not come to its end."""
    return [f"{names(stated)[side]} was asked only {one['items']:,} of the {stated.drawn:,} items that were drawn."
            for side, one in part["models"].items() if one["items"] < stated.drawn]


def baselines(stated: Stated, part: Json) -> list[str]:
    """How each model stands to the best trivial answer."""
    called = names(stated)
    found = []
    for side, one in part["models"].items():
        if one["baselines"]:
            best = one["baselines"][0]
            good, bad = (ABOVE, BELOW) if stated.is_higher_better else (BELOW, ABOVE)
            verdict = {good: "does better", bad: "does worse", ALIKE: "is not told apart from it"}[best["verdict"]]
            found.append(f"The best trivial answer ({best['name']}) gets {value(stated, best['value'], best['n'])} "
                         f"{_unit(best['metric'])}on the same {_count(best['n'], 'item')}; {called[side]}"
                         f"{_own(stated, best['metric'], one)} {verdict}.")
    return found


def _skipped(stated: Stated, part: Json) -> list[str]:
    found = []
    for side, one in part["models"].items():
        if one["skipped"]:
            wrong = one["skipped_as_wrong"]
            as_wrong = (f"; counted as wrong, {metric(stated.metrics[0])} is {value(stated, wrong, one['items'])}"
                        if wrong is not None else "")
            found.append(f"{names(stated)[side]} could not be scored on {one['skipped']:,} of {one['items']:,} items, "
                         f"which are left out of its figures{as_wrong}.")
    return found


def _unanswered(stated: Stated, part: Json) -> list[str]:
    found = []
    for side, one in part["models"].items():
        if one["unanswered"]:
            answered = one["answered"]
            right = (f"; of the {answered['n']:,} others {value(stated, answered['value'], answered['n'])} are right"
                     if answered["n"] else "")
            found.append(f"{names(stated)[side]} gave no answer to {one['unanswered']:,} of {one['scored']:,} items, "
                         f"which count as wrong{right}.")
    return found


def calibration(stated: Stated, found: Json) -> list[str]:
    """How far each model's probabilities can be believed."""
    lines = []
    for side, one in found.items():
        if one:
            more = ("more than chance makes of true probabilities" if one["error"] > one["perfect_up_to"]
                    else "which chance makes of true probabilities as well")
            said = (f"gives a label {one['confidence']:.0%} on average, and {one['right']:.0%} of the {one['n']:,} "
                    f"labels of {_count(one['items'], 'item')} apply"
                    if stated.kind == LABELS else
                    f"is {one['confidence']:.0%} sure on average, and right on {one['right']:.0%} of "
                    f"{_count(one['n'], 'item')}")
            lines.append(f"{names(stated)[side]} {said}: calibration error {one['error']:.3f}, {more} (up to "
                         f"{one['perfect_up_to']:.3f}).")
    return lines


def metric(name: str) -> str:
    """What a person calls a metric."""
    words = {"rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L", "macro_f1": "macro F1",
             "micro_f1": "micro F1", "bits_per_byte": "bits a byte"}
    return words.get(name, name.replace("_", " "))


def is_share(stated: Stated) -> bool:
    """Whether the benchmark's figures are shares, which are written in percent."""
    return stated.kind in (ACCURACY, LABELS)


def value(stated: Stated, number: float | None, n: int, digits: int = 0) -> str:
    """A figure of n items as it stands in a sentence."""
    if number is None:
        return "–"
    if is_share(stated):
        return f"{100 * number:.{digits or (0 if n < WHOLE_PERCENT_ITEMS else 1)}f}%"
    return plain(number, digits)


def plain(number: float, digits: int = 0) -> str:
    """A number with three or four digits that count."""
    size = abs(number)
    return f"{number:,.{digits or (3 if size < 10 else 2 if size < 100 else 1)}f}"


def change(stated: Stated, number: float, n: int) -> str:
    """A difference with its sign, in points where figures are in percent."""
    text = (f"{100 * number:+.{0 if n < WHOLE_PERCENT_ITEMS else 1}f}" if is_share(stated)
            else ("+" if number >= 0 else "") + plain(number))
    return text if text.strip("+-0.,") else text.lstrip("+-")


def p_words(p: float) -> str:
    """A p value as far as it means anything, on the side of the limit where it is."""
    if p < 0.001:
        return "p < 0.001"
    text = f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"
    if (float(text) >= CHANCE) != (p >= CHANCE):
        text = f"{p:.5f}"
    return f"p = {text if p < 1 else 1}"


def _two(stated: Stated, one: float, other: float, n: int) -> tuple[str, str]:
    """Two figures with as many digits as tell them apart."""
    for digits in (0, 1, 2, 3, 4):
        texts = value(stated, one, n, digits), value(stated, other, n, digits)
        if texts[0] != texts[1] or one == other:
            break
    return texts


def _unit(name: str) -> str:
    return f"{metric(name)} " if name == "bits_per_byte" else ""


def _own(stated: Stated, name: str, side: Json) -> str:
    """A model's own figure of a metric that its headline does not give."""
    one = side["metrics"].get(name)
    return f", with {value(stated, one['value'], one['n'])}," if one and name != stated.metrics[0] else ""


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


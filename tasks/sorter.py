"""Medical texts sorted under labels by a language model: by how likely it is to write them, never by what it says."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks import label_sets
from tasks.classify import Labels, Paper, Sorted, joined, nothing, request
from tasks.engine import Engine, TooLong
from tasks.label_sets import LabelSet
from tasks.prompt import Message
from tasks.readout import TURN, Asked, Reading, read

MODEL = "language model"
SETS, EACH = "sets", "each"
CUT_MARK = "\n[...]\n"              # stands where the middle of a text was cut out, as in training
SHOT_CHARS = 1000                   # of an example's text; a longer one loses its middle
EACH_LABEL = 'Does the label "{name}" apply to the text above? Answer yes or no.'
YES, NO = "yes", "no"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """An example with its right labels, shown before the text to classify."""

    paper: Paper
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a model is asked.

    by: "sets": for the labels in one answer, as training teaches it; "each": yes or no, for each label by itself.
    descriptions: {label: what is meant by it}. seen: the sets of labels that the training rows have. max_tokens: of
    prompt and answer, 0 = the model's context; a longer text loses its middle.
    """

    by: str = SETS
    descriptions: Mapping[str, str] = field(default_factory=dict)
    shots: tuple[Shot, ...] = ()
    seen: tuple[LabelSet, ...] = ()
    max_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for each label of a text: its log p where a text has one label, else its log-odds.

    labels: the likeliest of all sets of labels.
    """

    logs: Mapping[str, float]
    labels: tuple[str, ...]
    note: str = ""


DEFAULT = Asking()


def classify(engine: Engine, papers: Sequence[Paper], labels: Labels, asking: Asking = DEFAULT
             ) -> list[Sorted | TooLong]:
    """The likeliest labels of each text, in order, with no threshold; an empty text has none."""
    full = [paper for paper in papers if not paper.is_empty]
    found = iter(evidence(engine, full, labels, asking))
    return [nothing(labels) if paper.is_empty else _sorted(next(found), labels) for paper in papers]


def evidence(engine: Engine, papers: Sequence[Paper], labels: Labels, asking: Asking = DEFAULT
             ) -> list[Evidence | TooLong]:
    """What the model says of each text; TooLong where not even the request fits into the context."""
    return (_by_sets if asking.by == SETS else _by_label)(engine, papers, labels, asking)


def with_seen(asking: Asking, golds: Iterable[Collection[str]], labels: Labels) -> Asking:
    """asking, with the sets of labels of these rows among those that can be answered."""
    sets = {tuple(sorted(set(gold))) for gold in golds} if not labels.is_single else set()
    return replace(asking, seen=tuple(sorted(sets.union(asking.seen))))


def _sorted(found: Evidence | TooLong, labels: Labels) -> Sorted | TooLong:
    if isinstance(found, TooLong):
        return found
    odds = found.logs
    shares = {name: math.exp(value) if labels.is_single else 1.0 / (1.0 + math.exp(-value))
              for name, value in odds.items()}
    return Sorted(labels=found.labels, probabilities=shares, by=(MODEL,), note=found.note, is_single=labels.is_single)


def _by_sets(engine: Engine, papers: Sequence[Paper], labels: Labels, asking: Asking) -> list[Evidence | TooLong]:
    sets = label_sets.candidates(labels.names, labels.is_single, asking.seen)
    written = [[*engine.encode(joined(one)), engine.terminator()] for one in sets]
    longest = max(map(len, written))
    before = [turn for shot in asking.shots for turn in (
        _user(_request(_short(shot.paper), labels, asking)), _assistant(joined(shot.labels)))]
    prompts = [_prompt(engine, paper, lambda one: [*before, _user(_request(one, labels, asking))], longest, asking)
               for paper in papers]
    fitting = [(one[0], written) for one in prompts if not isinstance(one, TooLong)]
    scores = iter(engine.score(fitting) if fitting else [])
    found: list[Evidence | TooLong] = []
    for one in prompts:
        if isinstance(one, TooLong):
            found.append(one)
            continue
        logs = dict(zip(sets, label_sets.logs(written, next(scores)), strict=True))
        found.append(Evidence(logs=label_sets.label_logs(logs, labels.names, labels.is_single),
                              labels=max(logs, key=lambda one: logs[one]), note=one[1]))
    return found


def _by_label(engine: Engine, papers: Sequence[Paper], labels: Labels, asking: Asking) -> list[Evidence | TooLong]:
    """Each label asked for behind the same text, which a model reads once."""
    found: list[Evidence | TooLong] = []
    longest = 2 + max(len(engine.encode(word)) for word in (YES, NO))
    forms = {YES: ("yes", "Yes"), NO: ("no", "No")}
    widest = max(labels.names, key=lambda name: len(engine.encode(_question(name, asking))))
    for paper in papers:
        cut = _prompt(engine, paper, lambda one: _conversation(one, widest, asking), longest, asking)
        if isinstance(cut, TooLong):
            found.append(cut)
            continue
        text = cut[2]
        asked = [Asked(engine.prompt_ids(_conversation(text, name, asking)), forms) for name in labels.names]
        read_out = read(engine, asked, Reading(until=TURN))
        long = next((one for one in read_out if isinstance(one, TooLong)), None)
        found.append(long or _of_yes({name: one for name, one in zip(labels.names, read_out, strict=True)
                                      if not isinstance(one, TooLong)}, labels, cut[1]))
    return found


def _of_yes(read_out: Mapping[str, Mapping[str, float]], labels: Labels, note: str) -> Evidence:
    odds = {name: label_sets.bounded(one[YES] - one[NO]) for name, one in read_out.items()}
    likeliest = max(odds, key=lambda name: odds[name])
    if labels.is_single:
        total = label_sets.log_sum(list(odds.values()))
        return Evidence(logs={name: value - total for name, value in odds.items()}, labels=(likeliest,), note=note)
    return Evidence(logs=odds, labels=tuple(name for name, value in odds.items() if value >= 0) or (likeliest,),
                    note=note)


def _request(paper: Paper, labels: Labels, asking: Asking) -> str:
    return request(paper.text, labels, paper.title, asking.descriptions)


def _question(name: str, asking: Asking) -> str:
    meaning = asking.descriptions.get(name, "").strip()
    return (f"{name}: {meaning}\n" if meaning else "") + EACH_LABEL.format(name=name)


def _conversation(paper: Paper, name: str, asking: Asking) -> list[Message]:
    """Yes or no for one label; the label comes last, so that the texts before it are shared."""
    def ask(one: Paper) -> str:
        return "\n\n".join(part for part in (one.title.strip(), one.text.strip(), _question(name, asking)) if part)

    shots = [turn for shot in asking.shots for turn in (
        _user(ask(_short(shot.paper))), _assistant(YES if name in shot.labels else NO))]
    return [*shots, _user(ask(paper))]


def _prompt(engine: Engine, paper: Paper, messages: Callable[[Paper], list[Message]], answer_tokens: int,
            asking: Asking) -> tuple[list[int], str, Paper] | TooLong:
    """(ids, note, the paper as asked): with as much of both ends of the text as the context holds."""
    limit = min(engine.ctx_tokens, asking.max_tokens or engine.ctx_tokens) - answer_tokens

    def kept(chars: int) -> tuple[list[int], Paper]:
        one = paper if chars >= len(text) else Paper(title=paper.title, text=_ends(text, chars))
        return engine.prompt_ids(messages(one)), one

    text = paper.text.strip()
    ids, asked = kept(len(text))
    if len(ids) <= limit:
        return ids, "", asked
    best, asked = kept(0)
    if len(best) > limit:
        return TooLong(len(best) + answer_tokens, limit + answer_tokens)
    low, high = 0, len(text)                # low fits, high does not
    while high - low > max(1, len(text) // 1000):
        middle = (low + high) // 2
        tried, one = kept(middle)
        if len(tried) <= limit:
            low, best, asked = middle, tried, one
        else:
            high = middle
    return best, f"Its middle was left out: {len(text) - low:,} of {len(text):,} characters.", asked


def _short(paper: Paper) -> Paper:
    text = paper.text.strip()
    return Paper(title=paper.title, text=text if len(text) <= SHOT_CHARS else _ends(text, SHOT_CHARS))


def _ends(text: str, chars: int) -> str:
    """So many characters of both ends together."""
    return text[:(chars + 1) // 2].rstrip() + CUT_MARK + text[len(text) - chars // 2:].lstrip()


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}

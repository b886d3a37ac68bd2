"""Consultation -> section of a note: how the request is worded, in training, evaluation and use alike, and the answer.

What a summary says beyond its conversation is marked (tasks/grounding/), in English only.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tasks import headers as header_texts
from tasks import readout
from tasks import sections as notes
from tasks.calibrate import Calibration
from tasks.engine import Engine, TooLong
from tasks.grounding import Mark, marks
from tasks.headers import HEADERS
from tasks.parts import parted

LEAST_ROOM = 48                                 # tokens of a dialogue below which a part is no use


def request(dialogue: str, header: str = "") -> str:
    """The user message that asks for the note section named header ("" = any summary) of a dialogue."""
    section = f'the section "{header.strip()}" of the clinical note' if header.strip() else "a short clinical note"
    return f"Write {section} for this conversation.\n\n{dialogue.strip()}"


@dataclass(frozen=True)
class Consultation:
    """What was said, and the header of the section that is wanted; "" = the likeliest one."""

    dialogue: str
    header: str = ""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was written from a part of a dialogue; is_cut: at the most tokens, not by the model."""

    dialogue: str
    text: str
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class Summary:
    """text: of all parts together. header: as asked for or predicted; "" for a whole note.

    parts: none for an empty dialogue, of which nothing is written. header_probabilities: of a predicted header among
    all. sections: {name: body} of a whole note. cut_sections: the names of those that ran out of tokens. marks: places
    of text that the dialogue does not hold.
    """

    text: str
    header: str
    parts: tuple[Part, ...]
    marks: tuple[Mark, ...]
    header_probabilities: Mapping[str, float]
    sections: Mapping[str, str]
    cut_sections: tuple[str, ...] = ()

    @property
    def is_cut(self) -> bool:
        """Whether something was cut at the most tokens."""
        return any(part.is_cut for part in self.parts)

    @property
    def notes(self) -> list[str]:
        """What a reader has to know besides the text, in sentences."""
        told = []
        if not self.parts:
            told.append("There is no conversation to write from.")
        if len(self.parts) > 1:
            told.append(f"The conversation is longer than the model's context: it was read in {len(self.parts)} parts, "
                        "cut between turns or, where these are too long, within them, and what was written of each "
                        "stands one after the other.")
        if self.cut_sections:
            told.append(f"Cut at the most tokens: {', '.join(self.cut_sections)}.")
        elif self.is_cut:
            told.append("The text was cut at the most tokens.")
        if self.header_probabilities:
            share = self.header_probabilities[self.header]
            told.append(f"The section {self.header} was chosen by the model (probability {share:.2f}).")
        if self.marks:
            places = "1 place is" if len(self.marks) == 1 else f"{len(self.marks)} places are"
            told.append(f"{places} marked that the conversation does not say.")
        return told


def sections(engine: Engine, consultations: Sequence[Consultation], max_tokens: int,
             headers: Mapping[str, str] = HEADERS, calibration: Calibration | None = None) -> list[Summary | TooLong]:
    """The section asked for of each consultation, in order, all of them in one call of the engine.

    max_tokens: of each part's text. headers: {header: words} to predict one from; {} = a short note of any kind where
    none is asked for. calibration: of the headers' likelihoods (headers.likelihoods). TooLong where the context has no
    room for a part of the dialogue. Raises UserError for headers that no answer can tell apart.
    """
    header_texts.check(headers)
    predicted = _predicted(engine, consultations, headers, calibration)
    chosen = [one.header.strip() or _likeliest(shares) for one, shares in zip(consultations, predicted, strict=True)]
    split = [shares if isinstance(shares, TooLong) else [] if not one.dialogue.strip() else
             _parts(engine, one.dialogue, partial(request, header=header), max_tokens)
             for one, header, shares in zip(consultations, chosen, predicted, strict=True)]
    prompts = [_prompt(engine, request(part, header)) for parts, header in zip(split, chosen, strict=True)
               if not isinstance(parts, TooLong) for part in parts]
    answers = iter(engine.answers(prompts, max_tokens) if prompts else [])
    found: list[Summary | TooLong] = []
    for one, header, shares, parts in zip(consultations, chosen, predicted, split, strict=True):
        if isinstance(shares, TooLong) or isinstance(parts, TooLong):
            found.append(next(one for one in (shares, parts) if isinstance(one, TooLong)))
            continue
        made = [Part(dialogue=part, text=answer.text, is_cut=answer.reason == "length")
                for part, answer in zip(parts, answers, strict=False)]
        text = "\n".join(part.text for part in made if part.text)
        found.append(Summary(text=text, header=header, parts=tuple(made), marks=tuple(marks(text, one.dialogue)),
                             header_probabilities=shares, sections={}))
    return found


def whole_note(engine: Engine, dialogues: Sequence[str], sections: Sequence[str] = notes.NOTE,
               max_tokens: int = 1024) -> list[Summary | TooLong]:
    """A note in these sections of each dialogue, in order; a grammar sees to it that each stands there, in this order.

    max_tokens: of the note of each part. A note that meets it is gone on with behind the section that it was in, after
    long ones were cut to their share. Raises UserError for names that can not head sections, or too few tokens.
    """
    names = notes.checked(sections)
    split = [_parts(engine, one, partial(notes.request, sections=names), max_tokens) if one.strip() else []
             for one in dialogues]
    pieces = [part for parts in split if not isinstance(parts, TooLong) for part in parts]
    written = iter(notes.write(engine, [_prompt(engine, notes.request(part, names)) for part in pieces], names,
                               max_tokens))
    found: list[Summary | TooLong] = []
    for dialogue, parts in zip(dialogues, split, strict=True):
        if isinstance(parts, TooLong):
            found.append(parts)
            continue
        if not parts:
            found.append(Summary(text="", header="", parts=(), marks=(), header_probabilities={}, sections={}))
            continue
        made = [next(written) for _ in parts]
        bodies = ["\n".join(dict.fromkeys(one.bodies[k] for one in made)) for k in range(len(names))]
        text = notes.joined(bodies, names)
        found.append(Summary(
            text=text, header="", marks=tuple(marks(text, dialogue)), header_probabilities={},
            parts=tuple(Part(dialogue=part, text=notes.joined(one.bodies, names), is_cut=bool(one.cut))
                        for part, one in zip(parts, made, strict=True)),
            sections=dict(zip(names, bodies, strict=True)),
            cut_sections=tuple(name for name in names if any(name in one.cut for one in made))))
    return found


def _predicted(engine: Engine, consultations: Sequence[Consultation], headers: Mapping[str, str],
               calibration: Calibration | None) -> list[dict[str, float] | TooLong]:
    """{header: probability} of each consultation without a header; {} for the others.

    Of a dialogue in parts it is the mean of what the parts say; TooLong where not even a part fits.
    """
    shares: list[dict[str, float] | TooLong] = [{} for _ in consultations]
    asked = [k for k, one in enumerate(consultations) if headers and not one.header.strip() and one.dialogue.strip()]
    if not asked:
        return shares
    ask, most = partial(header_texts.request, headers=headers), header_texts.longest(engine, headers)
    split = [_parts(engine, consultations[k].dialogue, ask, most) for k in asked]
    logs = iter(header_texts.likelihoods(engine, [part for parts in split if not isinstance(parts, TooLong)
                                                  for part in parts], headers))
    for k, parts in zip(asked, split, strict=True):
        if isinstance(parts, TooLong):
            shares[k] = parts
            continue
        read = [one for one in (next(logs) for _ in parts) if not isinstance(one, TooLong)]
        mean = {header: math.fsum(one[header] for one in read) / len(read) for header in headers}
        shares[k] = calibration.probabilities(mean) if calibration else readout.probabilities(mean)
    return shares


def _likeliest(shares: Mapping[str, float] | TooLong) -> str:
    """The header with the greatest probability; "" where there is none."""
    return "" if isinstance(shares, TooLong) else max(shares, key=lambda header: shares[header], default="")


def _parts(engine: Engine, dialogue: str, ask: Callable[[str], str], max_tokens: int) -> list[str] | TooLong:
    """A dialogue, in parts where the context does not hold it with max_tokens behind it."""
    whole = len(_prompt(engine, ask(dialogue))) + max_tokens
    if whole <= engine.ctx_tokens:
        return [dialogue]
    room = engine.ctx_tokens - max_tokens - len(_prompt(engine, ask("")))
    if room < LEAST_ROOM:
        return TooLong(whole, engine.ctx_tokens)
    return _fitting(engine, dialogue, room, ask, max_tokens)


def _fitting(engine: Engine, dialogue: str, room: int, ask: Callable[[str], str], behind: int) -> list[str]:
    """The parts of a dialogue whose prompts leave so many tokens behind them."""
    for tokens in _smaller(room):
        parts = parted(dialogue, tokens, lambda text: len(engine.encode(text)))
        if all(len(_prompt(engine, ask(part))) + behind <= engine.ctx_tokens for part in parts):
            break
    return parts


def _smaller(room: int) -> Iterator[int]:
    """Rooms to try: tokens of a part within its prompt can be a few more than by itself."""
    while room > 8:
        yield room
        room = room * 9 // 10 - 1


def _prompt(engine: Engine, text: str) -> list[int]:
    return engine.prompt_ids([{"role": "user", "content": text}])

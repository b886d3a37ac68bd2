"""Messages -> token ids: the one rule that training, evaluation, chat and the exported file share.

Text from people and data is marked before the template is rendered and encoded as plain text
afterwards, so a typed `<end_of_turn>` stays thirteen harmless characters. For text without control
strings the ids equal transformers' apply_chat_template (tested).
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from models.errors import UserError
from tasks.controls import controls_of
from tasks.pictures import for_template, is_picture, pictures_of, placed, text_in_front, texts_of, with_texts
from tasks.template import after_answer, rendered, takes_system

ROLES = ("system", "user", "assistant")
PRIVATE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))     # characters nobody owns
Message = Mapping[str, Any]                     # {"role": one of ROLES, "content": str or parts}
Spoken = Mapping[str, Sequence[int]]            # an answer's stripped text -> its ids as generated, no terminator


class Tokenizer(Protocol):
    """What prompt.py needs of a tokenizer; tasks/hf_tokenizer.py and runtime/llama.py each have one."""

    @property
    def template(self) -> str: ...              # Jinja chat template; "" when there is none
    @property
    def bos(self) -> str: ...                   # "" when the model wants none
    @property
    def eos(self) -> str: ...
    @property
    def controls(self) -> frozenset[str]: ...   # every control token as text

    def encode(self, text: str, *, control: bool) -> list[int]:
        """Ids of text without any BOS; control strings become control tokens only if control is True."""
        ...


def prompt_ids(messages: Sequence[Message], tokenizer: Tokenizer, spoken: Spoken | None = None) -> list[int]:
    """Ids of the conversation up to and including the header of the model's next turn, with exactly one BOS.

    spoken: answers whose ids are known as generated; those turns enter as these very ids, so that the
    prompt begins with what already lies in a cache. Without it the ids equal transformers'
    apply_chat_template(add_generation_prompt=True) for plain text.
    Raises UserError if the tokenizer has no chat template, a role is unknown, or the template refuses the turns.
    """
    turns = _read(messages)
    return _Encoder(turns, tokenizer, spoken).ids(range(len(turns)))


def sample_ids(messages: Sequence[Message], tokenizer: Tokenizer) -> tuple[list[int], list[bool]]:
    """Ids of a whole conversation that ends with an answer, and which of them are learned.

    Learned are the tokens of every assistant turn and its terminator. The last answer follows the
    ids of prompt_ids exactly, as it will when the model writes it.
    """
    turns = _read(messages)
    if not turns or turns[-1]["role"] != "assistant":
        raise UserError("A training sample must end with an assistant's answer.")
    ids: list[int] = []
    spans = []
    encoder = _Encoder(turns, tokenizer)
    for k, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        start = encoder.ids(range(k))
        answer = answer_ids(turn["content"], tokenizer)
        spans.append((len(start), answer))
        ids = start + answer
    learned = [False] * len(ids)
    for start_at, answer in spans:
        end_at = start_at + len(answer)
        if ids[start_at:end_at] == answer:      # an earlier answer that its template rewrote is context only
            learned[start_at:end_at] = [True] * len(answer)
    return ids, learned


def answer_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of an answer as the model is to write it: plain text, then the terminator of its turn."""
    return tokenizer.encode(_whole_text(text).strip(), control=False) + [terminator(tokenizer)]


def terminator(tokenizer: Tokenizer) -> int:
    """Id of the control token that ends a model turn: the first one the template writes after an answer."""
    after = after_answer(tokenizer.template, tokenizer.bos, tokenizer.eos)
    return _single(controls_of(tokenizer.controls).first(after) or tokenizer.eos, tokenizer)


def fit(messages: Sequence[Message], tokenizer: Tokenizer, limit_tokens: int,
        spoken: Spoken | None = None, dropped: int = 0) -> tuple[list[int], int]:
    """prompt_ids in at most limit_tokens: the oldest whole turns go until a quarter of the limit is free.

    The system message and the latest turn stay. Returns the ids and how many messages went; a prompt
    that fits loses nothing. dropped: how many went when this conversation was last asked; if leaving out
    the same ones is enough, no more go, and the prompt begins as it did. Raises UserError if the latest
    turn alone is too long.
    """
    turns = _read(messages)
    encoder = _Encoder(turns, tokenizer, spoken)
    ids = encoder.ids(range(len(turns)))
    if len(ids) <= limit_tokens:
        return ids, 0
    first = 1 if turns and turns[0]["role"] == "system" else 0
    starts = [k for k in range(first, len(turns)) if turns[k]["role"] == "user"][1:]

    def ids_from(start: int) -> list[int]:
        return encoder.ids([*range(first), *range(start, len(turns))])

    if first + dropped in starts and len(ids := ids_from(first + dropped)) <= limit_tokens:
        return ids, dropped
    if starts:
        at = bisect_left(starts[:-1], True, key=lambda start: len(ids_from(start)) <= limit_tokens * 3 // 4)
        ids = ids_from(starts[at])
        if len(ids) <= limit_tokens:
            return ids, starts[at] - first
    raise UserError(f"The message is {len(ids):,} tokens long and {limit_tokens:,} fit; "
                    "shorten it, or load the model with a longer context.")


def _read(messages: Iterable[Message]) -> list[dict[str, Any]]:
    turns = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise UserError(f"A message has the role {role!r}; use {', '.join(ROLES)}.")
        if isinstance(content, list):           # parts, as the OpenAI protocol has them
            parts = [{"type": "image", "picture": part["picture"]} if is_picture(part) else
                     {"type": "text", "text": _part_text(part)} for part in content]
            content = parts if pictures_of(parts) else "".join(texts_of(parts))
            if not isinstance(content, str) and role != "user":
                raise UserError(f"A message of the {role} holds a picture; only a user's message may.")
        if not isinstance(content, str | list):
            raise UserError(f"A message of the {role} holds no text.")
        turns.append({"role": role, "content": with_texts(content, _whole_text)})
    return turns


def _part_text(part: Any) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise UserError("A message holds something other than text; this model reads text only.")


def _whole_text(text: str) -> str:
    """Surrogates from a client: pairs become their character, lone ones U+FFFD, since no tokenizer takes them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def folded(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """The system message put in front of the first user message, for families without a system role."""
    system, rest = turns[0]["content"], [dict(turn) for turn in turns[1:]]
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system}, *rest]
    rest[0]["content"] = text_in_front(system, rest[0]["content"])
    return rest


class _Encoder:
    """Renders and encodes one conversation and parts of it; no piece of text is encoded twice."""

    def __init__(self, turns: list[dict[str, Any]], tokenizer: Tokenizer, spoken: Spoken | None = None):
        if not tokenizer.template:
            raise UserError("This model file has no chat template, so it is not known how to talk to it; "
                            "choose an instruction-tuned model.")
        self._tokenizer, self._controls = tokenizer, controls_of(tokenizer.controls)
        unused = _unused_characters(chain(*(texts_of(turn["content"]) for turn in turns), [tokenizer.template],
                                          self._controls.characters))
        self._mark = next(unused)               # stands inside every control string that a person typed
        self._turns = [{**turn, "content": with_texts(
            for_template(turn["content"]), lambda text: self._controls.marked(text, self._mark))} for turn in turns]
        self._slots: dict[int, str] = {}        # turn -> the character that stands for it
        self._known: dict[str, Sequence[int]] = {}      # that character, or a picture's -> the ids
        for k, turn in enumerate(turns if spoken else []):
            if spoken and turn["role"] == "assistant" and (known := spoken.get(turn["content"].strip())):
                self._slots[k] = next(unused)
                self._known[self._slots[k]] = known
        self._pictures = [[(next(unused), one) for one in pictures_of(turn["content"])] for turn in turns]
        self._known |= {slot: one.ids for slot, one in chain(*self._pictures)}
        self._slot = re.compile(f"([{''.join(self._known)}])") if self._known else None
        self._plain: dict[str, list[int]] = {}
        self._control: dict[str, int] = {}

    def ids(self, chosen: Sequence[int]) -> list[int]:
        """prompt_ids of the turns with these numbers."""
        ids: list[int] = []
        text = self._rendered(chosen)
        if pictures := list(chain(*(self._pictures[k] for k in chosen))):
            text = placed(text, pictures, self._tokenizer.controls)
        for k, part in enumerate(self._controls.split(text)):
            if k % 2:
                ids.append(self._control_id(part))
                continue
            for j, piece in enumerate(self._slot.split(part) if self._slot else [part]):
                ids += self._known[piece] if j % 2 else self._plain_ids(piece)
        if not self._tokenizer.bos:
            return ids
        bos = self._control_id(self._tokenizer.bos)
        start = next((k for k, token in enumerate(ids) if token != bos), len(ids))
        return [bos, *ids[start:]]

    def _rendered(self, chosen: Sequence[int]) -> str:
        """The template's text, with a slot for each answer that it writes as it is."""
        turns = [self._turns[k] for k in chosen]
        slots = {at: self._slots[k] for at, k in enumerate(chosen) if k in self._slots}
        if slots:
            slotted = self._text([{**turn, "content": slots.get(at, turn["content"])} for at, turn in enumerate(turns)])
            bare = [{**turn, "content": turn["content"].strip()} if at in slots else turn
                    for at, turn in enumerate(turns)]
            answers = {ord(slot): bare[at]["content"] for at, slot in slots.items()}
            if slotted.translate(answers) == self._text(bare):
                return slotted
        return self._text(turns)

    def _text(self, turns: list[dict[str, Any]]) -> str:
        template, bos, eos = self._tokenizer.template, self._tokenizer.bos, self._tokenizer.eos
        if turns and turns[0]["role"] == "system" and not takes_system(template, bos, eos):
            turns = folded(turns)
        return rendered(template, turns, bos, eos, is_open=True)

    def _control_id(self, text: str) -> int:
        if text not in self._control:
            self._control[text] = _single(text, self._tokenizer)
        return self._control[text]

    def _plain_ids(self, text: str) -> list[int]:
        """Ids of text without control tokens; control strings that the tokenizer takes even so are cut at the mark."""
        if text and text not in self._plain:
            typed, encode = text.replace(self._mark, ""), self._tokenizer.encode
            ids = encode(typed, control=False)
            if self._mark in text:
                controls = [encode(control, control=True) for control in set(self._controls.split(typed)[1::2])]
                if not {one[0] for one in controls if len(one) == 1}.isdisjoint(ids):
                    ids = [token for part in text.split(self._mark) for token in encode(part, control=False)]
            self._plain[text] = ids
        return self._plain[text] if text else []


def _unused_characters(texts: Iterable[str]) -> Iterator[str]:
    """Private characters that stand in none of texts. Raises UserError where there are none left."""
    used = set().union(*texts)
    for number in chain(*PRIVATE):
        if chr(number) not in used:
            yield chr(number)
    raise UserError("The messages hold every private character of Unicode; leave out some of them.")


def _single(control: str, tokenizer: Tokenizer) -> int:
    ids = tokenizer.encode(control, control=True)
    if len(ids) != 1:
        raise UserError(f"The control string {control!r} is {len(ids)} tokens in this model, not one; "
                        "the file was converted wrongly.")
    return ids[0]

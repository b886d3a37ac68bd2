"""Messages -> token ids: the one rule that training, evaluation, chat and the exported file share.

Text from people and data is marked before the template is rendered and encoded as plain text
afterwards, so a typed `<end_of_turn>` stays thirteen harmless characters. For text without control
strings the ids equal transformers' apply_chat_template (tested).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

import jinja2
import jinja2.ext
import jinja2.sandbox

from models.errors import UserError

ROLES = ("system", "user", "assistant")
Message = Mapping[str, Any]                     # {"role": one of ROLES, "content": str or text parts}


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


def prompt_ids(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """Ids of the conversation up to and including the header of the model's next turn, with exactly one BOS.

    Raises UserError if the tokenizer has no chat template, a role is unknown, or the template refuses the turns.
    Source: transformers' apply_chat_template(add_generation_prompt=True), which it equals for plain text.
    """
    return _encode(_render(_read(messages), tokenizer, is_open=True), tokenizer)


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
    for k, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        start = prompt_ids(turns[:k], tokenizer)
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
    return _single(_terminator_text(tokenizer.template, tokenizer.bos, tokenizer.eos, tokenizer.controls), tokenizer)


def fit(messages: Sequence[Message], tokenizer: Tokenizer, limit_tokens: int) -> tuple[list[int], int]:
    """prompt_ids in at most limit_tokens: the oldest whole turns go until a quarter of the limit is free.

    The system message and the latest turn stay. Returns the ids and how many messages went; a prompt
    that fits loses nothing. Raises UserError if the latest turn alone is too long.
    """
    turns = _read(messages)
    ids = prompt_ids(turns, tokenizer)
    if len(ids) <= limit_tokens:
        return ids, 0
    first = 1 if turns and turns[0]["role"] == "system" else 0
    users = [k for k in range(first, len(turns)) if turns[k]["role"] == "user"]
    for start in users[1:]:
        ids = prompt_ids(turns[:first] + turns[start:], tokenizer)
        if len(ids) <= limit_tokens * 3 // 4 or (start == users[-1] and len(ids) <= limit_tokens):
            return ids, start - first
    raise UserError(f"The message is {len(ids):,} tokens long and {limit_tokens:,} fit; "
                    "shorten it, or load the model with a longer context.")


def _read(messages: Iterable[Message]) -> list[dict[str, str]]:
    turns = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise UserError(f"A message has the role {role!r}; use {', '.join(ROLES)}.")
        if isinstance(content, list):           # text parts, as the OpenAI protocol has them
            content = "".join(_part_text(part) for part in content)
        if not isinstance(content, str):
            raise UserError(f"A message of the {role} holds no text.")
        turns.append({"role": role, "content": _whole_text(content)})
    return turns


def _part_text(part: Any) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise UserError("A message holds something other than text; this model reads text only.")


def _whole_text(text: str) -> str:
    """Lone surrogates (broken UTF-16 from a client) become U+FFFD, since no tokenizer takes them."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= c <= "\udfff" for c in text) else text


def _render(turns: list[dict[str, str]], tokenizer: Tokenizer, is_open: bool) -> tuple[str, str]:
    """The rendered template, and the mark that stands inside every control string a person typed."""
    if not tokenizer.template:
        raise UserError("This model file has no chat template, so it is not known how to talk to it; "
                        "choose an instruction-tuned model.")
    if turns and turns[0]["role"] == "system" and not _takes_system(tokenizer.template, tokenizer.bos, tokenizer.eos):
        turns = folded(turns)
    everything = "".join(turn["content"] for turn in turns) + tokenizer.template
    mark = next(chr(c) for c in range(0xE000, 0xF8FF) if chr(c) not in everything)
    marked = [{"role": turn["role"], "content": _marked(turn["content"], tokenizer.controls, mark)} for turn in turns]
    return _rendered(tokenizer.template, marked, tokenizer.bos, tokenizer.eos, is_open), mark


def folded(turns: Sequence[Message]) -> list[dict[str, str]]:
    """The system message put in front of the first user message, for families without a system role."""
    system, rest = turns[0]["content"], [dict(turn) for turn in turns[1:]]
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system}, *rest]
    rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest


def _marked(text: str, controls: frozenset[str], mark: str) -> str:
    """Put the mark after the first character of each control string in text, whole or begun at its very end."""
    if not controls:
        return text
    text = _control_start(controls).sub(lambda found: found[0] + mark, text)
    end = text.rstrip()
    longest = max(map(len, controls))
    for start in range(max(0, len(end) - longest), len(end)):
        if any(control.startswith(end[start:]) for control in controls):
            return text[:start + 1] + mark + text[start + 1:]
    return text


@lru_cache(maxsize=16)
def _control_start(controls: frozenset[str]) -> re.Pattern[str]:
    return re.compile(f"(?={_any_of(controls)}).", re.DOTALL)


@lru_cache(maxsize=16)
def _control(controls: frozenset[str]) -> re.Pattern[str]:
    return re.compile(f"({_any_of(controls)})")


def _any_of(controls: frozenset[str]) -> str:
    return "|".join(re.escape(c) for c in sorted(controls, key=lambda c: (-len(c), c)))


def _encode(rendered: tuple[str, str], tokenizer: Tokenizer) -> list[int]:
    text, mark = rendered
    ids: list[int] = []
    parts = _control(tokenizer.controls).split(text) if tokenizer.controls else [text]
    for k, part in enumerate(parts):
        if k % 2:
            ids.append(_single(part, tokenizer))
        elif part:
            ids += tokenizer.encode(part.replace(mark, ""), control=False)
    if not tokenizer.bos:
        return ids
    bos = _single(tokenizer.bos, tokenizer)
    while ids and ids[0] == bos:
        del ids[0]
    return [bos, *ids]


def _single(control: str, tokenizer: Tokenizer) -> int:
    ids = tokenizer.encode(control, control=True)
    if len(ids) != 1:
        raise UserError(f"The control string {control!r} is {len(ids)} tokens in this model, not one; "
                        "the file was converted wrongly.")
    return ids[0]


@lru_cache(maxsize=16)
def _takes_system(template: str, bos: str, eos: str) -> bool:
    """False if the template refuses a system message, or drops it in silence."""
    probe = [{"role": "system", "content": "probe-s"}, {"role": "user", "content": "probe-u"}]
    try:
        return "probe-s" in _rendered(template, probe, bos, eos, is_open=True)
    except UserError:
        return False


@lru_cache(maxsize=16)
def _terminator_text(template: str, bos: str, eos: str, controls: frozenset[str]) -> str:
    probe = [{"role": "user", "content": "probe-u"}, {"role": "assistant", "content": "probe-a"}]
    after = _rendered(template, probe, bos, eos, is_open=False).rpartition("probe-a")[2]
    found = _control(controls).search(after) if controls else None
    return found[0] if found else eos


def _rendered(template: str, turns: list[dict[str, str]], bos: str, eos: str, is_open: bool) -> str:
    try:
        return _compiled(template).render(messages=turns, add_generation_prompt=is_open,
                                          bos_token=bos, eos_token=eos, tools=None)
    except jinja2.TemplateError as error:
        raise UserError(f"The model's chat template refuses these messages: {error}.") from error


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    """Compiled as transformers does it (trim_blocks, lstrip_blocks, loop controls), in a sandbox."""
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    env.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    env.globals["raise_exception"] = _refuse
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env.from_string(template)


def _refuse(text: str) -> None:
    raise jinja2.TemplateError(text)

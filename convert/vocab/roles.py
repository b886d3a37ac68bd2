"""The tokens with a role: which id each has, and which of them the tokenizer puts around a text.

These are the rules of llama.cpp's own converter (gguf-py's SpecialVocab), so that the keys are the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convert.vocab.settings import NAMES, Settings
from convert.vocab.tokenizer_json import Added

NEEDED = ("bos", "eos")
SURROUNDING = ("bos", "eos", "sep")

def surroundings(settings: Settings, post_processor: Mapping[str, Any] | None) -> tuple[dict[str, bool],
                                                                                      dict[str, str]]:
    """Which of SURROUNDING the tokenizer puts around a text, and the texts of the roles.

    tokenizer.json's post_processor says both before tokenizer_config.json does.
    """
    adds: dict[str, bool] = {}
    texts = settings.texts
    for step in (post_processor or {}).get("processors") or [post_processor or {}]:
        if step.get("type") == "ByteLevel":
            adds = {"bos": False, "eos": False} | adds
        elif step.get("type") == "TemplateProcessing":
            _read_single(step.get("single") or [], adds, texts)
            _read_pair(step, adds, texts)
    for name in SURROUNDING:
        value = settings.own.get(f"add_{name}_token")
        if isinstance(value, bool):
            adds.setdefault(name, value)
    return adds, texts


def _read_single(single: Sequence[Mapping[str, Any]], adds: dict[str, bool], texts: dict[str, str]) -> None:
    """A text alone: [bos] A [eos]."""
    first, last = (_special(single[0]), _special(single[-1])) if len(single) > 1 else ("", "")
    if first:
        texts.setdefault("bos", first)
        adds["bos"] = "cls" not in texts or first in (texts["bos"], texts["cls"])
    if last:
        texts["eos"] = last
        adds["eos"] = True


def _read_pair(step: Mapping[str, Any], adds: dict[str, bool], texts: dict[str, str]) -> None:
    """Two texts: what stands between them is a separator if it is the token of that role."""
    single, pair = step.get("single") or [], step.get("pair") or []
    last = _special(single[-1]) if len(single) > 1 else ""
    if len(single) > 1 and _special(single[0]) and pair and _special(pair[0]) == _special(single[0]):
        pair = pair[1:]
    if last and pair and _special(pair[-1]) == last:
        pair = pair[:-1]
    if len(pair) < 3 or [_sequence(pair[0]), _sequence(pair[-1])] != ["A", "B"]:
        return
    separators = {texts.get("sep"), texts.get("eos")} - {None}
    between = [_special(part) in separators for part in pair[1:-1]]
    adds["sep"] = (between[0] and not last) or (len(between) == 2 and between[1])


def _special(part: Mapping[str, Any]) -> str:
    return str((part.get("SpecialToken") or {}).get("id") or "")


def _sequence(part: Mapping[str, Any]) -> str:
    return str((part.get("Sequence") or {}).get("id") or "")


def role_ids(texts: Mapping[str, str], added: Sequence[Added], config: Mapping[str, Any],
             tokens: Sequence[str]) -> dict[str, int]:
    """{"bos": 2, ...}: by the texts among the added tokens, else by the ids of config.json.

    bos and eos, without which a model does not work, are looked for among all tokens, and in config.json's lists.
    """
    at = {token.text: token.id for token in reversed(added) if token.id < len(tokens)}
    found = {}
    for name in NAMES:
        text = texts.get(name)
        if text in at:
            found[name] = at[text]
        elif name in NEEDED and text in tokens:
            found[name] = tokens.index(text)
    inner = config.get("text_config")
    for name in NAMES:
        for source in (config, inner if isinstance(inner, dict) else {}):
            k = source.get(f"{name}_token_id")
            k = k[0] if isinstance(k, list) and k and name in NEEDED else k
            if isinstance(k, int) and not isinstance(k, bool) and 0 <= k < len(tokens):
                found.setdefault(name, k)
    return found

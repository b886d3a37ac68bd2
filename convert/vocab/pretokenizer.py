"""What a tokenizer.json does to a text before its merges, and llama.cpp's name for it.

llama.cpp's own converter finds the name by the ids of one test text under the loaded tokenizer; the same can be
read from the steps that the file lists. Steps that are not listed here are refused by name.
"""

from typing import Any

from convert.vocab.table import SPACE
from convert.vocab.tokenizer_json import TokenizerJson
from models.errors import UserError

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LETTERS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_3 = CONTRACTIONS + LETTERS + r"\p{N}{1,3}" + REST
QWEN_2 = CONTRACTIONS + LETTERS + r"\p{N}" + REST


def words(pattern: str) -> list[dict[str, Any]]:
    """The steps of a byte-level BPE that cuts by pattern, without what changes nothing."""
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}, {"type": "ByteLevel"}]


# the name in tokenizer.ggml.pre -> (normalizer, pre_tokenizer, whether a word that is a token is taken whole)
KNOWN: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], bool]] = {
    "llama-bpe": ([], words(LLAMA_3), True),
    "qwen2": ([{"type": "NFC"}], words(QWEN_2), False),
}
REPLACED = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
CUT_AT_SPACE = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}


def pre_name(source: TokenizerJson) -> str:
    """llama.cpp's name for what source does before its merges. Raises UserError if it is none of those known."""
    normalizer, pre_tokenizer = _steps(source.normalizer, "normalizers"), _steps(source.pre_tokenizer, "pretokenizers")
    for name, known in KNOWN.items():
        if known == (normalizer, pre_tokenizer, source.takes_whole_words):
            return name
    raise _unknown(source, normalizer, pre_tokenizer, "those of Llama 3 and of Qwen 2 and 3")


def has_prefix(source: TokenizerJson) -> bool:
    """True if a tokenizer.json of SentencePiece's kind puts a space before a text.

    Raises UserError if it does anything else to a text than marking its spaces.
    """
    normalizer, pre_tokenizer = _steps(source.normalizer, "normalizers"), _steps(source.pre_tokenizer, "pretokenizers")
    if normalizer == [REPLACED] and pre_tokenizer in ([], [CUT_AT_SPACE]):
        return False
    if normalizer == [{"type": "Prepend", "prepend": SPACE}, REPLACED] and not pre_tokenizer:
        return True
    if not normalizer and len(pre_tokenizer) == 1:
        step = pre_tokenizer[0]
        scheme = step.get("prepend_scheme", "always")
        if step == {"type": "Metaspace", "replacement": SPACE, "split": False, "prepend_scheme": scheme}:
            return scheme != "never"
    raise _unknown(source, normalizer, pre_tokenizer, "those of Gemma and of Llama 2")


def _steps(part: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    """The steps of a Sequence, or the one step, each without what changes no token."""
    if not part:
        return []
    steps = part.get(inner) if part.get("type") == "Sequence" else [part]
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return [part]
    return [_without_idle(step) for step in steps]


def _without_idle(step: dict[str, Any]) -> dict[str, Any]:
    if step.get("type") == "ByteLevel":
        set_ones = {"use_regex": step.get("use_regex", True), "add_prefix_space": step.get("add_prefix_space", True)}
        return {"type": "ByteLevel", **{key: True for key, value in set_ones.items() if value}}
    if step.get("type") == "Split":
        return {key: value for key, value in step.items() if key != "invert" or value}
    return step


def _unknown(source: TokenizerJson, normalizer: list[dict[str, Any]], pre_tokenizer: list[dict[str, Any]],
             known: str) -> UserError:
    """Names the first step of each kind that a person can look for."""
    named = [str(step.get("pattern") or step.get("type"))[:120] for step in [*normalizer, *pre_tokenizer]]
    whole = "takes whole words" if source.takes_whole_words else "merges every word"
    return UserError(f"{source.path} cuts a text in a way that is not known: {'; '.join(named) or 'not at all'} "
                     f"({whole}). Known are {known}.")

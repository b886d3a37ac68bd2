"""A transformers tokenizer seen as tasks/prompt.py wants it; transformers itself is not imported here."""

from typing import Any

from tasks.controls import LOOKS_SPECIAL


class HFTokenizer:
    """tasks.prompt.Tokenizer over a loaded AutoTokenizer (called hf in here)."""

    def __init__(self, hf: Any):
        self.hf = hf
        named = hf.chat_template or ""          # several have names, and the one for a plain chat is "default"
        self.template: str = named.get("default", "") if isinstance(named, dict) else named
        self.bos: str = hf.bos_token or ""
        self.eos: str = hf.eos_token or ""
        added = hf.added_tokens_decoder.values()
        self.controls = frozenset(map(str, hf.all_special_tokens)) | {
            str(t) for t in added if t.special or LOOKS_SPECIAL.fullmatch(str(t))}

    def encode(self, text: str, *, control: bool) -> list[int]:
        """Ids of text without BOS; control strings become control tokens only if control is True."""
        return self.hf.encode(text, add_special_tokens=False, split_special_tokens=not control)

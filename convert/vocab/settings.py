"""What the files beside a tokenizer say of it: the tokens that have a role, and the chat template."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.vocab.table import is_whole
from convert.vocab.tokenizer_json import Added
from models.errors import UserError

NAMES = ("bos", "eos", "unk", "sep", "pad", "mask")     # roles, in the order of llama.cpp's converter
MARKER = re.compile(r"<[^<>\s]+>")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. Raises UserError if it is damaged."""
    if not path.is_file():
        return {}
    try:
        whole = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        whole = None
    if not isinstance(whole, dict):
        raise UserError(f"{path} is no whole JSON object; copy it from the original model again.")
    return whole


def read_template(folder: Path, settings: Mapping[str, Any]) -> str:
    """The chat template, unchanged; "" if there is none. The order is transformers': a file of its own comes first.

    settings: of tokenizer_config.json.
    """
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        try:
            return jinja.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{jinja} is no text in UTF-8; copy it from the original model again.") from None
    template = settings.get("chat_template") or read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):
        named = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
        template = named[0].get("template") if named else None
    if template is not None and not (isinstance(template, str) and is_whole(template)):
        raise UserError(f"The chat template in {folder} is no whole text; copy tokenizer_config.json again.")
    return template or ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """own: tokenizer_config.json; config: config.json; template: "" if there is none.

    decoder, beside: tokens listed in tokenizer_config.json, and in added_tokens.json.
    """
    folder: Path
    own: Mapping[str, Any]
    config: Mapping[str, Any]
    template: str
    decoder: list[Added]
    beside: list[Added]

    @property
    def texts(self) -> dict[str, str]:
        """{"bos": "<bos>", ...} as tokenizer_config.json names them."""
        named = {name: _text(self.own.get(f"{name}_token")) for name in (*NAMES, "cls")}
        return {name: text for name, text in named.items() if text is not None}

    @property
    def special(self) -> set[str]:
        """Every text that tokenizer_config.json calls special."""
        extra: list[Any] = []
        for key in ("additional_special_tokens", "extra_special_tokens"):
            value = self.own.get(key) or []
            extra += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        texts = {_text(one) for one in extra} | set(self.texts.values())
        return {text for text in texts if text is not None}

    @property
    def in_template(self) -> set[str]:
        """Every text in the chat template that looks like a token."""
        return set(MARKER.findall(self.template))


def read_settings(folder: Path) -> Settings:
    """What the files in folder say; nothing where there are none. Raises UserError if one is damaged."""
    path = folder / "tokenizer_config.json"
    own = read_json(path)
    beside = read_json(folder / "added_tokens.json")
    if not all(isinstance(k, int) and k >= 0 for k in beside.values()):
        raise UserError(f"{folder / 'added_tokens.json'} is no table of tokens; copy it from the original model again.")
    return Settings(folder=folder, own=own, config=read_json(folder / "config.json"),
                    template=read_template(folder, own), decoder=_decoder(own, path),
                    beside=[Added(k, text, is_special=False) for text, k in beside.items()])


def _decoder(own: Mapping[str, Any], path: Path) -> list[Added]:
    listed = own.get("added_tokens_decoder") or {}
    tokens = []
    for k, token in listed.items() if isinstance(listed, dict) else [("", listed)]:
        if not str(k).isdecimal() or not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise UserError(f"{path} is damaged: added_tokens_decoder is no table of tokens; "
                            "copy it from the original model again.")
        tokens.append(Added(int(k), token["content"], bool(token.get("special"))))
    return tokens


def _text(value: Any) -> str | None:
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None

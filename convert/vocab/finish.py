"""The last steps to a vocabulary, whatever file its tokens came from: control tokens, roles, and what must hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from convert.vocab.roles import NEEDED, role_ids, surroundings
from convert.vocab.settings import Settings
from convert.vocab.table import Table
from convert.vocab.tokenizer_json import Added
from convert.vocab.tokens import Vocab, wants_bos
from models.errors import UserError
from tasks.prompt import terminator

TURN_MARKERS = {"<start_of_turn>", "<end_of_turn>"}
BYTE_LEVEL, GEMMA_4 = "gpt2", "gemma4"          # llama.cpp's names


def finished(table: Table, settings: Settings, added: Sequence[Added], post_processor: Mapping[str, Any] | None,
             **form: Any) -> Vocab:
    """table as a vocabulary of that form (fields of Vocab). added, post_processor: of tokenizer.json.

    Raises UserError for a token that the model needs and has no row, no bos or eos token, or two equal tokens.
    """
    table.mark_controls(settings.special | TURN_MARKERS)
    table.check_texts()
    adds, texts = _surroundings(settings, post_processor)
    ids = role_ids(texts, added, settings.config, table.tokens)
    needed = set(texts.values())
    for text in table.left_out:
        if text in settings.template or text in needed:
            raise UserError(f"The token {text!r} lies beyond the {len(table.tokens):,} rows of the model's embedding; "
                            "tokenizer and weights do not belong together.")
    model, pre = form.get("model", "llama"), form.get("pre", "default")
    if model == GEMMA_4 or ("bos_token" in settings.template and "bos" in ids):
        adds["bos"] = True                      # a template that writes it is of a model that wants it
    for name in NEEDED:
        if name not in ids and (name != "bos" or wants_bos(model, pre, adds)):
            raise UserError(f"Neither tokenizer_config.json nor config.json names the {name} token; "
                            "copy both files from the original model.")
    vocab = Vocab(tokens=table.tokens, scores=[] if model == BYTE_LEVEL else table.scores, types=table.types,
                  special_ids=ids, template=settings.template, left_out=tuple(table.left_out), adds=adds, **form)
    end = _end_of_turn(vocab)
    if end != ids["eos"]:
        ids["eot"] = end
    return vocab


def _surroundings(settings: Settings, post_processor: Mapping[str, Any] | None) -> tuple[dict[str, bool],
                                                                                       dict[str, str]]:
    try:
        return surroundings(settings, post_processor)
    except (AttributeError, IndexError, KeyError, TypeError):
        raise UserError(f"{settings.folder / 'tokenizer.json'} is damaged: its post_processor makes no sense; "
                        "copy it from the original model again.") from None


def _end_of_turn(vocab: Vocab) -> int:
    if vocab.template:
        return terminator(vocab)
    return vocab.tokens.index("<end_of_turn>") if "<end_of_turn>" in vocab.tokens else vocab.special_ids["eos"]

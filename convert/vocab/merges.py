"""Scores of SentencePiece's kind from the merges of a tokenizer.json, where there is no tokenizer.model.

A tokenizer.json made from a tokenizer.model lists, best piece first, every way to join two pieces into a third.
llama.cpp joins the neighbours whose piece has the best score, so the order of the pieces is all that it needs.
"""

from collections.abc import Sequence

from convert.vocab.tokenizer_json import TokenizerJson
from models.errors import UserError


def scores(source: TokenizerJson, plain: Sequence[str]) -> dict[str, float]:
    """A score for each plain token (those that are text), in the order of their ids.

    0, -1, -2 as SentencePiece itself gives, if its order is that of the ids. Raises UserError if these merges are
    not those of a SentencePiece model: then no scores would give the same tokens.
    """
    ranks = _ranks(source)
    merges = set(source.merges)
    known = set(plain)
    for piece in plain:
        for k in range(1, len(piece)):
            pair = piece[:k], piece[k:]
            if pair[0] in known and pair[1] in known and pair not in merges:
                raise _not_sentencepiece(source, f"{pair[0]!r} and {pair[1]!r} are not merged to {piece!r}")
    order = list(plain)
    merged = [ranks[piece] for piece in plain if piece in ranks]
    if merged != sorted(merged):
        order.sort(key=lambda piece: ranks.get(piece, len(ranks)))
    return {piece: -float(k) for k, piece in enumerate(order)}


def _ranks(source: TokenizerJson) -> dict[str, int]:
    """Piece -> its place among the pieces, best first."""
    ranks: dict[str, int] = {}
    before = ""
    for left, right in source.merges:
        piece = left + right
        if piece in ranks and piece != before and len(set(piece)) > 1:      # runs of one character come by length
            raise _not_sentencepiece(source, f"the ways to {piece!r} do not stand together")
        ranks.setdefault(piece, len(ranks))
        before = piece
    return ranks


def _not_sentencepiece(source: TokenizerJson, how: str) -> UserError:
    return UserError(f"The merges in {source.path} are not those of a SentencePiece model ({how}); "
                     "copy tokenizer.model from the original model.")

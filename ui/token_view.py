"""The preview in a terminal: samples token by token, with colours or with signs that need none."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from train.preview_page import END_MARK, about, counted

SHOWN_CONTEXT = 60              # tokens at either end of a long stretch of context
LEAST_HIDDEN = 40               # tokens: fewer are not worth a line that says so
SHOWN_CUT = 60                  # characters at either end of what was cut
BAR = 40                        # characters of the histogram's longest bar
RESET = "\x1b[0m"
# two shades each, in turns, so that one sees where a token ends
COLOURS = {"context": ("\x1b[38;5;243m", "\x1b[38;5;247m"), "control": ("\x1b[4;38;5;243m",) * 2,
           "learned": ("\x1b[38;5;16;48;5;158m", "\x1b[38;5;16;48;5;115m"), "end": ("\x1b[1;38;5;231;48;5;29m",) * 2,
           "cut": ("\x1b[9;31m",) * 2}


def is_coloured(out: TextIO) -> bool:
    """True where colours can be shown and are not unwanted (https://no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(line: str, out: TextIO) -> str:
    """line with a question mark for what the terminal's encoding does not have."""
    encoding = out.encoding or "ascii"
    return line.encode(encoding, "replace").decode(encoding)


def lines(preview: Mapping[str, Any], is_coloured: bool) -> Iterator[str]:
    """Everything of a preview (as preview.json has it), line by line."""
    for stage in preview["stages"]:
        if len(preview["stages"]) > 1:
            yield f"Stage {stage['name']}"
        yield from stage["tables"]
        yield counted(stage)
        if stage["cut_words"]:
            yield stage["cut_words"]
        yield ""
        yield from _histogram(stage["lengths"], stage["max_len"])
        for row in stage["too_long"]:
            yield f"{row['file']}, line {row['line']}: left out, {row['reason']}"
        yield _legend(is_coloured)
        for sample in stage["samples"]:
            yield ""
            why = ", ".join(sample["why"])
            yield f"{why[:1].upper() + why[1:]} ({about(sample).rstrip('.')})"
            yield from tokens(sample["pieces"], is_coloured).split("\n")
        yield ""


def _legend(is_coloured: bool) -> str:
    if is_coloured:
        kinds = {"context": "context, read only", "learned": "learned", "end": f"end of a turn {END_MARK}",
                 "cut": "cut out"}
        return "  ".join(f"{COLOURS[kind][0]}{words}{RESET}" for kind, words in kinds.items())
    return f"Tokens are parted by \u00a6; \u00ablearned\u00bb, {END_MARK} = learned end of a turn, [-cut out-]."


def _histogram(lengths: Mapping[str, Any], max_len: int) -> Iterator[str]:
    most = max(lengths["counts"])
    yield f"Lengths in tokens, uncut (a sample may have {max_len:,}):"
    for k, count in enumerate(lengths["counts"]):
        low, high = k * lengths["step"] + 1, (k + 1) * lengths["step"]
        sign = " cut" if low > max_len else " some cut" if high > max_len else ""
        yield f"  to {high:>7,} {count:>7,} {'#' * (-(-BAR * count // most))}{sign if count else ''}"


def tokens(pieces: Sequence[Mapping[str, Any]], is_coloured: bool) -> str:
    """The pieces of one sample as text; long context loses its middle, what is learned never."""
    shown = []
    for k, piece in enumerate(_shortened(pieces)):
        text = piece["text"].replace("\n", "\u21b5\n").replace("\t", "\u2192\t")
        text += f" {END_MARK}" if piece["kind"] == "end" else ""
        if is_coloured and piece["kind"] in COLOURS:
            colour = COLOURS[piece["kind"]][k % 2]
            text = "\n".join(f"{colour}{part}{RESET}" if part else "" for part in text.split("\n"))
        shown.append((piece["kind"], text))
    return "".join(text for _, text in shown) if is_coloured else _with_signs(shown)


def _with_signs(shown: Sequence[tuple[str, str]]) -> str:
    parts, before = list[str](), ""
    for kind, text in shown:
        group = {"learned": "learned", "end": "learned", "cut": "cut", "more": "more"}.get(kind, "context")
        if group == before:
            parts.append("\u00a6")
        else:
            parts.append(_close(before) + {"learned": "\u00ab", "cut": "[-"}.get(group, ""))
        parts.append(text)
        before = group
    return "".join([*parts, _close(before)])


def _close(group: str) -> str:
    return {"learned": "\u00bb", "cut": "-]"}.get(group, "")


def _shortened(pieces: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """pieces with the middle of long context, and of long cuts, left out and counted."""
    run = list[Mapping[str, Any]]()
    for piece in [*pieces, None]:
        if piece is not None and piece["kind"] in ("context", "control"):
            run.append(piece)
            continue
        if len(run) > 2 * SHOWN_CONTEXT + LEAST_HIDDEN:
            more = {"kind": "more", "text": f"\n ... {len(run) - 2 * SHOWN_CONTEXT:,} tokens of context ...\n"}
            run = [*run[:SHOWN_CONTEXT], more, *run[-SHOWN_CONTEXT:]]
        yield from run
        run = []
        if piece is not None:
            yield _short_cut(piece) if piece["kind"] == "cut" else piece


def _short_cut(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    text, hidden = piece["text"], len(piece["text"]) - 2 * SHOWN_CUT
    if hidden <= 0:
        return piece
    return {**piece, "text": f"{text[:SHOWN_CUT]} ... {hidden:,} characters ... {text[-SHOWN_CUT:]}"}

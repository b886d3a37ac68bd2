"""A page that opens anywhere: one HTML file, no script, nothing from elsewhere; light and dark, narrow, to print."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

CSS = Path(__file__).with_suffix(".css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """The whole file. body: HTML, empty parts are left out; style: CSS beside that of every page."""
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}{style}</style>\n</head>\n"
            "<body>\n<main>\n" + "\n".join(filter(None, body)) + "\n</main>\n</body>\n</html>\n")


def table(heads: Sequence[str], kinds: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, which is a list of cards on a narrow screen. kinds: of the columns, "number", "name" or "".

    rows: cells as HTML. A cell is called by its head in a card, but for the first, which names the card.
    """
    head = "".join(f'<th scope="col"{_class(kind)}>{escape(text)}</th>'
                   for text, kind in zip(heads, kinds, strict=True))
    body = "".join(f"<tr>{_cells(heads, kinds, row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(heads: Sequence[str], kinds: Sequence[str], row: Sequence[str]) -> str:
    return "".join(
        f"<td{_class(kind)}" + (f' data-label="{escape(head)}"' if k and cell else "") + f">{cell}</td>"
        for k, (head, kind, cell) in enumerate(zip(heads, kinds, row, strict=True)))


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""

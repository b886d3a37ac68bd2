"""Markdown of a model -> HTML that holds nothing but text: no tags, pictures or scripts; maths for the page's KaTeX."""

import functools
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

LONGEST = 100_000                       # characters; what is longer is shown as it was written
MATH_LINES = 60                         # of one formula at most
ADDRESS = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
# begin, end, whether it stands on a line of its own; $ last: the longer marks are looked for first
MARKS = (("$$", "$$", True), (r"\[", r"\]", True), (r"\(", r"\)", False), ("$", "$", False))
COPY = '<button type="button" class="copy-code" data-act="copy-code">Copy</button>'


def rendered(text: str) -> str:
    """The HTML of text. Every tag in it is one that this file or the renderer's own rules wrote."""
    if len(text) > LONGEST:
        return f"<pre>{escape(text)}</pre>"
    html: str = _parser().render(text)
    return html


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.disable(["image", "html_block", "html_inline"])
    parser.inline.ruler.before("escape", "math", _inline_math)
    parser.block.ruler.before("fence", "math_block", _block_math, {"alt": ["paragraph", "blockquote", "list"]})
    parser.validateLink = _is_address     # type: ignore[method-assign]
    for name, rule in {"math": _math, "math_block": _math, "fence": _code, "code_block": _code, "link_open": _link,
                       "table_open": _table_open, "table_close": _table_close}.items():
        parser.add_render_rule(name, rule)
    return parser


def _is_address(url: str) -> bool:
    return ADDRESS.match(url.strip()) is not None


def _inline_math(state: StateInline, silent: bool) -> bool:
    """A formula inside a line. $...$ only where it can not be money: no blank inside the marks, no digit behind."""
    for left, right, is_display in MARKS:
        if not state.src.startswith(left, state.pos):
            continue
        begin = state.pos + len(left)
        end = state.src.find(right, begin, state.posMax)
        if end <= begin:
            continue
        tex = state.src[begin:end]
        if left == "$" and (tex != tex.strip() or "\n" in tex or state.src[end + 1:end + 2].isdigit()):
            continue
        if not silent:
            token = state.push("math", "", 0)
            token.content, token.info, token.markup = tex, "display" if is_display else "", left + tex + right
        state.pos = end + len(right)
        return True
    return False


def _block_math(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula that begins a line and ends one, over lines that would otherwise be lists or headings."""
    start = state.bMarks[first] + state.tShift[first]
    for left, right, _ in MARKS[:2]:
        if not state.src.startswith(left, start) or state.is_code_block(first):
            continue
        for line in range(first, min(last, first + MATH_LINES)):
            begin = start + len(left) if line == first else state.bMarks[line] + state.tShift[line]
            text = state.src[begin:state.eMarks[line]].rstrip()
            if state.isEmpty(line) or state.sCount[line] < state.blkIndent:
                return False
            if right not in text:
                continue
            if text.index(right) != len(text) - len(right):
                return False                    # it ends inside the line: a formula in a paragraph
            if not silent:
                lines = (state.src[state.bMarks[k] + state.tShift[k]:state.eMarks[k]] for k in range(first, line + 1))
                whole = "\n".join(lines).strip()       # without what marks a quote
                token = state.push("math_block", "", 0)
                token.content, token.info, token.markup = whole[len(left):-len(right)], "display", whole
                token.map, token.block = [first, line + 1], True
                state.line = line + 1
            return True
        return False
    return False


def _math(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[at]
    kind = f"math {token.info}".strip()
    return f'<span class="{kind}" data-tex="{escape(token.content.strip())}">{escape(token.markup)}</span>'


def _code(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    language = tokens[at].info.split()[:1]
    name = f'<span class="language">{escape(language[0][:30])}</span>' if language else ""
    return f'<div class="code">{name}{COPY}<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre></div>\n'


def _link(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    tokens[at].attrSet("target", "_blank")
    tokens[at].attrSet("rel", "noopener noreferrer nofollow")
    written: Any = renderer.renderToken(tokens, at, options, env)
    return str(written)


def _table_open(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return '<div class="table" tabindex="0"><table>\n'


def _table_close(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return "</table></div>\n"

"""Chat templates rendered as transformers renders them, in a sandbox, with what they do to a turn found out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser

from models.errors import UserError
from tasks.sandbox import Sandbox

# What a template can raise in the middle of its own expressions, beside Jinja's errors.
MISTAKES = (jinja2.TemplateError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
            RuntimeError, SyntaxError, TypeError, ValueError)


def rendered(template: str, turns: Sequence[Mapping[str, Any]], bos: str, eos: str, is_open: bool) -> str:
    """The conversation as template writes it; is_open: up to and including the header of the model's turn.

    Raises UserError if the template refuses the turns, can not be run, or takes too long or too much memory.
    """
    try:
        return _compiled(template).render(Sandbox.clock(), messages=turns, add_generation_prompt=is_open,
                                          bos_token=bos, eos_token=eos, tools=None, documents=None)
    except MISTAKES as error:
        raise UserError(f"The model's chat template refuses these messages: {_words(error)}.") from error


def _words(error: BaseException) -> str:
    return str(error)[:300].rstrip(".") or type(error).__name__


@lru_cache(maxsize=16)
def takes_system(template: str, bos: str, eos: str) -> bool:
    """False if the template refuses a system message, or drops it in silence."""
    probe = [{"role": "system", "content": "probe-s"}, {"role": "user", "content": "probe-u"}]
    try:
        return "probe-s" in rendered(template, probe, bos, eos, is_open=True)
    except UserError:
        return False


@lru_cache(maxsize=16)
def after_answer(template: str, bos: str, eos: str) -> str:
    """What the template writes after the model's answer."""
    probe = [{"role": "user", "content": "probe-u"}, {"role": "assistant", "content": "probe-a"}]
    return rendered(template, probe, bos, eos, is_open=False).rpartition("probe-a")[2]


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, which training templates put around an answer: here it changes nothing."""
    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    """Compiled as transformers does it (trim_blocks, lstrip_blocks, loop controls), in a sandbox."""
    env = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation])
    env.globals["raise_exception"] = _refuse
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env.from_string(template)


def _refuse(text: str) -> None:
    raise jinja2.TemplateError(text)

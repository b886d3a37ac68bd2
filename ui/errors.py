"""UserError -> what the person sees: the one error boundary of the page."""

import functools
import html
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gradio as gr

from models.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

BUG = ("Something went wrong inside Galen, and it is not your doing. The terminal shows the details; "
       "reload the page and try again.")

log = logging.getLogger("galen")


def shown(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap a page handler: a UserError becomes a notice with its text; a bug is logged and becomes one sentence."""
    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except UserError as error:
            # the notice is rendered as HTML, and the text may hold what somebody typed
            raise gr.Error(html.escape(str(error)), print_exception=False) from error
        except Exception as error:
            log.exception("a page handler failed")
            raise gr.Error(BUG, print_exception=False) from error
    return guarded

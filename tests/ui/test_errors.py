import logging

import gradio as gr
import pytest

from models.errors import UserError
from ui.errors import BUG, shown


def test_user_error_is_shown_as_text():
    @shown
    def handler(name: str) -> str:
        raise UserError(f"There is no file {name}.")

    with pytest.raises(gr.Error) as told:
        handler("<img src=x>")
    assert told.value.message == "There is no file &lt;img src=x&gt;."


def test_bug_is_logged_and_shown_in_one_plain_sentence(caplog: pytest.LogCaptureFixture):
    @shown
    def handler() -> str:
        raise ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR, "galen"), pytest.raises(gr.Error) as told:
        handler()
    assert told.value.message == BUG and "secret detail" in caplog.text


def test_result_and_signature_pass_through():
    @shown
    def handler(a: int, request: gr.Request) -> int:
        return a + 1

    assert handler(1, None) == 2 and handler.__annotations__["request"] is gr.Request

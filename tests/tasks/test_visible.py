"""Nothing of what is shown can act or hide."""

import pytest

from tasks.visible import visible


@pytest.mark.parametrize(("text", "expected"), [
    ("a\x1b\u202e\x00\ud800\u200b\nb\tc", "a<U+001B><U+202E><U+0000><U+D800><U+200B>\nb\tc"),
    ("\r\x7f\x9b\u2028\ue000\ufeff", "<U+000D><U+007F><U+009B><U+2028><U+E000><U+FEFF>"),
    ("caf\u00e9 \u4e2d \U0001f9e0 <b>", "caf\u00e9 \u4e2d \U0001f9e0 <b>")])
def test_what_can_not_be_seen_is_spelled_out(text: str, expected: str):
    assert visible(text) == expected

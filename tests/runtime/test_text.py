"""Bytes become whole characters, and stop strings never leak."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.text import TextStream


def run(raw: bytes, stop=(), step=1) -> tuple[list[str], bool]:
    stream = TextStream(tuple(stop))
    parts = [stream.add(raw[k:k + step]) for k in range(0, len(raw), step)]
    return [*parts, stream.close()], stream.is_stopped


@given(text=st.text(max_size=40), step=st.integers(1, 5))
def test_any_cut_gives_the_same_text(text, step):
    parts, is_stopped = run(text.encode(), step=step)
    assert "".join(parts) == text and not is_stopped


@given(before=st.text("abE", max_size=12), after=st.text("abE", max_size=6), step=st.integers(1, 4))
def test_text_ends_before_the_stop_string(before, after, step):
    parts, is_stopped = run(f"{before}END{after}".encode(), ["END"], step)
    assert is_stopped and "".join(parts) == f"{before}END".partition("END")[0]


def test_a_begun_stop_string_is_held_then_released():
    stream = TextStream(("STOP",))
    assert stream.add(b"say ST") == "say "
    assert stream.add(b"A") == "STA"
    assert stream.add(b"ST") == "" and stream.close() == "ST"


def test_a_cut_character_is_never_shown_in_half():
    stream = TextStream()
    raw = "é".encode()
    assert stream.add(raw[:1]) == "" and stream.add(raw[1:]) == "é"
    assert stream.add(raw[:1]) == "" and stream.close() == "\ufffd"

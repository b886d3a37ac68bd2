"""The doctor's smoke prompt: one short answer of the embedded model, through the same worker as everywhere."""

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ui.doctor.finding import BAD, FAILURES, GOOD, Finding, one_line

if TYPE_CHECKING:
    from runtime.session import Session

NAME = "Smoke prompt"
LIMIT_S = 90.0                  # a cold disk and security software that reads every library may take most of it
PROMPT = [{"role": "user", "content": "What is asthma?"}]
TOKENS = 16


def smoke() -> Iterator[Finding]:
    """Load the embedded model and let it answer."""
    yield answered(LIMIT_S)


def answered(limit_s: float) -> Finding:
    """How long the embedded model took to load and to answer; or why it did not, within limit_s."""
    from runtime.session import Session
    session, ended = Session(), list[Finding]()
    work = threading.Thread(target=lambda: ended.append(_answer(session)), name="smoke", daemon=True)
    work.start()
    work.join(limit_s)
    if ended:
        return ended[0]
    threading.Thread(target=session.close, name="smoke-end", daemon=True).start()       # it may hang as well
    return Finding(name=NAME, state=BAD, found=f"the embedded model gave no answer within {limit_s:.0f} s",
                   advice="Close other programs and try again; security software may be reading each of Galen's files.")


def _answer(session: "Session") -> Finding:
    """Load, ask, end."""
    from models import library
    from runtime.config import LoadConfig, SampleConfig
    began = time.monotonic()
    try:
        session.load(library.demo_gguf(), LoadConfig(slots=1))
        loaded = time.monotonic()
        with session.chat(PROMPT, SampleConfig(temperature=0.0, max_tokens=TOKENS)) as stream:
            words = "".join(stream)
        end = stream.end
    except FAILURES as error:
        return _failed(error)
    finally:
        session.close()
    if end is None or not words.strip():
        return Finding(name=NAME, state=BAD, found="the embedded model answered nothing",
                       advice="Get the project again: its files may be damaged.")
    return Finding(name=NAME, state=GOOD, found=f"the embedded model loaded in {loaded - began:.2f} s and wrote "
                                                f"{end.generated_tokens} tokens in {time.monotonic() - loaded:.2f} s")


def _failed(error: Exception) -> Finding:
    is_missing = "embedded model is missing" in str(error)
    return Finding(
        name=NAME, state=BAD, personal=one_line(str(error)),
        found="the embedded model is missing" if is_missing else "the embedded model can not answer",
        advice="Get the project again: its files are not whole." if is_missing else
        "If llama.cpp above is good, close other programs and try again; else mend that first.")

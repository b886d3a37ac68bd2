"""A conversation in the terminal: questions from stdin, answers streamed to stdout."""

import signal
import sys
import threading
from pathlib import Path
from typing import Any

from models import knobs, library
from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session
from tasks import safety
from tasks.chat import REMINDER
from tasks.chat import preset as preset_of


def talk(path: Path, prompt: str, system: str, loading: dict[str, Any], sampling: dict[str, Any],
         preset: str = "") -> int:
    """Answer prompt and return, or hold a conversation until the end of stdin.

    loading, sampling: values of LoadConfig and SampleConfig; these and system go before what the preset says. A red
    flag in a question prints its notice before the answer, to stderr. Raises UserError for an unknown preset.
    """
    chosen = preset_of(preset)
    system = system if system.strip() else chosen.system
    config = knobs.from_json(LoadConfig, loading)
    sample = knobs.from_json(SampleConfig, {**chosen.sampling, **sampling})
    messages: list[dict[str, str]] = [{"role": "system", "content": system}] if system.strip() else []
    session = Session()
    try:
        info = session.load(path, config)
        for line in (f"{info.name}, {info.description}", library.notice_for(path), REMINDER):
            if line:
                print(line, file=sys.stderr)
        if prompt:
            _warn(prompt)
            _answer(session, [*messages, {"role": "user", "content": prompt}], sample)
            return 0
        while (question := _question()) is not None:
            if not question.strip():
                continue
            _warn(question)
            messages.append({"role": "user", "content": question})
            try:
                messages.append({"role": "assistant", "content": _answer(session, messages, sample)})
            except UserError as error:          # the process died, or the message is too long: the talk goes on
                messages.pop()
                print(f"\n{error}", file=sys.stderr)
        return 0
    finally:
        session.close()


def _question() -> str | None:
    """The next line of the person; None at the end of stdin or on Ctrl-C."""
    try:
        return input("\n> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None


def _warn(question: str) -> None:
    """Print the notice that belongs above the answer, if there is one. English only."""
    notice = safety.notice(question)
    if notice:
        print(f"\n! {notice}\n", file=sys.stderr, flush=True)


def _answer(session: Session, messages: list[dict[str, str]], sample: SampleConfig) -> str:
    """Stream one answer to stdout; Ctrl-C ends it within one token and keeps what came."""
    stream = session.chat(messages, sample)

    def cancel(*_: object) -> None:
        threading.Thread(target=stream.cancel).start()      # a signal handler must not wait for a lock

    before = signal.signal(signal.SIGINT, cancel)
    pieces: list[str] = []
    try:
        for piece in stream:
            pieces.append(piece)
            sys.stdout.write(piece)
            sys.stdout.flush()
    finally:
        signal.signal(signal.SIGINT, before)
    print()
    if stream.end and stream.end.dropped_turns:
        print(f"({stream.end.dropped_turns} older messages no longer fit and were left out.)", file=sys.stderr)
    if stream.end:
        print(f"({stream.end.generated_tokens} tokens, {stream.end.tokens_per_s:,.0f} tokens/s)", file=sys.stderr)
    return "".join(pieces)

"""What the chat page does: ask, stop, ask again; an answer belongs to its conversation, not to a page."""

import contextlib
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from corpus.read import whole_text
from models.errors import UserError
from runtime.session import Stream
from ui.actions import asking, compare
from ui.actions.asking import Asking
from ui.actions.compare import Answering, Models
from ui.actions.files import Pending
from ui.actions.model import CurrentModel
from ui.actions.prompts import prompt
from ui.history import BROKEN, CUT, STOPPED, WHOLE, WRITING, File, History, Locked, Message

KEEP_S = 0.4                    # a running answer is on disk at most this late
CLOSE_WAIT_S = 3.0
STATES = {"stop": WHOLE, "length": CUT, "cancelled": STOPPED}
BUG = "Something went wrong inside Galen while this answer was written; the terminal shows the details."
ALONE = ("",)


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page shows of a conversation."""
    conversation: str
    turns: list[Message]
    is_writing: bool
    asked: Asking               # what it was asked with last
    version: str                # changes whenever anything above does


class Answer:
    """An answer on its way: what has come so far, and how to end it. Filled by one thread, read by many."""

    def __init__(self, conversation: str, number: int, asked: Asking):
        self.conversation, self.number, self.asked = conversation, number, asked
        self.text, self.count = "", 0
        self.is_stopped, self.has_ended = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None

    def fill(self, stream: Stream) -> None:
        """Take every piece of stream. Raises what the stream raises."""
        with self._lock:
            self._stream = stream
            if self.is_stopped.is_set():
                stream.cancel()
        for piece in stream:
            self.text += piece
            self.count += 1

    def stop(self) -> None:
        """End it within one token, or before its first."""
        with self._lock:
            self.is_stopped.set()
            if self._stream:
                self._stream.cancel()


class Chat:
    """The chat page's actions over one model and one history."""

    def __init__(self, model: CurrentModel, history: History, models: Models | None = None):
        self.model, self.history = model, history
        self.models = models or Models(model)
        self.pending = Pending(model)                           # files that wait for their question
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[Answer, ...]] = {}       # by conversation, while one of them runs
        self._threads: set[threading.Thread] = set()
        history.mark_interrupted()

    def warm(self) -> None:
        """Compile the patterns of red flags (most of a second), for which the first question would wait."""
        from tasks import safety
        safety.red_flags("")

    # asking

    def send(self, conversation: str, text: str, asked: Asking | None = None, files: Sequence[File] = (),
             against: Asking | None = None, beside: int | None = None) -> None:
        """Ask; the answer comes by itself. An id that no conversation has begins one.

        against: settings (and model) of a second answer beside the first. beside: the question that this one is an
        edited version of. A red flag in text puts its notice between question and answer; the model never reads it.
        Raises UserError for an empty message, and while an answer is being written here.
        """
        if not text.strip():
            raise UserError("There is nothing to send yet; write a message first.")
        from tasks import safety  # here and in warm(): at a start nobody waits for it
        question, asked = whole_text(text.strip()), asked or Asking()
        sides, settings = self._sides(asked, against)
        notice, kept, given = safety.notice(question), asked.to_json(), tuple(files)
        with self._lock:
            self._refuse_second(conversation)
            if beside is None:
                numbers = self.history.ask(conversation, question, notice, kept, given, sides)
            else:
                numbers = self.history.ask_beside(conversation, beside, question, notice, kept, given, sides)
            self._keep_settings(numbers, settings)
            self._start(conversation, numbers, settings)

    def regenerate(self, conversation: str, asked: Asking | None = None, of: int | None = None,
                   against: Asking | None = None) -> None:
        """Answer a question anew: that of the answer `of`, or the last one. UserError if there is none, or while an
        answer is being written here."""
        asked = asked or Asking()
        sides, settings = self._sides(asked, against)
        with self._lock:
            self._refuse_second(conversation)
            numbers = self.history.ask_again(conversation, asked.to_json(), of, sides)
            self._keep_settings(numbers, settings)
            self._start(conversation, numbers, settings)

    def stop(self, conversation: str) -> None:
        """End the running answers of a conversation within one token; without one, nothing happens."""
        for answer in self._answers.get(conversation, ()):
            answer.stop()

    @property
    def is_writing(self) -> bool:
        """True while any conversation gets an answer."""
        return bool(self._answers)

    def running(self, conversation: str) -> tuple[Answer, ...]:
        """The answers that are being written in a conversation; none while they are locked."""
        return () if self.history.is_locked else self._answers.get(conversation, ())

    def stop_all(self, wait_s: float = CLOSE_WAIT_S) -> None:
        """End every running answer and keep it, and forget the files that wait: before a lock, and at the end."""
        self.pending.forget()
        for answers in list(self._answers.values()):
            for answer in answers:
                answer.stop()
        for thread in list(self._threads):
            thread.join(wait_s)

    def delete(self, conversation: str) -> None:
        """Hide a conversation; for some seconds the history can restore it. A running answer in it is stopped."""
        self.stop(conversation)
        self.history.delete(conversation)

    # what a page shows

    def list_version(self) -> str:
        """Changes whenever the list of conversations does."""
        return "locked" if self.history.is_locked else self.history.list_version()

    def version(self, conversation: str) -> str:
        """Changes whenever view(conversation) does; only what follows the last ":" does with each piece of text."""
        if self.history.is_locked:
            return f"{conversation}:locked:"
        answers = self._answers.get(conversation, ())
        running = f"writing:{sum(answer.count for answer in answers)}" if answers else ":"
        return f"{conversation}:{self.history.version(conversation)}:{running}"

    def view(self, conversation: str) -> View:
        """The conversation as it is now, with what has come of running answers; empty while they are locked."""
        version = self.version(conversation)            # first: a change in between is then seen next time
        if self.history.is_locked:
            return View(conversation=conversation, turns=[], is_writing=False, asked=Asking(), version=version)
        running = {answer.number: answer for answer in self._answers.get(conversation, ())}
        turns = [replace(turn, text=running[turn.id].text) if turn.id in running and turn.state == WRITING else turn
                 for turn in self.history.thread(conversation)]
        return View(conversation=conversation, turns=turns, is_writing=bool(running and turns), version=version,
                    asked=asking.from_json(self.history.settings(conversation)))

    def close(self) -> None:
        """Stop what runs, and keep it."""
        self.stop_all()
        self.models.close()

    # the answers' own threads

    def _sides(self, asked: Asking, against: Asking | None) -> tuple[tuple[str, ...], tuple[Asking, ...]]:
        """The sides of the answers, and what each is asked with: in a pair, each with the name of its model."""
        if against is None:
            return ALONE, (asked,)
        chosen = self.models.chosen_name()
        if not chosen:
            raise UserError("No model is loaded to compare with; choose one first.")
        pair = tuple(replace(one, model=one.model or chosen) for one in (asked, against))
        if pair[0] == pair[1]:
            raise UserError("Both sides are the same; choose another model or another preset to compare with.")
        self.model.find(pair[1].model)
        return compare.SIDES, compare.shuffled(*pair)

    def _keep_settings(self, numbers: Sequence[int], settings: Sequence[Asking]) -> None:
        """What each of a pair was asked with, instead of what the conversation goes on with."""
        for number, asked in zip(numbers, settings, strict=True):
            if len(numbers) > 1:
                self.history.keep_settings(number, asked.to_json())

    def _refuse_second(self, conversation: str) -> None:
        if conversation in self._answers:
            raise UserError("An answer is still being written in this conversation. Wait for its end or stop it, "
                            "then send your message.")

    def _start(self, conversation: str, numbers: Sequence[int], settings: Sequence[Asking]) -> None:
        answers = tuple(Answer(conversation, number, asked) for number, asked in zip(numbers, settings, strict=True))
        self._answers[conversation] = answers
        self._in_thread(f"answer {numbers[0]}", self._write_all, answers)

    def _in_thread(self, name: str, target: object, *values: object) -> threading.Thread:
        assert callable(target)
        thread = threading.Thread(target=target, args=values, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()
        return thread

    def _write_all(self, answers: tuple[Answer, ...]) -> None:
        try:
            if len(answers) == 1:
                self._write(answers[0], self.models.chosen(answers[0].is_stopped))
            else:
                self._write_pair(answers)
        finally:
            with self._lock:
                self._answers.pop(answers[0].conversation, None)
                self._threads.discard(threading.current_thread())

    def _write_pair(self, answers: tuple[Answer, ...]) -> None:
        try:
            is_at_once = self.models.prepare([answer.asked.model for answer in answers])
        except UserError as error:
            for answer in answers:
                self._finish(answer, Message(id=answer.number, role="assistant", text="", state=BROKEN,
                                             problem=str(error)))
            return
        if is_at_once:
            threads = [self._in_thread(f"answer {answer.number}", self._write, answer,
                                       self.models.named(answer.asked.model)) for answer in answers]
            for thread in threads:
                thread.join()
            self._threads.difference_update(threads)
            return
        chosen = self.models.chosen_name()
        with self.models.back_afterwards():
            for answer in sorted(answers, key=lambda one: one.asked.model != chosen):
                self._write(answer, self.models.named(answer.asked.model))

    def _write(self, answer: Answer, who: AbstractContextManager[Answering]) -> None:
        final = Message(id=answer.number, role="assistant", text="", state=BROKEN, problem=BUG)
        keeper = threading.Thread(target=self._keep, args=(answer,), name="keep", daemon=True)
        keeper.start()
        try:
            with who as answering:
                if answer.is_stopped.is_set():          # while it waited for its turn
                    final = replace(final, state=STOPPED, problem="")
                    return
                try:
                    messages = prompt(self.history.path_to(answer.number), answer.asked.system)
                    stream = answering.session.chat(messages, answer.asked.sampling)
                    answer.fill(stream)
                finally:
                    final = answering.signed(final)     # only now: it may have been loading
            end = stream.end
            assert end is not None
            final = replace(final, state=STATES[end.finish_reason], problem="", fingerprint=end.fingerprint,
                            tokens=end.generated_tokens, tokens_per_s=end.tokens_per_s,
                            prompt_tokens=end.prompt_tokens, dropped_turns=end.dropped_turns)
        except UserError as error:
            final = replace(final, problem=str(error))
        finally:
            answer.has_ended.set()
            keeper.join()
            self._finish(answer, final)

    def _finish(self, answer: Answer, final: Message) -> None:
        with contextlib.suppress(Locked):       # it did not end in time: unlocking marks it as interrupted
            self.history.finish(answer.conversation, replace(final, text=answer.text))

    def _keep(self, answer: Answer) -> None:
        kept = ""
        while not answer.has_ended.wait(KEEP_S):
            if answer.text != kept and not self.history.is_locked:
                kept = answer.text
                self.history.write(answer.number, kept)

"""What the chat page does: ask, stop, ask again; an answer belongs to its conversation, not to a page."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from corpus.read import whole_text
from models import library
from models.errors import UserError
from models.library import LocalModel
from runtime.config import SampleConfig
from runtime.session import Session, Stream
from ui.actions.model import CurrentModel, ModelState
from ui.history import BROKEN, CUT, STOPPED, WHOLE, WRITING, Conversation, History, Message

KEEP_S = 0.4                    # a running answer is on disk at most this late
CLOSE_WAIT_S = 3.0
STATES = {"stop": WHOLE, "length": CUT, "cancelled": STOPPED}
BUG = "Something went wrong inside Galen while this answer was written; the terminal shows the details."


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page shows of a conversation."""
    conversation: str
    turns: list[Message]
    is_writing: bool
    version: str                # changes whenever anything above does


class Answer:
    """An answer on its way: what has come so far, and how to end it. Filled by one thread, read by many."""

    def __init__(self, conversation: str, number: int):
        self.conversation, self.number = conversation, number
        self.text, self.count = "", 0
        self.has_ended = threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._is_stop_asked = False

    def fill(self, stream: Stream) -> None:
        """Take every piece of stream. Raises what the stream raises."""
        with self._lock:
            self._stream = stream
            if self._is_stop_asked:
                stream.cancel()
        for piece in stream:
            self.text += piece
            self.count += 1

    def stop(self) -> None:
        """End it within one token, or before its first."""
        with self._lock:
            self._is_stop_asked = True
            if self._stream:
                self._stream.cancel()


class Chat:
    """The chat page's actions over one session and one history."""

    def __init__(self, session: Session, history: History, sample: SampleConfig | None = None):
        self._session, self._history = session, history
        self._sample = sample or SampleConfig()
        self._model = CurrentModel(session)
        self._given: list[LocalModel] = []              # the model that this start was given, if no list has it
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}           # by conversation, while they run
        self._threads: set[threading.Thread] = set()
        history.mark_interrupted()

    # the model

    def models(self) -> list[LocalModel]:
        """The models that can be chosen."""
        return library.chat_models() + self._given

    @property
    def model(self) -> ModelState:
        """The model as it is now: loading, loaded, refused, or silent."""
        return self._model.state

    def preload(self, path: Path | None) -> None:
        """Begin to load the model at path, the embedded one if None: what a start of the app does."""
        try:
            path = path.resolve() if path else library.demo_gguf()
        except UserError as error:
            self._model.refuse(str(error))
            return
        if path not in [model.path for model in self.models()]:
            self._given = [LocalModel(name=str(path), title=path.stem, path=path, notice=library.notice_for(path))]
        self._model.choose(next(model for model in self.models() if model.path == path))

    def choose_model(self, name: str) -> None:
        """Begin to load a listed model. UserError if it is gone, or while an answer is being written."""
        found = [model for model in self.models() if model.name == name]
        if not found:
            raise UserError(f"There is no model {name!r} here any more; reload the page to see what there is.")
        if not self.model.loading and self._model.is_loaded(found[0].path):
            return
        with self._lock:
            if self._answers:
                raise UserError("An answer is still being written. Stop it, or wait for its end, "
                                "before you change the model.")
        self._model.choose(found[0])

    # conversations

    def conversations(self) -> list[Conversation]:
        """All conversations, the one used last first."""
        return self._history.conversations()

    def list_version(self) -> str:
        """Changes whenever conversations() does."""
        return self._history.list_version()

    def delete(self, conversation: str) -> None:
        """Remove a conversation for good; a running answer in it is stopped."""
        self.stop(conversation)
        self._history.delete(conversation)

    def send(self, conversation: str, text: str) -> None:
        """Ask; the answer comes by itself. An id that no conversation has begins one.

        Raises UserError for an empty message, and while an answer is being written here.
        """
        if not text.strip():
            raise UserError("There is nothing to send yet; write a message first.")
        with self._lock:
            self._refuse_second(conversation)
            self._start(conversation, self._history.ask(conversation, whole_text(text.strip())))

    def regenerate(self, conversation: str) -> None:
        """Answer the last question anew. UserError if there is none, or while an answer is being written here."""
        with self._lock:
            self._refuse_second(conversation)
            self._start(conversation, self._history.ask_again(conversation))

    def stop(self, conversation: str) -> None:
        """End the running answer of a conversation within one token; without one, nothing happens."""
        answer = self._answers.get(conversation)
        if answer:
            answer.stop()

    def version(self, conversation: str) -> str:
        """Changes whenever view(conversation) does; only what follows the last ":" does with each piece of text."""
        answer = self._answers.get(conversation)
        running = f"writing:{answer.count}" if answer else ":"
        return f"{conversation}:{self._history.version(conversation)}:{running}"

    def view(self, conversation: str) -> View:
        """The conversation as it is now, with what has come of a running answer."""
        version = self.version(conversation)            # first: a change in between is then seen next time
        answer = self._answers.get(conversation)
        turns = self._history.thread(conversation)
        if answer and turns and turns[-1].id == answer.number and turns[-1].state == WRITING:
            turns[-1] = replace(turns[-1], text=answer.text)
        return View(conversation=conversation, turns=turns, is_writing=bool(answer and turns), version=version)

    def close(self) -> None:
        """Stop what runs, keep it, and end the model's process."""
        for answer in list(self._answers.values()):
            answer.stop()
        for thread in list(self._threads):
            thread.join(CLOSE_WAIT_S)
        self._session.close()
        self._history.close()

    # the answer's own threads

    def _refuse_second(self, conversation: str) -> None:
        if conversation in self._answers:
            raise UserError("An answer is still being written in this conversation. Wait for its end or stop it, "
                            "then send your message.")

    def _start(self, conversation: str, number: int) -> None:
        answer = self._answers[conversation] = Answer(conversation, number)
        thread = threading.Thread(target=self._write, args=(answer,), name=f"answer {number}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _write(self, answer: Answer) -> None:
        final = Message(id=answer.number, role="assistant", text="", state=BROKEN, problem=BUG)
        keeper = threading.Thread(target=self._keep, args=(answer,), name="keep", daemon=True)
        keeper.start()
        try:
            stream = self._session.chat(_prompt(self._history.thread(answer.conversation)), self._sample)
            answer.fill(stream)
            end = stream.end
            assert end is not None
            final = replace(final, state=STATES[end.finish_reason], problem="", fingerprint=end.fingerprint,
                            tokens=end.generated_tokens, tokens_per_s=end.tokens_per_s,
                            dropped_turns=end.dropped_turns)
        except UserError as error:
            final = replace(final, problem=str(error))
        finally:
            answer.has_ended.set()
            keeper.join()
            try:
                self._history.finish(answer.conversation, replace(final, text=answer.text, model=self.model.name,
                                                                  notice=self.model.notice))
            finally:
                with self._lock:
                    self._answers.pop(answer.conversation, None)
                    self._threads.discard(threading.current_thread())

    def _keep(self, answer: Answer) -> None:
        kept = ""
        while not answer.has_ended.wait(KEEP_S):
            if answer.text != kept:
                kept = answer.text
                self._history.write(answer.number, kept)


def _prompt(turns: list[Message]) -> list[dict[str, str]]:
    """The messages for the model. A question that got no answer is left out, so that the turns alternate."""
    messages = []
    for question, answer in zip(turns[:-2:2], turns[1:-2:2], strict=True):
        if answer.text.strip():
            messages += [{"role": "user", "content": question.text}, {"role": "assistant", "content": answer.text}]
    return [*messages, {"role": "user", "content": turns[-2].text}]

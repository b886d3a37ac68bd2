"""Files read into a message: their text, or a picture; what was cut is said in words."""

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from corpus import document
from models import runs
from models.errors import UserError
from runtime.picture import MAX_BYTES, check_picture, picture_size
from ui.actions import uploads
from ui.actions.model import CurrentModel
from ui.history import File, Locked, Message

PICTURES = (".png", ".jpg", ".jpeg")
LEAST_TOKENS = 64               # of a file that is worth reading
CHARS_PER_TOKEN = 3             # where no model is loaded that could count; English has more
MOST_FILES = 8                  # in one message
SPARE_SHARE = 8                 # one part in eight of the context: the question itself, a system prompt, marks, names
Count = Callable[[str], int]    # tokens of a text


class Pending:
    """Files that were read and wait for the question they go with, by conversation. In memory only."""

    def __init__(self, model: CurrentModel):
        self._model = model
        self._lock = threading.Lock()
        self._files: dict[str, tuple[File, ...]] = {}
        self._forgotten = 0                     # how often

    def of(self, conversation: str) -> tuple[File, ...]:
        """The files of a conversation's next question."""
        return self._files.get(conversation, ())

    def version(self, conversation: str) -> str:
        """Changes whenever of(conversation) does."""
        return ",".join(str(id(one)) for one in self.of(conversation))

    def add(self, conversation: str, uploaded: str, turns: Sequence[Message], answer_tokens: int) -> None:
        """Read a file that the page was given. turns, answer_tokens: what else the context has to hold.

        Raises UserError for what can not be read, and Locked if they were locked meanwhile; the upload goes anyway.
        """
        try:
            self._add(conversation, uploaded, turns, answer_tokens)
        finally:
            uploads.drop(uploaded)

    def _add(self, conversation: str, uploaded: str, turns: Sequence[Message], answer_tokens: int) -> None:
        forgotten = self._forgotten
        if len(self.of(conversation)) >= MOST_FILES:
            raise UserError(f"A message can hold {MOST_FILES} files; send these first.")
        count = self._counter()
        waiting = sum(count(one.text) if count else len(one.text) // CHARS_PER_TOKEN for one in self.of(conversation))
        info = self._model.state.info
        ctx_tokens = info.ctx_tokens if info else 4096
        used = turns[-1].prompt_tokens + turns[-1].tokens if turns else 0
        room = ctx_tokens - min(answer_tokens, ctx_tokens // 4) - used - waiting - ctx_tokens // SPARE_SHARE
        file = read(uploaded, room, count)
        with self._lock:
            if self._forgotten != forgotten:
                raise Locked
            self._files[conversation] = (*self.of(conversation), file)

    def remove(self, conversation: str, place: int) -> None:
        """Take out the file at that place, if there is one."""
        with self._lock:
            kept = tuple(one for k, one in enumerate(self.of(conversation)) if k != place)
            self._files[conversation] = kept

    def sent(self, conversation: str, files: Sequence[File]) -> None:
        """Forget the files that a question took along."""
        with self._lock:
            self._files[conversation] = tuple(one for one in self.of(conversation) if one not in files)
            if not self._files[conversation]:
                del self._files[conversation]

    def forget(self) -> None:
        """Forget every file: the conversations are locked."""
        with self._lock:
            self._files = {}
            self._forgotten += 1

    def _counter(self) -> "Count | None":
        if self._model.state.info is None:
            return None

        def count(text: str) -> int:
            with self._model.in_use() as session:
                return len(session.encode(text))
        return count


def read(uploaded: str, room_tokens: int, count: Count | None) -> File:
    """The file that the page was given, as it goes into a message; it is deleted from the folder of uploads.

    Its text is cut to room_tokens, counted by count. Raises UserError for what can not be read, or if there is no room.
    """
    name = uploads.told_name(uploaded)
    runs.make_folder(uploads.upload_folder())           # the next start empties it, should this one be killed now
    with tempfile.TemporaryDirectory(dir=uploads.upload_folder(), prefix=runs.SCRATCH) as folder:
        path = uploads.taken(uploaded, Path(folder), endings=(*document.ENDINGS, *PICTURES))
        if path.suffix.lower() in PICTURES:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{name} has {path.stat().st_size / 1e6:,.0f} MB; a picture may have "
                                f"{MAX_BYTES / 1e6:,.0f}. Make it smaller.")
            data = path.read_bytes()
            check_picture(data)
            width, height = picture_size(data)
            return File(name=name, kind="picture", data=data, note=f"{width:,} x {height:,} pixels")
        text = document.text_of(path, name)
    whole, text = len(text), cut(text, room_tokens, count)
    if len(text) == whole:
        return File(name=name, kind="text", text=text, note=f"{whole:,} characters")
    if not text:
        raise UserError(f"There is no room for {name} in this conversation's context; start a new conversation.")
    note = f"the first {len(text):,} of {whole:,} characters; the rest does not fit the context"
    return File(name=name, kind="text", text=text, note=note)


def cut(text: str, room_tokens: int, count: Count | None) -> str:
    """The longest beginning of text that has room_tokens at most, by whole words; "" where there is too little room."""
    if room_tokens < LEAST_TOKENS:
        return ""
    text = text[:room_tokens * 12]              # no tokenizer makes fewer of real text
    per_char = (count(text) / max(1, len(text))) if count else 1 / CHARS_PER_TOKEN
    while text and per_char * len(text) > room_tokens:
        kept = text[:min(len(text) - 1, int(room_tokens / per_char * 0.98))]
        text = kept.rsplit(maxsplit=1)[0] if " " in kept[-200:] else kept
        if count:
            per_char = count(text) / max(1, len(text))
    return text

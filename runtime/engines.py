"""tasks.engine.Engine over what runs here: a GGUF in its worker process, or transformers in this one."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from models import runs
from models.base import fingerprint as base_fingerprint
from models.errors import UserError
from models.header import fingerprint as file_fingerprint
from models.library import find_base, find_model
from models.tuned import CONFIG, adapter_fingerprint, adapters_before, base_of, check_fingerprint
from runtime.config import LoadConfig, SampleConfig
from runtime.copies import PART, Copies, count
from runtime.pool import conversation_tokens
from runtime.session import Session
from tasks import prompt
from tasks.engine import Answered, Ids, Item
from tasks.prompt import Message

ANSWERS_AT_ONCE = 256                   # prompts of a message to the worker
DEFAULT_SLOTS = LoadConfig().slots
STREAMS_AT_ONCE = 8                     # caches that transformers holds
Row = TypeVar("Row")


class GgufEngine:
    """A GGUF that a session has loaded, with an adapter (a GGUF LoRA) or without."""

    def __init__(self, session: Session, adapter: Path | None = None, copies: Copies | None = None):
        """copies: who else scores. Raises UserError if the model can not chat, or the adapter is not there."""
        info = session.info
        if info is None:
            raise UserError("No model is loaded; choose one first.")
        self._session, self._adapter, self._copies = session, adapter, copies
        self.name = Path(info.path).name + (f" + {adapter.name}" if adapter else "")
        self.fingerprint = _joined([info.fingerprint, *([_of_file(adapter)] if adapter else [])])
        self.ctx_tokens = info.ctx_tokens
        self._start, self._terminator = ([info.bos] if info.bos >= 0 else []), session.terminator()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """See Engine."""
        return self._session.prompt_ids([dict(one) for one in messages])

    def encode(self, text: str) -> list[int]:
        """See Engine."""
        return self._session.encode(text)

    def start(self) -> list[int]:
        """See Engine."""
        return list(self._start)

    def terminator(self) -> int:
        """See Engine."""
        return self._terminator

    def score(self, items: Sequence[Item]) -> list[list[list[float]]]:
        """See Engine."""
        return self._copies.score(items, self._parts) if self._copies else self._parts(items)

    def _parts(self, items: Sequence[Item]) -> list[list[list[float]]]:
        """The scores by this session alone, in the same parts as copies would have them: to the same bits."""
        return [scores for start in range(0, len(items), PART)
                for scores in self._session.score(items[start:start + PART], self._adapter)]

    def answers(self, prompts: Sequence[Ids], max_tokens: int, grammar: str = "") -> list[Answered]:
        """See Engine."""
        _check_room(prompts, self.ctx_tokens)
        sample = SampleConfig(temperature=0.0, max_tokens=max_tokens, grammar=grammar)
        found = []
        for start in range(0, len(prompts), ANSWERS_AT_ONCE):
            found += self._session.complete_many(prompts[start:start + ANSWERS_AT_ONCE], sample, self._adapter)
        return [Answered(text=text.strip(), tokens=tokens, reason=reason) for text, tokens, reason in found]

    def close(self) -> None:
        """End the session."""
        if self._copies:
            self._copies.close()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class ReferenceEngine:
    """A runtime.reference.Reference: transformers in float32. Worker processes only; it follows no grammar."""

    def __init__(self, reference: Any, name: str, fingerprint: str, is_going_on: Callable[[], None] | None = None):
        """is_going_on: called between rows; it may raise, to stop."""
        self._reference, self.name, self.fingerprint = reference, name, fingerprint
        self._check = is_going_on or (lambda: None)
        self._tokenizer = reference.tokenizer
        self.ctx_tokens = conversation_tokens(0, reference.ctx_tokens)
        self._terminator = prompt.terminator(self._tokenizer)
        self._stops = {self._terminator, *self._tokenizer.encode(self._tokenizer.eos, control=True)}

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """See Engine."""
        return prompt.prompt_ids(messages, self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """See Engine."""
        return list(self._tokenizer.encode(text, control=False))

    def start(self) -> list[int]:
        """See Engine."""
        return list(self._tokenizer.encode(self._tokenizer.bos, control=True)) if self._tokenizer.bos else []

    def terminator(self) -> int:
        """See Engine."""
        return self._terminator

    def score(self, items: Sequence[Item]) -> list[list[list[float]]]:
        """See Engine."""
        asked = [(list(ids), [list(one) for one in candidates]) for ids, candidates in items]
        for ids, candidates in asked:
            if not ids or not candidates or not all(candidates):
                raise UserError("There is nothing to score: a prompt and every candidate need at least one token.")
        _check_room([ids + [0] * (max(map(len, candidates)) - 1) for ids, candidates in asked], self.ctx_tokens)
        scores: list[list[list[float]]] = []
        for part in self._parts(asked, 1):
            scores += self._reference.scores(part)
        return scores

    def answers(self, prompts: Sequence[Ids], max_tokens: int, grammar: str = "") -> list[Answered]:
        """See Engine. Raises UserError for a grammar."""
        if grammar:
            raise UserError(f"{self.name} is answered by transformers, which follows no grammar here; use a GGUF.")
        _check_room(prompts, self.ctx_tokens)
        found = []
        for part in self._parts([list(ids) for ids in prompts], STREAMS_AT_ONCE):
            room = [min(max_tokens, self.ctx_tokens - len(ids)) for ids in part]
            made = self._reference.generate_all(part, max(room), self._stops)
            for (ids, reason), most in zip(made, room, strict=True):
                text = self._tokenizer.hf.decode(ids[:most], skip_special_tokens=True).strip()
                found.append(Answered(text=text, tokens=min(len(ids), most),
                                      reason=reason if len(ids) <= most else "length"))
        return found

    def _parts(self, rows: list[Row], size: int) -> Iterator[list[Row]]:
        """rows in parts of size; whole where each call reads the model from disk."""
        size = len(rows) if self._reference.is_layerwise else size
        for start in range(0, len(rows), max(1, size)):
            self._check()
            yield rows[start:start + size]

    def close(self) -> None:
        """Forget the model."""
        self._reference = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def open_engine(source: str, *, exact: bool = False, threads: int = 0, ctx_tokens: int = 0,
                slots: int = DEFAULT_SLOTS) -> GgufEngine | ReferenceEngine:
    """What source names, loaded: a GGUF, or transformers for a model folder, a run or an adapter.

    source: a GGUF's path, a listed name ("demo"), or a folder. A run or export folder that holds one GGUF is that GGUF;
    an adapter (RUN/adapter), a run without a GGUF and a Hugging Face folder are computed by transformers. exact: the
    GGUF with a float32 cache and without flash attention. slots: answers of a GGUF at once.
    Raises UserError if source is nothing that answers.
    """
    folder = next((one for one in (runs.typed(source), runs.home() / "runs" / source) if one.is_dir()), None)
    adapter = None
    if folder is not None:
        adapter = next((one.resolve() for one in (folder, folder / runs.ADAPTER) if (one / CONFIG).is_file()), None)
        is_model = (folder / "config.json").is_file() and any(folder.glob("model*.safetensors"))
        if is_model or adapter == folder.resolve() or (adapter and not _ggufs(folder)):
            return _open_reference(folder.resolve(), adapter, threads)
    load = LoadConfig(exact=exact, threads=threads, ctx_tokens=ctx_tokens, slots=slots)
    path, session = find_model(source), Session()
    try:
        info = session.load(path, load)
        workers = count(path, load)
        alone = replace(load, threads=1, ctx_tokens=info.ctx_tokens)
        return GgufEngine(session, copies=Copies(path, alone, workers) if workers > 1 else None)
    except BaseException:
        session.close()
        raise


def _ggufs(folder: Path) -> list[Path]:
    return [path for place in (folder, folder / runs.EXPORT) for path in place.glob("*.gguf")]


def _open_reference(folder: Path, adapter: Path | None, threads: int) -> ReferenceEngine:
    from runtime.reference import Reference
    base = find_base(base_of(adapter)) if adapter else find_base(str(folder))
    adapters = [*adapters_before(adapter), adapter] if adapter else []
    if adapters:
        check_fingerprint(adapters[0], base)
    name = folder.parent.name if folder.name == runs.ADAPTER else folder.name
    return ReferenceEngine(Reference(base, adapters, threads), name, _joined(
        [base_fingerprint(base), *map(adapter_fingerprint, adapters)]))


def _of_file(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"There is no adapter {path}.")
    return file_fingerprint(path)


def _joined(fingerprints: Sequence[str]) -> str:
    """One fingerprint of several; a single one is itself."""
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:16]


def _check_room(prompts: Sequence[Ids], ctx_tokens: int) -> None:
    """Raise UserError for a prompt behind which the context has no room."""
    longest = max(map(len, prompts), default=0)
    if longest >= ctx_tokens:
        raise UserError(f"A prompt is {longest:,} tokens long and the context holds {ctx_tokens:,}; shorten it, or "
                        "load the model with a longer context.")

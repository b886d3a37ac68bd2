"""Many answers at once on one context: requests join and leave between batches, prompts share batches with streams."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from models.errors import UserError
from runtime.cache import Cache, Sequence
from runtime.config import SampleConfig
from runtime.context import LEAST_CHUNK, Aborted, Context, NoRoom, Row
from runtime.llama import Model
from runtime.picture import Picture
from runtime.sampler import Sampler, top_logprobs
from runtime.text import TextStream
from runtime.vision import Look

MAX_WAITING = 1000
GROWTH_TOKENS = 64                              # room that a request must find beyond its prompt to begin
STALL = 5.0                                     # the longest step while somebody reads, as a multiple of a normal one
SMOOTHING = 0.3
CANCELLED, STOP, LENGTH = "cancelled", "stop", "length"


@dataclass(kw_only=True, eq=False)
class Request:
    """A prompt to continue, and what has come of it. Only is_cancelled is set from another thread."""
    number: int
    ids: list[int]                              # the prompt
    sample: SampleConfig
    dropped_turns: int = 0
    is_read: bool = True                        # somebody reads the answer as it comes
    pictures: Mapping[int, Picture] = field(default_factory=dict)       # by the id that stands for each of its cells
    asked: float = field(default_factory=time.monotonic)
    is_cancelled: bool = False
    all_ids: list[int] = field(default_factory=list)    # the prompt, then what was made
    picture_starts: list[int] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    text: TextStream = field(default_factory=TextStream)
    whole: str = ""                             # the text that was told
    cached: int = 0
    first_at: float = 0.0                       # time.monotonic() of the first and the last token
    last_at: float = 0.0
    sequence: Sequence | None = None
    sampler: Sampler | None = None
    look: Look | None = None                    # at the next picture

    @property
    def pending(self) -> int:
        """Ids that are not in the cache yet."""
        return len(self.all_ids) - (len(self.sequence.ids) if self.sequence else 0)

    @property
    def next_picture(self) -> int:
        """Where the next picture to compute begins; behind everything if there is none."""
        start = len(self.sequence.ids) if self.sequence else 0
        return next((at for at in self.picture_starts if at >= start), len(self.all_ids))

    @property
    def is_streaming(self) -> bool:
        """True once the prompt is computed and tokens come one by one."""
        return bool(self.made) and self.pending <= 1


@dataclass(kw_only=True)
class TokenLogprob:
    """One token of an answer with its log-probability in nats, and the likeliest ones in its place, best first."""
    token: int
    text: str
    logprob: float
    top: list[tuple[int, str, float]]


class Pace:
    """How many prompt tokens a step may take: many when nobody reads, few when somebody does."""

    def __init__(self, batch_tokens: int):
        self._most = batch_tokens
        self._step_s = 0.0                      # of a step without prompt tokens
        self._token_s = 0.0                     # of one prompt token in a step

    def budget(self, is_read: bool) -> int:
        """Prompt tokens for the next step."""
        if not is_read:
            return self._most
        if not self._step_s or not self._token_s:
            return 2 * LEAST_CHUNK              # unknown yet: small
        room_s = (STALL - 1.0) * self._step_s
        return max(LEAST_CHUNK, min(self._most, int(room_s / self._token_s)))

    def note(self, seconds: float, streams: int, prompt_tokens: int) -> None:
        """Learn from a step that took seconds."""
        if not prompt_tokens:
            self._step_s = _smoothed(self._step_s, seconds)
        else:
            base = self._step_s if streams else 0.0
            self._token_s = _smoothed(self._token_s, max(seconds - base, seconds / 10) / prompt_tokens)


def _smoothed(before: float, now: float) -> float:
    return before + SMOOTHING * (now - before) if before else now


class Scheduler:
    """Serves requests on one context in the order they came. Made, stepped and closed by one thread."""

    def __init__(self, model: Model, context: Context, slots: int, ctx_tokens: int,
                 tell: Callable[[Request, str, list[TokenLogprob]], None],
                 end: Callable[[Request, str | UserError], None], look: Callable[[Picture], Look | None] | None = None):
        """tell(request, text, logprobs) for every piece; end(request, reason or error) once, after the last one.

        ctx_tokens: the longest conversation, at most the context's cells; look: runtime.vision.Eyes.look.
        """
        self.context, self.cache = context, Cache(context, slots)
        self._model, self._slots, self._ctx_tokens = model, slots, ctx_tokens
        self._tell, self._end, self._look = tell, end, look
        self._waiting: deque[Request] = deque()
        self._running: list[Request] = []
        self._reading: tuple[Request, ...] = () # whose prompts are in the batch that is being computed
        self._is_full = False                   # nobody else fits until something ends
        self._pace = Pace(context.batch_tokens)

    @property
    def has_work(self) -> bool:
        return bool(self._running or self._waiting)

    @property
    def is_read(self) -> bool:
        """True while somebody's tokens come one by one."""
        return any(one.is_streaming and one.is_read for one in self._running)

    def submit(self, request: Request) -> None:
        """Put request behind those that wait. Raises UserError if it can not be served."""
        if not request.ids:
            raise UserError("The prompt is empty; write something first.")
        if len(request.ids) >= self._ctx_tokens:
            raise UserError(f"The prompt is {len(request.ids):,} tokens long and the context holds "
                            f"{self._ctx_tokens:,}; shorten it, or load the model with a longer context.")
        if len(self._waiting) >= MAX_WAITING:
            raise UserError(f"{MAX_WAITING:,} requests wait already; try again when some are done.")
        request.sampler = Sampler(self._model, request.sample, request.ids)
        request.text = TextStream(request.sample.stop)
        request.all_ids = list(request.ids)
        request.picture_starts = [k for k, token in enumerate(request.ids) if token < 0 and token != request.ids[k - 1]]
        self._waiting.append(request)

    def submit_all(self, requests: list[Request]) -> None:
        """Put all of them behind those that wait, or none of them and raise UserError.

        Where nothing else is at work they begin from an empty cache, so that their answers repeat exactly.
        """
        if not self.has_work and not self.cache.is_scoring:
            self.cache.clear()
        before = len(self._waiting)
        try:
            for request in requests:
                self.submit(request)
        except UserError:
            while len(self._waiting) > before:
                sampler = self._waiting.pop().sampler
                assert sampler
                sampler.close()
            raise

    def cancel(self, request: Request) -> None:
        """End request before its next token; called from any thread."""
        request.is_cancelled = True
        if request in self._reading:
            self.context.abort()

    def prompt_budget(self) -> int:
        """Prompt tokens that a batch beside the streams may take now."""
        return self._pace.budget(self.is_read)

    def step(self) -> None:
        """Let requests leave and join, compute one batch, and draw a token for every stream in it."""
        for one in [one for one in (*self._running, *self._waiting) if one.is_cancelled]:
            self._finish(one, CANCELLED)
        self._admit()
        self._read_picture()
        rows, parts = self._rows()
        if not rows:
            return
        streams = sum(request.is_streaming for request, _, _ in parts)
        began = time.monotonic()
        self._reading = tuple(request for request, _, _ in parts if not request.is_streaming)
        is_read = any(request.is_read for request, _, _ in parts)
        try:
            (self.context.decode if is_read else self.context.decode_steady)(rows)
        except Aborted:
            return
        except NoRoom:
            self._make_room(len(rows))
            return
        finally:
            self._reading = ()
        self._pace.note(time.monotonic() - began, streams, len(rows) - streams)
        for request, count, row in parts:
            assert request.sequence
            start = len(request.sequence.ids)
            self.cache.grow(request.sequence, request.all_ids[start:start + count])
            if not request.pending and not request.is_cancelled:
                self._draw(request, self.context.logits(row))

    @property
    def is_waiting(self) -> bool:
        """True while no request can go on before its next picture has been looked at."""
        return bool(self._running) and all(
            one.sequence and one.next_picture == len(one.sequence.ids) and not one.is_cancelled
            and not (one.look and one.look.done()) for one in self._running)

    def _read_picture(self) -> None:
        """Let the eyes look at what comes next, and compute the cells of one picture that is ready."""
        for request in self._running:
            at = request.next_picture
            if at == len(request.all_ids):      # there is none
                continue
            assert self._look and request.sequence
            picture = request.pictures[request.all_ids[at]]
            request.look = request.look or self._look(picture)
            if at == len(request.sequence.ids) and request.look and request.look.done():
                self._compute_picture(request, request.look, picture)
                return

    def _compute_picture(self, request: Request, look: Look, picture: Picture) -> None:
        assert request.sequence
        error = look.exception()
        if isinstance(error, UserError):
            self._finish(request, error)
            return
        at = len(request.sequence.ids)
        began = time.monotonic()
        self._reading = (request,)
        try:
            self.context.decode_picture(look.result(), at, request.sequence.number)
        except Aborted:
            return
        except NoRoom:
            self._make_room(picture.tokens)
            return
        finally:
            self._reading = ()
        self._pace.note(time.monotonic() - began, 0, picture.tokens)
        self.cache.grow(request.sequence, request.all_ids[at:at + picture.tokens])
        request.look = None

    def _rows(self) -> tuple[list[Row], list[tuple[Request, int, int]]]:
        """The next batch: its rows, and (request, how many rows, index of its last one) for each part."""
        rows: list[Row] = []
        parts = []
        budget = self.prompt_budget()
        for request in sorted(self._running, key=lambda one: not one.is_streaming):
            assert request.sequence
            start = len(request.sequence.ids)
            room = self.context.batch_tokens - len(rows)
            count = min(request.pending, room if request.is_streaming else min(room, budget))
            count = min(count, request.next_picture - start)
            if count <= 0:
                continue
            if not request.is_streaming:
                budget -= count
            last, tags = len(request.all_ids) - 1, (request.sequence.number,)
            rows += [Row(request.all_ids[at], at, tags, at == last) for at in range(start, start + count)]
            parts.append((request, count, len(rows) - 1))
        return rows, parts

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._slots and not self._is_full:
            request = self._waiting[0]
            is_repeatable = request.sample.seed >= 0 and request.sample.temperature > 0.0
            if is_repeatable and not self._running and not self.cache.is_scoring:
                self.cache.clear()              # a seed promises the same text: computed from the same state
            sequence, common = self.cache.begin(request.all_ids, is_fresh=is_repeatable)
            others = sum(one.pending + self._growth(one) for one in self._running)
            if not self.cache.make_room(request.pending - common + self._growth(request) + others) and self._running:
                self.cache.end(sequence)
                self._is_full = True
                return
            self._waiting.popleft()
            self._running.append(request)
            request.sequence, request.cached, request.look = sequence, request.cached or common, None
            if not request.pending:             # the very prompt was computed before, and its logits are kept
                assert sequence.prompt_logits is not None
                self._draw(request, sequence.prompt_logits)

    def _growth(self, request: Request) -> int:
        left = min(request.sample.max_tokens - len(request.made), self._ctx_tokens - len(request.all_ids))
        return max(0, min(left, GROWTH_TOKENS))

    def _make_room(self, cells: int) -> None:
        """After NoRoom: forget what nobody uses, else send the youngest back to wait, else end the only one."""
        if self.cache.make_room(cells):
            return
        if self.cache.held_cells:               # scores can be computed again, an answer can not be taken back
            self.cache.interrupt_scoring()
            return
        youngest = self._running[-1]
        if len(self._running) == 1:
            self._finish(youngest, LENGTH)
            return
        assert youngest.sequence
        self._running.remove(youngest)
        self.cache.drop(youngest.sequence)
        youngest.sequence = None
        self._waiting.appendleft(youngest)
        self._is_full = True

    def _draw(self, request: Request, logits: np.ndarray) -> None:
        """The next token of request under logits (n_vocab,)."""
        assert request.sequence and request.sampler
        if not request.made:
            request.sequence.prompt, request.sequence.prompt_logits = request.ids, logits.copy()
        try:
            token = request.sampler.pick(logits)
        except UserError as error:
            self._finish(request, error)
            return
        request.last_at = time.monotonic()
        request.first_at = request.first_at or request.last_at
        if self._model.is_eog(token):
            self._finish(request, STOP)
            return
        request.made.append(token)
        request.all_ids.append(token)
        logprobs = []
        if request.sample.logprobs >= 0:
            logprobs.append(self._logprob(logits, token, request.sample.logprobs))
        self._say(request, request.text.add(self._model.piece(token)), logprobs)
        if request.text.is_stopped:
            self._finish(request, STOP)
        elif len(request.made) >= request.sample.max_tokens or len(request.all_ids) > self._ctx_tokens:
            self._finish(request, LENGTH)

    def _logprob(self, logits: np.ndarray, token: int, count: int) -> TokenLogprob:
        own, top = top_logprobs(logits, token, count)
        return TokenLogprob(token=token, text=self._text(token), logprob=own,
                            top=[(other, self._text(other), value) for other, value in top])

    def _text(self, token: int) -> str:
        return self._model.piece(token).decode("utf-8", "replace")

    def _say(self, request: Request, text: str, logprobs: list[TokenLogprob]) -> None:
        request.whole += text
        if text or logprobs:
            self._tell(request, text, logprobs)

    def _finish(self, request: Request, reason: str | UserError) -> None:
        self._say(request, request.text.close(), [])
        if request.sampler:
            request.sampler.close()
        if request.sequence:
            self.cache.end(request.sequence)
            self._running.remove(request)
        else:
            self._waiting.remove(request)
        self._is_full = False
        self._end(request, reason)

"""A loaded model and everything it can be asked: one lane for each adapter state, all on the same weights."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.header import fingerprint
from runtime.adapter import Adapter
from runtime.config import LoadConfig, own_sampling
from runtime.context import Context, Row
from runtime.device import default_threads
from runtime.embed import Embedder, offers_embeddings
from runtime.group import Group
from runtime.llama import Model, give_memory_back
from runtime.messages import End, Failed, Loaded, Piece, Scored
from runtime.pool import KEPT_SEQUENCES, conversation_tokens, pool_cells
from runtime.scheduler import Request, Scheduler, TokenLogprob
from runtime.score import Item, Scorer, Scores
from runtime.threads import Watch, tune, tuned_threads
from runtime.vision import Eyes

MAX_LANES = 3                                   # contexts at once: the base and two adapters
SPOKEN_ANSWERS = 512                            # whose ids are remembered
BASE = ""                                       # the name of the base's lane
MARK = "\0"                                     # between an adapter's path and its state in the name of its lane

Tell = Callable[[Any], None]


class Lane:
    """One context: its adapter, its streams, its scoring jobs in order."""

    def __init__(self, model: Model, config: LoadConfig, ctx_tokens: int, adapter: Adapter | None, service: "Service"):
        cells = pool_cells(model.header, config.slots, ctx_tokens)
        self._adapter = adapter
        try:
            self.context = Context(model, config, cells)
        except UserError:
            if adapter:
                adapter.close()
            raise
        if adapter:
            adapter.switch_on(self.context)
        self.fingerprint = fingerprint(adapter.path) if adapter else ""
        self.scheduler = Scheduler(model, self.context, config.slots, ctx_tokens, service.tell_piece, service.tell_end,
                                   service.eyes.look if service.eyes else None)
        self.scorer = Scorer(self.context, self.scheduler.cache, config.slots + KEPT_SEQUENCES)
        self.jobs: deque[tuple[int, Iterator[list[Scores] | None]]] = deque()
        self.used = 0.0                         # time.monotonic()

    @property
    def has_work(self) -> bool:
        return self.scheduler.has_work or bool(self.jobs)

    def close(self) -> None:
        """Give the context's memory back, and the adapter's."""
        self.context.close()
        if self._adapter:
            self._adapter.close()
        give_memory_back()


class Service:
    """What a worker does with one model. For one thread, but for cancel() and reading the vocabulary."""

    def __init__(self, model: Model, config: LoadConfig, tell: Tell):
        """Serve model; tell(message) is called with every answer. Raises UserError if a context does not fit."""
        self.model = model
        self.ctx_tokens = conversation_tokens(config.ctx_tokens, self.model.train_ctx_tokens)
        self.spoken: OrderedDict[str, list[int]] = OrderedDict()    # answers of ours -> their ids as generated
        self._config, self._tell = config, tell
        self._fingerprint = fingerprint(model.header.path)
        self._lanes: dict[str, Lane] = {}
        self._embedder: Embedder | None = None
        self._places: dict[int, tuple[Lane, Request]] = {}
        self._groups: dict[int, tuple[Lane, Group]] = {}
        self._group_of: dict[Request, Group] = {}
        self._cancelled: set[int] = set()       # numbers; one may come before its request is ready
        self._start_threads()
        self.eyes = Eyes(Path(config.projector), model, config, self.threads) if config.projector else None
        if not offers_embeddings(self.model.header):
            self._lane(BASE)                                        # refused now rather than at the first message

    def _start_threads(self) -> None:
        """A number that somebody chose is kept; ours is measured in a quiet moment, and less while others compute."""
        least = default_threads(self.model.header.parameters)
        known = tuned_threads(self._fingerprint) if least > 1 else least
        self.threads = self._config.threads or known or least
        self._watch = None if self._config.threads else Watch(self.threads)
        if self._watch:
            self._watch.threads(time.monotonic())               # from here on it knows what others do
        self._wide = self._watch.free_cores if self._watch else self.threads       # for batches of many rows
        self._tuning: Iterator[None] | None = None
        if not self._config.threads and not known and not offers_embeddings(self.model.header):
            self._tuning = self._tune()

    def _tune(self) -> Iterator[None]:
        """Measure thread counts on one token of a sequence of its own; yields after each step."""
        lane = self._lane(BASE)
        sequence = lane.context.sequences - 1

        def step(threads: int) -> None:
            lane.context.set_threads(threads)
            if lane.scheduler.cache.make_room(1):
                lane.context.decode([Row(0, 0, (sequence,))])
                lane.context.truncate(sequence, 0)
            self.set_threads(self.threads)      # for whoever asks before the next step

        best = yield from tune(step, self._fingerprint)
        if best:
            self._watch, self.threads = Watch(best), best
        self.set_threads(self.threads)

    @property
    def can_tune(self) -> bool:
        """True while the number of threads was not measured yet."""
        return self._tuning is not None

    def tune_step(self) -> None:
        """One step of measuring; call it only while nothing is asked."""
        assert self._tuning is not None
        if next(self._tuning, self) is self:            # that was the last one
            self._tuning = None

    def loaded(self) -> Loaded:
        """What the session is told of the model."""
        header = self.model.header
        can_embed = offers_embeddings(header)
        return Loaded(
            path=str(header.path), name=header.name, fingerprint=self._fingerprint, ctx_tokens=self.ctx_tokens,
            description=f"{header.type_name} · {header.bytes / 1e9:.2f} GB",
            can_chat=bool(header.template) and not can_embed, can_embed=can_embed, slots=self._config.slots,
            threads=self.threads, projector=self._config.projector, bos=next(iter(self.model.bos_ids()), -1),
            sampling=own_sampling(header.metadata))

    @property
    def is_computing(self) -> bool:
        """True while llama.cpp computes a batch: on a slow machine that may take long. Asked by another thread."""
        return any(lane.context.is_computing for lane in list(self._lanes.values())) or (
            self._embedder is not None and self._embedder.is_computing)

    @property
    def has_work(self) -> bool:
        return any(lane.has_work for lane in self._lanes.values())

    def submit(self, request: Request, adapter: str) -> None:
        """Begin to answer request. Raises UserError if it can not be served."""
        lane = self._lane(adapter)
        lane.scheduler.submit(request)
        self._places[request.number] = lane, request
        if request.number in self._cancelled:   # meanwhile, or long before
            request.is_cancelled = True

    def submit_group(self, group: Group, adapter: str) -> None:
        """Begin to answer a group. Raises UserError if one of its requests can not be served."""
        if group.number in self._cancelled:
            return
        lane = self._lane(adapter)
        lane.scheduler.submit_all(group.requests)
        self._groups[group.number] = lane, group
        self._group_of |= dict.fromkeys(group.requests, group)
        if group.number in self._cancelled:     # meanwhile
            self.cancel(group.number)

    def score(self, number: int, items: list[Item], adapter: str) -> None:
        """Begin to score items; they wait for the ones before."""
        if number in self._cancelled:
            return
        lane = self._lane(adapter)
        scheduler = lane.scheduler
        lane.jobs.append((number, lane.scorer.score(
            items, is_alone=lambda: not scheduler.has_work, budget=scheduler.prompt_budget)))

    def embed(self, texts: list[str]) -> Iterator[list[float]]:
        """The vectors of texts, one at a time."""
        if self._embedder is None:
            self._embedder = Embedder(self.model, self._config)
        for text in texts:
            yield self._embedder.embed(text)

    def cancel(self, number: int) -> None:
        """End a request before its next token, or before it begins; called from any thread."""
        self._cancelled.add(number)             # before the look: submit() places first and looks here then
        place, placed = self._places.get(number), self._groups.get(number)
        if place:
            place[0].scheduler.cancel(place[1])
        if placed:
            for request in placed[1].requests:
                placed[0].scheduler.cancel(request)

    def set_threads(self, threads: int) -> None:
        """Compute with so many threads from the next batch on."""
        self.threads = threads
        for lane in self._lanes.values():
            lane.context.set_threads(threads, self._wide)

    def step(self) -> None:
        """One batch for the streams of each lane, and one for its first scoring job."""
        if self._watch:
            threads = self._watch.threads(time.monotonic())
            if (threads, self._watch.free_cores) != (self.threads, self._wide):
                self._wide = self._watch.free_cores
                self.set_threads(threads)
        for lane in list(self._lanes.values()):
            if lane.scheduler.has_work:
                lane.scheduler.step()
            if lane.jobs:
                self._step_job(lane)
        busy = [lane for lane in self._lanes.values() if lane.has_work]
        if self.eyes and busy and all(lane.scheduler.is_waiting and not lane.jobs for lane in busy):
            self.eyes.wait()

    def _step_job(self, lane: Lane) -> None:
        number, job = lane.jobs[0]
        if number in self._cancelled:
            lane.jobs.popleft()
            job.close()                         # type: ignore[attr-defined]
            return
        try:
            scores = next(job)
        except UserError as error:
            lane.jobs.popleft()
            self._tell(Failed(number, str(error), True))
            return
        if scores is not None:
            lane.jobs.popleft()
            job.close()                         # type: ignore[attr-defined]
            self._tell(Scored(number, scores))

    def _lane(self, adapter: str) -> Lane:
        """The lane of an adapter's path, opened now if need be; the one used longest ago makes room."""
        if offers_embeddings(self.model.header):
            raise UserError(f"{self.model.header.path.name} was made for embeddings; it writes no text.")
        name = _file_as_it_is(adapter) if adapter else BASE
        if name not in self._lanes:
            for old in [old for old in self._lanes if old.split(MARK)[0] == adapter and old != BASE]:
                self._drop_lane(old)                                # the file is another one now
            if len(self._lanes) >= MAX_LANES:
                idle = [old for old, lane in self._lanes.items() if not lane.has_work and old != BASE]
                if not idle:
                    raise UserError(f"{MAX_LANES - 1} adapters are answering already; try again when one is done.")
                self._drop_lane(min(idle, key=lambda old: self._lanes[old].used))
            loaded = Adapter(Path(adapter), self.model) if adapter else None
            self._lanes[name] = Lane(self.model, self._config, self.ctx_tokens, loaded, self)
            self._lanes[name].context.set_threads(self.threads, self._wide)
        self._lanes[name].used = time.monotonic()
        return self._lanes[name]

    def _drop_lane(self, name: str) -> None:
        """Give a lane's memory back; one that still answers stays until another is asked for."""
        if not self._lanes[name].has_work:
            self._lanes.pop(name).close()

    def tell_piece(self, request: Request, text: str, logprobs: list[TokenLogprob]) -> None:
        """A piece of an answer has come."""
        if request not in self._group_of:
            self._tell(Piece(request.number, text, [asdict(one) for one in logprobs] if logprobs else []))

    def tell_end(self, request: Request, reason: str | UserError) -> None:
        """An answer has ended."""
        if group := self._group_of.pop(request, None):
            if answer := group.ended(request, reason):
                del self._groups[group.number]
                self._cancelled.discard(group.number)
                self._tell(answer)
            return
        lane, _ = self._places.pop(request.number)
        self._cancelled.discard(request.number)
        if isinstance(reason, UserError):
            self._tell(Failed(request.number, str(reason), True))
            return
        self._remember(request)
        made, seconds = len(request.made), request.last_at - request.first_at
        self._tell(End(
            id=request.number, finish_reason=reason, prompt_tokens=len(request.ids), cached_tokens=request.cached,
            generated_tokens=made, first_token_s=max(0.0, request.first_at - request.asked),
            tokens_per_s=(made - 1) / seconds if made > 1 and seconds > 0 else 0.0, fingerprint=self._fingerprint,
            dropped_turns=request.dropped_turns, adapter=lane.fingerprint))

    def _remember(self, request: Request) -> None:
        """Keep the ids of an answer whose text was told whole, for the next turn's prompt."""
        text = request.whole.strip()
        if not all(map(self.model.piece, request.made)):    # a control token stays what the model said, and no more
            return
        whole = b"".join(map(self.model.piece, request.made)).decode("utf-8", "replace").strip()
        if text and text == whole:
            self.spoken[text] = request.made
            self.spoken.move_to_end(text)
            while len(self.spoken) > SPOKEN_ANSWERS:
                self.spoken.popitem(last=False)


def _file_as_it_is(path: str) -> str:
    """The path with what changes when the file is replaced. Raises UserError if there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        raise UserError(f"There is no adapter {path}.") from None
    return f"{path}{MARK}{found.st_size} {found.st_mtime_ns} {found.st_ino}"

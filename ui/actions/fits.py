"""What fits this computer: a model of the catalog or a file that is here, in words, and the one to begin with."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from models import hub_cache
from models.catalog import Entry, catalog
from models.opened import open_header
from models.projector import projector_for
from runtime.bandwidth import MEASURED, Bandwidth
from runtime.device import Device
from runtime.expect import Expected, of_entry, of_header
from runtime.fit import GPU_RESERVE_MB, HOST_RESERVE_MB, LEAST_CTX_TOKENS, is_unified, ladder
from runtime.pool import conversation_tokens
from ui.actions.measuring import Measuring
from ui.actions.model import CurrentModel
from ui.actions.suggestion import READABLE_S, Outlook, in_words, suggested
from ui.settings import SettingsFile

FITS, LESS, TOO_LARGE, NO_DISK = "fits", "less context", "too large", "no disk"
# A laptop some years old: what is chosen by where nothing is measured, and never shown.
ASSUMED = Bandwidth(gb_s=20.0, by_type=dict.fromkeys(MEASURED, 20.0), step_us=2.0, one_gb_s=8.0, one_step_us=0.5,
                    threads=4, machine=(), measured_at=0.0)
MEASURING = "The speed of this computer is being measured."
UNTOLD = "How fast a model is on {} shows when it runs; only the processor's speed can be told beforehand."
STEP_MB = 500                   # of free memory: a smaller change is no other answer
MB = 10**6


@dataclass(frozen=True, kw_only=True)
class Fits:
    """Whether a model fits, in words for a list."""
    words: str                  # "fits, about 9 tokens/s"
    kind: str                   # FITS, LESS, TOO_LARGE or NO_DISK
    tokens_s: float = 0.0       # 0.0: not known
    ctx_tokens: int = 0         # of the longest conversation with it
    missing_bytes: int = 0      # of memory; for NO_DISK, on the disk
    memory_bytes: int = 0       # about what it takes
    about: str = ""             # what "about" rests on, a sentence

    @property
    def is_slow(self) -> bool:
        """True if one would wait for each word."""
        return 0 < self.tokens_s < READABLE_S


@dataclass(frozen=True, kw_only=True)
class Room:
    """The memory that a model can have, in bytes."""
    host: int                   # now, with the model before it gone
    host_ever: int              # with every other program closed
    gpus: tuple[Device, ...] = ()
    free_gpu: int = 0           # of GPUs that have memory of their own

    @property
    def bytes(self) -> int:
        """On all of them together."""
        return self.host + self.free_gpu


def _memory_mb() -> tuple[int, int]:
    memory = psutil.virtual_memory()
    return memory.available // MB, memory.total // MB


class Machine:
    """What this computer can hold, and how fast. Nothing here waits; the speed is measured in the background."""

    def __init__(self, model: CurrentModel, settings: SettingsFile, measuring: Measuring | None = None,
                 memory_mb: Callable[[], tuple[int, int]] = _memory_mb):
        """memory_mb: what is free now, and all there is."""
        self._model, self._settings, self._memory_mb = model, settings, memory_mb
        self._shown_mb = 0
        self._measuring = measuring or Measuring(lambda: model.is_busy)

    def close(self) -> None:
        """End what runs in the background."""
        self._measuring.close()

    def version(self) -> str:
        """Changes whenever an answer would."""
        measured = self._measuring.bandwidth()
        settings, free_mb = self._settings.value, self.room().bytes // MB
        if abs(free_mb - self._shown_mb) > STEP_MB:
            self._shown_mb = free_mb
        return str(hash((self._shown_mb, measured and measured.measured_at, self._measuring.gpus(),
                         self._measuring.problem(), settings.ctx_tokens, settings.device, settings.gpu_layers)))

    def for_file(self, size: int, entry: Entry, type: str = "", projector_bytes: int = 0) -> Fits:
        """For a model of the catalog as a file of so many bytes that is not here, the disk included."""
        found = self.judged(of_entry(entry, size, type, projector_bytes), entry.ctx_tokens)
        short = size + projector_bytes - free_on_disk()
        if found.kind == TOO_LARGE or short <= 0:
            return found
        return replace(found, kind=NO_DISK, missing_bytes=short,
                       words=f"the disk has {in_words(short)} too little for it")

    def for_local(self, path: Path) -> Fits:
        """For a file that is here. Raises UserError if it is no model."""
        header = open_header(path)
        projector = projector_for(header, "")
        expected = of_header(header, projector.stat().st_size if projector else 0)
        return self.judged(expected, header.ctx_tokens)

    def speed_words(self) -> str:
        """What the speeds rest on, or why none is said; for a list of models."""
        gpus, bandwidth = self.room().gpus, self._measuring.bandwidth()
        if gpus:
            return UNTOLD.format(_names(self.room()))
        if bandwidth is None:
            return self._measuring.problem() or MEASURING
        return (f"Speeds are reckoned from the {bandwidth.gb_s:.0f} GB/s at which this computer read weights in a "
                f"short test. A token is most of a word; from {READABLE_S:.0f} tokens/s on, an answer can be read "
                "while it is written.")

    def outlook(self, size: int, entry: Entry, type: str) -> Outlook:
        """How a file of the catalog that is not here would run, for a suggestion."""
        expected, room = of_entry(entry, size, type), self.room()
        tokens = _ctx_tokens(expected, conversation_tokens(0, entry.ctx_tokens), room)
        memory = expected.memory_bytes(tokens or LEAST_CTX_TOKENS)
        bandwidth = self._measuring.bandwidth()
        return Outlook(memory_bytes=memory, room_bytes=room.bytes, ctx_tokens=tokens,
                       tokens_s=expected.tokens_per_s(bandwidth or ASSUMED), is_measured=bandwidth is not None,
                       gpu=_names(room) if room.gpus and not _is_partly(memory, room) else "",
                       has_disk=size <= free_on_disk())

    def recommended(self) -> tuple[Entry, str, str] | None:
        """(model, type, why in a sentence or two) to begin with; None while the speed is being measured."""
        if self._measuring.gpus() is None or (self._measuring.bandwidth() is None and not self._measuring.problem()):
            return None
        return suggested(catalog(), self)

    def room(self) -> Room:
        """The memory for a model in place of the one in use."""
        settings, (free_mb, total_mb) = self._settings.value, self._memory_mb()
        gpus = () if settings.device == "cpu" or settings.gpu_layers == 0 else self._measuring.gpus() or ()
        own = sum(max(0, gpu.total_mb - GPU_RESERVE_MB) for gpu in gpus if not is_unified(gpu))
        host = free_mb - HOST_RESERVE_MB + _given_back_mb(self._model.pid)
        return Room(host=max(0, host) * MB, host_ever=total_mb * MB * 9 // 10, gpus=gpus, free_gpu=own * MB)

    def judged(self, expected: Expected, own_ctx_tokens: int) -> Fits:
        """For any model of which this is expected. own_ctx_tokens: the context that it was made for."""
        room, wanted = self.room(), conversation_tokens(self._settings.value.ctx_tokens, own_ctx_tokens)
        tokens = _ctx_tokens(expected, wanted, room)
        if not tokens:
            return _too_large(expected, min(wanted, LEAST_CTX_TOKENS), room)
        memory = expected.memory_bytes(tokens)
        if room.gpus:
            words = ", partly on the GPU" if _is_partly(memory, room) else " on the GPU"
            speed, about = 0.0, UNTOLD.format(_names(room))
        else:
            bandwidth = self._measuring.bandwidth()
            speed = expected.tokens_per_s(bandwidth) if bandwidth else 0.0
            words = f", {speed_in_words(speed)}" if speed else ""
            about = self._rests_on(bandwidth)
        begin = "fits" if tokens == wanted else f"fits with less context (about {tokens:,} tokens)"
        return Fits(words=begin + words, kind=FITS if tokens == wanted else LESS, tokens_s=speed, ctx_tokens=tokens,
                    memory_bytes=memory, about=about)

    def _rests_on(self, bandwidth: Bandwidth | None) -> str:
        if bandwidth is None:
            return self._measuring.problem() or MEASURING
        return (f"About: reckoned from the {bandwidth.gb_s:.0f} GB/s at which this computer read 16-bit weights in a "
                f"short test ({bandwidth.threads} thread{'s' * (bandwidth.threads > 1)}); this model itself was not "
                "run.")


def speed_in_words(tokens_s: float) -> str:
    """"about 9 tokens/s", no finer than it is known."""
    digits = 1 if tokens_s < 3 else 0 if tokens_s < 100 else -1 if tokens_s < 1000 else -2
    return f"about {round(tokens_s, digits):,.{max(0, digits)}f} tokens/s"


def free_on_disk() -> int:
    """Bytes that are free where the hub's files are kept."""
    folder = hub_cache.root()
    return shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.is_dir())).free


def _ctx_tokens(expected: Expected, wanted: int, room: Room) -> int:
    """The longest conversation up to wanted that there is room for; 0: none."""
    return next((tokens for tokens in ladder(wanted) if expected.memory_bytes(tokens) <= room.bytes), 0)


def _is_partly(memory: int, room: Room) -> bool:
    return 0 < room.free_gpu < memory


def _names(room: Room) -> str:
    return " and ".join(gpu.description for gpu in room.gpus)


def _too_large(expected: Expected, ctx_tokens: int, room: Room) -> Fits:
    memory = expected.memory_bytes(ctx_tokens)
    missing = memory - room.bytes
    words = f"too large by {in_words(missing)}"
    about = f"It takes about {in_words(memory)} of memory; "
    if memory <= room.host_ever + room.free_gpu:
        words += " now"
        about += "closing other programs may make room."
    else:
        about += "this computer has too little."
    return Fits(words=words, kind=TOO_LARGE, missing_bytes=missing, memory_bytes=memory, about=about)


def _given_back_mb(pid: int | None) -> int:
    """What the end of the model's process gives back beside its mapped file, which counts as free."""
    with contextlib.suppress(psutil.Error):
        if pid:
            memory = psutil.Process(pid).memory_info()
            return max(0, int(memory.rss) - int(getattr(memory, "shared", memory.rss))) // MB
    return 0

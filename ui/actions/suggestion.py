"""The one model of the catalog to begin with on this computer, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.catalog import INFERENCE, Entry
from runtime.fit import COMFORTABLE_CTX_TOKENS

READABLE_S, PLEASANT_S = 5.0, 10.0      # tokens a second: not to wait for each word; as fast as most people read
CAREFUL_SHARE = 0.85                    # of the free memory: other programs go on
SUPERSEDED = ("gemma",)                 # families whose later, smaller models know more
TYPES = ("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")    # fewer bits lose too much of what the model knows


class Judge(Protocol):
    """What is asked of ui.actions.fits.Machine."""

    def outlook(self, size: int, entry: Entry, type: str) -> "Outlook":
        """How a file that is not here would run."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """How a file would run here."""
    memory_bytes: int                   # with ctx_tokens, or with the shortest context where nothing fits
    room_bytes: int
    ctx_tokens: int                     # 0: it does not fit
    tokens_s: float                     # of the processor; an assumption while is_measured is False
    is_measured: bool
    gpu: str = ""                       # which computes it, and holds it whole
    has_disk: bool = True

    @property
    def is_fitting(self) -> bool:
        """True if it can be run, in a short conversation at least."""
        return self.ctx_tokens > 0 and self.has_disk

    @property
    def is_comfortable(self) -> bool:
        """True if it can be run with room to spare, for conversations of a useful length."""
        return (self.is_fitting and self.ctx_tokens >= COMFORTABLE_CTX_TOKENS
                and self.memory_bytes <= CAREFUL_SHARE * self.room_bytes)

    @property
    def is_readable(self) -> bool:
        """True if it writes fast enough."""
        return bool(self.gpu) or self.tokens_s >= READABLE_S


@dataclass(frozen=True, kw_only=True)
class _Choice:
    entry: Entry
    type: str
    bytes: int
    outlook: Outlook


def in_words(count: int) -> str:
    """Bytes of memory or disk, no finer than they are known: "2.1 GB", "300 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 950_000_000 else f"{max(1, -(-count // 10**7)) * 10} MB"


def suggested(entries: Sequence[Entry], judge: Judge) -> tuple[Entry, str, str] | None:
    """(model, type, reason): the largest medical one that runs well; else the largest one that does; else the smallest.

    None if no entry names a file.
    """
    choices = [_Choice(entry=entry, type=file.type, bytes=file.bytes,
                       outlook=judge.outlook(file.bytes, entry, file.type))
               for entry in entries if entry.can(INFERENCE) and entry.family not in SUPERSEDED
               for source in entry.ggufs[:1] for file in source.files if file.type in TYPES]
    if not choices:
        return None
    well = [one for one in choices if one.outlook.is_comfortable and one.outlook.is_readable]
    medical = [one for one in well if one.entry.is_medical]
    if medical or well:
        found = _best_type(_largest(medical or well))
        reason = _reason(found) + ("" if medical else _why_not_medical(choices))
    else:
        found = min(choices, key=lambda one: one.bytes)
        reason = _least(found)
    return found.entry, found.type, reason


def _largest(choices: Sequence[_Choice]) -> list[_Choice]:
    """All types of the one with most parameters; of equals, of the first in the catalog."""
    best = max(choices, key=lambda one: one.entry.parameters_active)
    return [one for one in choices if one.entry.id == best.entry.id]


def _best_type(choices: Sequence[_Choice]) -> _Choice:
    """The most exact one that is still pleasant to read, else the fastest."""
    pleasant = [one for one in choices if one.outlook.gpu or one.outlook.tokens_s >= PLEASANT_S]
    return max(pleasant, key=lambda one: one.bytes) if pleasant else min(choices, key=lambda one: one.bytes)


def _reason(one: _Choice) -> str:
    kind = "medical model" if one.entry.is_medical else "model"
    outlook = one.outlook
    reads = " reads pictures too," if one.entry.can("image") else ""
    return (f"The largest {kind} that runs well on this computer: it takes about {in_words(outlook.memory_bytes)} of "
            f"the {in_words(outlook.room_bytes)} of free memory,{reads} holds conversations of {outlook.ctx_tokens:,} "
            f"tokens, and {_speed(outlook)}.")


def _speed(outlook: Outlook) -> str:
    if outlook.gpu:
        return f"is computed by {outlook.gpu}"
    if not outlook.is_measured:
        return "should write fast enough, though the speed of this computer is not measured yet"
    return f"writes about {outlook.tokens_s:.0f} tokens a second"


def _why_not_medical(choices: Sequence[_Choice]) -> str:
    medical = [one for one in choices if one.entry.is_medical]
    if not medical:
        return ""
    least = min(medical, key=lambda one: one.entry.parameters_active)
    name, outlook = f"{least.entry.title} {least.type}", least.outlook
    if outlook.ctx_tokens and outlook.is_comfortable:
        speed = f"about {outlook.tokens_s:.1f} tokens a second" if outlook.is_measured else "slowly"
        return f" {name} would fit, and write {speed}."
    if outlook.is_fitting:
        return f" {name} would only just fit."
    if outlook.ctx_tokens:
        return f" There is no room on the disk for {name}."
    return f" {name} takes {in_words(outlook.memory_bytes)}, more than is free."


def _least(one: _Choice) -> str:
    outlook = one.outlook
    begin = "The smallest model there is; none runs well on this computer now"
    if not outlook.ctx_tokens:
        return f"{begin}, and this one takes {in_words(outlook.memory_bytes)} of memory, more than is free."
    if not outlook.has_disk:
        return f"{begin}: the disk has too little room even for this one."
    return f"{begin}, for want of memory or speed."

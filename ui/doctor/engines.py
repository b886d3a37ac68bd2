"""What the doctor finds about what computes: llama.cpp's back ends, graphics cards and their drivers."""

import re
from collections.abc import Iterator
from pathlib import Path

from models.errors import UserError
from ui.doctor.finding import AGAIN, BAD, CAUTION, GOOD, NOTHING_TO_DO, Finding, gb, one_line, said
from ui.doctor.packages import installed

ASK_S = 15.0                    # a driver that wakes its card may take some seconds
NVIDIA_SMI = "nvidia-smi"
ASKED = [NVIDIA_SMI, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
CARDS = Path("/sys/class/drm")
MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
ILLEGAL = ("status -4.", "status 3221225501.")          # how a process ends at an instruction the processor lacks
BACKEND = "python launcher.py setup --backend"


def engines() -> Iterator[Finding]:
    """llama.cpp as a child process of ours finds it, then the graphics cards."""
    from runtime import estimate
    used: str | None = None     # not known
    try:
        survey = estimate.library()
    except (UserError, RuntimeError) as error:
        yield _not_loaded(error)
    else:
        used = ", ".join(f"{one.description} ({gb(one.total_mb * 1e6)})" for one in survey.gpus)
        yield Finding(name="llama.cpp", state=GOOD if survey.backends else BAD,
                      found=f"{survey.version}, built for {', '.join(survey.backends) or 'nothing'}",
                      advice=NOTHING_TO_DO if survey.backends else AGAIN)
    yield graphics(used)


def _not_loaded(error: Exception) -> Finding:
    """llama.cpp can not be asked: its process was refused, crashed, or hangs."""
    words = str(error).strip().rpartition("\n")[2]       # of a traceback its last line
    if any(status in words for status in ILLEGAL):
        found = "ends at an instruction that this processor does not have"
        advice = f"It was built for another processor; compile it here: {BACKEND} source"
    elif "can not be loaded" in words:
        found = "its library can not be loaded"
        advice = f"Security software may have removed or blocked it: allow Galen's folder there. {AGAIN}"
    elif "'/proc/" in words:
        found, advice = "can not be asked: this system shows no /proc", "Mount /proc, which a chroot lacks."
    elif "no answer" in words:
        found, advice = "gives no answer", "Restart the computer; if a graphics card hangs, update its driver."
    else:
        ended = re.search(r"status (-?\d+)", words)
        found = f"crashes when it is asked what it can use{f' (status {ended[1]})' if ended else ''}"
        advice = f"{AGAIN} If it crashes again: {BACKEND} cpu"
    return Finding(name="llama.cpp", state=BAD, found=found, advice=advice, personal=one_line(words))


def graphics(used: str | None, within_s: float = ASK_S) -> Finding:
    """Graphics cards and their driver. used: those that llama.cpp can compute with; None if it could not be asked."""
    makers = card_makers()
    try:
        status, words = said(ASKED, within_s)
    except OSError:             # there is no such program
        return other_cards(makers, used)
    if status is None:
        return _card(CAUTION, f"the NVIDIA driver gave no answer within {within_s:.0f} s",
                     "Restart the computer; if that does not help, install the driver anew.")
    cards = nvidia_cards(words) if status == 0 else []
    if not cards:
        return _card(CAUTION, "the NVIDIA driver is here and reaches no card",
                     "Restart the computer; if that does not help, install the driver anew.", one_line(words))
    found = ", ".join(cards)
    if used == "":
        return _card(CAUTION, f"{found}; llama.cpp was built without it", f"To use the card: {BACKEND} cuda (needs the "
                     f"CUDA libraries), or {BACKEND} vulkan")
    if installed("torch").endswith("+cpu"):
        return _card(CAUTION, f"{found}; training uses the processor alone",
                     "Its packages were installed without CUDA; docs/setup.md (torch) says how to have it.")
    return _card(GOOD, found, NOTHING_TO_DO)


def _card(state: str, found: str, advice: str, personal: str = "") -> Finding:
    return Finding(name="Graphics", state=state, found=found, advice=advice, personal=personal)


def other_cards(makers: list[str], used: str | None) -> Finding:
    """Without NVIDIA's driver."""
    if used:
        return _card(GOOD, f"{used}, which llama.cpp can use", NOTHING_TO_DO)
    if "NVIDIA" in makers:
        return _card(CAUTION, "an NVIDIA card, without its driver", "Install NVIDIA's driver to use the card.")
    if "AMD" in makers and used is not None:
        return _card(CAUTION, "an AMD card, which llama.cpp was built without", f"To use the card: {BACKEND} vulkan")
    return _card(GOOD, f"by {' and '.join(makers)}" if makers else "no card was found: the processor computes",
                 NOTHING_TO_DO)


def nvidia_cards(words: str) -> list[str]:
    """What nvidia-smi says of each card, in words; a part of a card (MIG) may have no memory of its own to tell."""
    cards = []
    for line in words.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3:
            size = f", {gb(int(parts[2]) * 2**20)}" if parts[2].isdigit() else ""
            cards.append(f"{parts[0]} (driver {parts[1]}{size})")
    return cards


def card_makers() -> list[str]:
    """Who made the graphics cards, where the system's kernel tells (Linux)."""
    found = []
    for file in sorted(CARDS.glob("card*/device/vendor")):
        maker = MAKERS.get(file.read_text(encoding="ascii", errors="replace").strip())
        if maker and maker not in found:
            found.append(maker)
    return found

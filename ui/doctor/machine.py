"""What the doctor finds about the computer itself: Python, system, processor, memory."""

import ctypes
import platform
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from ui.doctor.finding import BAD, CAUTION, GOOD, NOTHING_TO_DO, Finding, gb, said

OLDEST, NEWEST = (3, 11), (3, 14)               # what every pin has wheels for
CPU_INFO = Path("/proc/cpuinfo")
FEATURES = {"avx": "AVX", "avx2": "AVX2", "f16c": "F16C", "fma": "FMA", "avx512f": "AVX-512", "avx_vnni": "AVX-VNNI",
            "amx_int8": "AMX", "asimd": "NEON", "asimddp": "NEON dot product", "i8mm": "I8MM", "sve": "SVE"}
MAC_FEATURES = {"hw.optional.avx2_0": "AVX2", "hw.optional.f16c": "F16C", "hw.optional.avx512f": "AVX-512",
                "hw.optional.neon": "NEON", "hw.optional.arm.FEAT_DotProd": "NEON dot product",
                "hw.optional.arm.FEAT_I8MM": "I8MM"}
WINDOWS_FEATURES = {39: "AVX", 40: "AVX2", 41: "AVX-512", 19: "NEON", 43: "NEON dot product"}
ASK_S = 5.0
SMALL_BYTES, LITTLE_FREE, TOO_LITTLE_FREE = 4e9, 1.5e9, 4e8     # of memory


def python() -> Iterator[Finding]:
    """The Python that runs this."""
    version, bits = sys.version_info, 8 * struct.calcsize("P")
    is_free_threaded = "free-threading" in sys.version
    found = f"{platform.python_version()}, {bits}-bit" + (", free-threaded" if is_free_threaded else "")
    is_known = OLDEST <= version[:2] <= NEWEST and bits == 64 and not is_free_threaded
    yield Finding(name="Python", state=GOOD if is_known else BAD, found=found, personal=sys.executable,
                  advice=NOTHING_TO_DO if is_known else "Galen needs an ordinary 64-bit Python 3.11 to 3.14: "
                                                        "https://www.python.org/downloads/")


def system() -> Iterator[Finding]:
    """The operating system."""
    name, kind = platform.system(), platform.machine()
    is_intel_mac = (name, kind) == ("Darwin", "x86_64")
    yield Finding(name="System", state=CAUTION if is_intel_mac else GOOD, found=f"{name} {platform.release()}, {kind}",
                  advice="Training has no packages for Intel Macs; chatting may work." if is_intel_mac
                  else NOTHING_TO_DO)


def processor() -> Iterator[Finding]:
    """Its name, cores, and the instructions that llama.cpp is built for."""
    from runtime.device import machine
    here, has = machine(), features()
    is_old = platform.machine() in ("x86_64", "AMD64") and "AVX2" not in has and sys.platform != "darwin"
    found = f"{here.cpu}, {here.cores} cores, {here.threads} threads; {', '.join(has) or 'features not known'}"
    advice = ("Ready-made llama.cpp needs AVX2: keep the one compiled here (python launcher.py setup --backend "
              "source). It will be slow.")
    yield Finding(name="Processor", state=CAUTION if is_old else GOOD, found=found,
                  advice=advice if is_old else NOTHING_TO_DO)


def features() -> tuple[str, ...]:
    """The processor's features that matter to llama.cpp, as people call them; none where the system does not say."""
    if sys.platform == "linux":
        return linux_features(CPU_INFO.read_text(encoding="utf-8", errors="replace"))
    if sys.platform == "darwin":
        _, text = said(["sysctl", *MAC_FEATURES], ASK_S)
        return tuple(name for key, name in MAC_FEATURES.items() if re.search(rf"^{re.escape(key)}: 1$", text, re.M))
    if sys.platform == "win32":
        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return tuple(name for number, name in WINDOWS_FEATURES.items() if has(number))
    return ()


def linux_features(text: str) -> tuple[str, ...]:
    """The same from the text of /proc/cpuinfo: "flags" of x86, "Features" of ARM."""
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.M)
    has = line[1].split() if line else []
    return tuple(name for flag, name in FEATURES.items() if flag in has)


def memory() -> Iterator[Finding]:
    """All of it, and what programs can have now."""
    import psutil
    now = psutil.virtual_memory()
    found = f"{gb(now.total)}, of which {gb(now.available)} are free"
    if now.available < TOO_LITTLE_FREE:
        state, advice = BAD, "Close other programs: hardly any model fits into what is left."
    elif now.available < LITTLE_FREE:
        state, advice = CAUTION, "Close other programs before a large model is loaded."
    elif now.total < SMALL_BYTES:
        state, advice = CAUTION, "Choose small models (up to 1B parameters)."
    else:
        state, advice = GOOD, NOTHING_TO_DO
    yield Finding(name="Memory", state=state, found=found, advice=advice)

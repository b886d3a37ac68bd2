"""One finding of the doctor: what was looked at, what was found, and what to do about it. Standard library only."""

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from models.errors import UserError

GOOD, CAUTION, BAD = "good", "caution", "bad"
NOTHING_TO_DO = "Nothing to do."
AGAIN = "Close Galen, delete the folder .venv beside launcher.py, and run: python launcher.py"
# What a look at a damaged set-up can end with: packages missing, half copied or of another version, a broken disk.
FAILURES = (UserError, OSError, ImportError, SyntaxError, EOFError, NameError, AttributeError, LookupError,
            ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError, subprocess.SubprocessError)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """name, found and advice go into the report that a person may send; personal is shown on this computer only."""
    name: str                   # "Memory"
    state: str                  # GOOD, CAUTION: it works with less; BAD: something does not work, and can be mended
    found: str                  # "16.6 GB, of which 9.1 GB are free"
    advice: str = NOTHING_TO_DO         # one line
    personal: str = ""          # a path, an address, another program's name, the words of an error


Look = Callable[[], Iterable[Finding]]


def looked(name: str, look: Look) -> list[Finding]:
    """What look finds; a look that fails is a finding called name, so that the others are still made."""
    try:
        return list(look())
    except ModuleNotFoundError as error:
        return [Finding(name=name, state=CAUTION, found=f"not looked at: the package {error.name} is missing",
                        advice="Set Galen up first; see Packages for chat.")]
    except (ImportError, SyntaxError) as error:         # Galen would end at the same line
        return [Finding(name=name, state=BAD, found=f"a package that it needs is damaged ({type(error).__name__})",
                        advice=AGAIN, personal=one_line(str(error)))]
    except FAILURES as error:
        return [Finding(name=name, state=CAUTION, found=f"could not be found out ({type(error).__name__})",
                        advice="If a finding above is bad, mend that first; else send us a report (doctor --bundle).",
                        personal=one_line(str(error)))]


def one_line(text: str) -> str:
    """text on one line, and not too much of it."""
    return " ".join(text.split())[:500]


def gb(count: float) -> str:
    """Bytes in GB (10^9), one decimal."""
    return f"{count / 1e9:.1f} GB"


def said(command: list[str], within_s: float) -> tuple[int | None, str]:
    """(exit status, what it printed) of another program; status None: it did not end in time, and was given up.

    Raises FileNotFoundError where there is no such program. A driver that hangs can not be ended, so nothing waits
    for it.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return None, ""
    return process.returncode, output

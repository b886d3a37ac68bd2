"""The plain text of a PDF, a Word file or a text file, read in a process of its own: these formats come from anywhere.

`python -m corpus.document FILE` prints it; status 2 and one sentence on stderr for a file that the user can fix.
"""

import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models import outside, runs
from models.errors import UserError

ENDINGS = (".pdf", ".docx", ".txt", ".md")
LONGEST = 2_000_000             # characters; nothing here is given to a model whole
MOST_BYTES = 100 << 20
TIME_S, MEMORY_MB = 30.0, 1500
READ_S = 15.0                   # after which what was read of a long document is enough
LOOK_S = 0.05                   # between two looks at the child's memory
REFUSED = 2
NO_TEXT = "{} holds no text: its pages may be pictures. Run a text recognition over it, or copy the text in yourself."


def text_of(path: Path, name: str = "") -> str:
    """The text of the file at path, called name in what is said of it. Cut at LONGEST.

    Raises UserError for another kind of file, a broken or locked one, one without text, and one that takes more time
    or memory than a document should.
    """
    name = name or path.name
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{name} can not be read into a message; use one of {', '.join(ENDINGS)}.")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{name} has {path.stat().st_size / 1e6:,.0f} MB; a document of up to {MOST_BYTES / 1e6:,.0f} "
                        "MB can be read.")
    environment = {**os.environ, "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "corpus.document", str(path)], cwd=runs.ROOT, env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    limit = threading.Event()
    watch = threading.Thread(target=_watch, args=(process, limit), name="document", daemon=True)
    watch.start()
    told, errors = process.communicate()
    watch.join()
    text = told.decode("utf-8", "replace").strip()
    if limit.is_set():
        raise UserError(f"{name} takes more time or memory than a document should; it may be damaged or made to do "
                        "harm. Copy the part you need into the message.")
    if process.returncode == REFUSED:
        raise UserError(errors.decode("utf-8", "replace").strip().splitlines()[-1].replace(path.name, name))
    if process.returncode:
        raise UserError(f"{name} can not be read; it is damaged, or no {path.suffix[1:].upper()} file. Save it again, "
                        "or copy its text into the message.")
    if not text:
        raise UserError(NO_TEXT.format(name))
    return text


def _watch(process: "subprocess.Popen[bytes]", limit: threading.Event) -> None:
    """End the process when it takes too long or too much, and say so by limit."""
    import psutil
    until = time.monotonic() + TIME_S
    while process.poll() is None:
        try:
            used_mb = psutil.Process(process.pid).memory_info().rss / 1e6
        except psutil.Error:
            used_mb = 0.0               # it has ended
        if used_mb > MEMORY_MB or time.monotonic() > until:
            limit.set()
            process.kill()
            return
        try:
            process.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            continue


def _bound() -> None:
    """Let the system refuse memory at once, where it can: between two looks of the parent much can be asked for."""
    if sys.platform == "linux":
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY_MB * 10**6, 2 * MEMORY_MB * 10**6))
        resource.setrlimit(resource.RLIMIT_CPU, (int(TIME_S) + 5, int(TIME_S) + 5))


def _parts(path: Path) -> Iterator[str]:
    kind = path.suffix.lower()
    if kind == ".pdf":
        yield from _of_pdf(path)
    elif kind == ".docx":
        yield from _of_word(path)
    else:
        from corpus.formats.encoding import text_of as text_file
        with text_file(path).open() as file:
            yield file.read(LONGEST)


def _of_pdf(path: Path) -> Iterator[str]:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import FileNotDecryptedError, PdfReadError
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        for page in PdfReader(path).pages:
            yield page.extract_text() + "\n\n"
    except FileNotDecryptedError:
        raise UserError(f"{path.name} is locked with a password; save it without one first.") from None
    except PdfReadError as error:
        raise UserError(f"{path.name} can not be read as a PDF ({error}); save it again.") from error


def _of_word(path: Path) -> Iterator[str]:
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError
    try:
        yield from _blocks(Document(str(path)).element.body)
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path.name} can not be read as a Word file; save it again as .docx.") from error


def _blocks(parent: Any) -> Iterator[str]:
    """The paragraphs and tables under an element, also those in a form's fields; a text box is written twice in it."""
    for child in parent.iterchildren("{*}p", "{*}tbl", "{*}sdt", "{*}sdtContent", "{*}customXml"):
        kind = child.tag.rpartition("}")[2]
        if kind == "p":
            runs_of = child.xpath(".//w:r[not(ancestor::*[local-name()='Fallback'])]")
            yield "".join(run.text for run in runs_of) + "\n"
        elif kind == "tbl":
            for row in child.xpath("./w:tr | ./w:sdt/w:sdtContent/w:tr"):
                cells = row.xpath("./w:tc | ./w:sdt/w:sdtContent/w:tc")
                yield " | ".join("".join(_blocks(cell)).strip() for cell in cells) + "\n"
            yield "\n"
        else:
            yield from _blocks(child)


def main(path: Path) -> int:
    """Print the text of path: LONGEST characters at most, and what READ_S seconds give. Returns the exit status."""
    _bound()
    left, until = LONGEST, time.monotonic() + READ_S
    try:
        for part in _parts(path):
            sys.stdout.write(part[:left])
            left -= len(part)
            if left <= 0 or time.monotonic() > until:
                break
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    outside.watch()
    sys.exit(main(Path(sys.argv[1])))

"""A checked GGUF made into a model of a running Ollama, and one prompt through it beside our own answer.

Only the address that Ollama's own OLLAMA_HOST names (else this machine) is talked to, through its official client.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from convert import modelfile
from convert.modelfile import Modelfile
from models.errors import UserError
from tasks.prompt import Message

HOST = "OLLAMA_HOST"
given = os.environ.pop(HOST, None)              # the library makes a client when it is imported, and fails with a
try:                                            # bad address: so would every export, to Ollama or not
    import ollama
finally:
    if given is not None:
        os.environ[HOST] = given

Progress = Callable[[str, int, int], None]      # (text, done, of); may raise to stop
CHUNK_BYTES = 1 << 20
OLDEST = (0, 5, 5)                              # the first version that creates a model from files and a template
GREEDY = {"temperature": 0.0, "top_k": 1, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "presence_penalty": 0.0,
          "frequency_penalty": 0.0, "seed": 0}
ANSWER_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said. reason: "stop" or "length"; prompt_tokens: None where the engine does not say."""
    text: str
    prompt_tokens: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One prompt, answered greedily here and by Ollama."""
    ours: Answer
    theirs: Answer

    @property
    def is_ok(self) -> bool | None:
        """True: the same words. None: the same prompt, other words (another build rounds otherwise). False: neither."""
        if self._is_other_prompt or (self.ours.text.strip() and not self.theirs.text.strip()):
            return False
        return True if self.theirs.text.strip() == self.ours.text.strip() else None

    @property
    def _is_other_prompt(self) -> bool:
        counts = {self.ours.prompt_tokens, self.theirs.prompt_tokens} - {None}
        return len(counts) > 1

    @property
    def note(self) -> str:
        """The comparison in a sentence."""
        ours, theirs = self.ours, self.theirs
        if self._is_other_prompt:
            return (f"Ollama reads the prompt as {theirs.prompt_tokens} tokens and we as {ours.prompt_tokens}: "
                    "its template gives another prompt")
        if self.is_ok:
            return f"the same answer, {len(ours.text.split())} words, ended by {theirs.reason}"
        if self.is_ok is False:
            return "Ollama answers nothing"
        same = next((k for k, (a, b) in enumerate(zip(ours.text, theirs.text, strict=False)) if a != b),
                    min(len(ours.text), len(theirs.text)))
        return f"the same prompt, and the first {same} characters of the answer; then other words"


class Client(ollama.Client):
    """Ollama's client, which also says how much of a file is sent.

    Raises UserError where OLLAMA_HOST is no address.
    """

    def __init__(self) -> None:
        try:
            super().__init__(timeout=httpx.Timeout(None, connect=10))
        except (ValueError, httpx.InvalidURL) as error:
            raise _no_address(str(error)) from error
        if self._client.base_url.scheme not in ("http", "https"):
            raise _no_address("it begins with neither http:// nor https://")

    def version(self) -> str:
        """The version of the running server."""
        return str(self._request_raw("GET", "/api/version").json().get("version", ""))

    def has_blob(self, digest: str) -> bool:
        """True if the server holds a file with this "sha256:..." already."""
        try:
            self._request_raw("HEAD", f"/api/blobs/{digest}")
        except ollama.ResponseError as error:
            if error.status_code == 404:
                return False
            raise
        return True

    def send_blob(self, path: Path, digest: str, progress: Progress) -> None:
        """Post a file, chunk by chunk; the server checks its digest."""
        size = path.stat().st_size
        self._request_raw("POST", f"/api/blobs/{digest}", content=_chunks(path, f"Sending {path.name}", progress),
                          headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"})


def check_host() -> None:
    """Raise UserError where OLLAMA_HOST is no address; whether anything answers there is not asked."""
    Client().close()


def create(name: str, folder: Path, described: Modelfile, progress: Progress,
           digests: Mapping[str, str] | None = None) -> None:
    """Make the files in folder that described names into Ollama's model called name.

    digests: hex sha256 of files by name, where known. Raises UserError if Ollama does not run (saying how to start
    it, and how to create the model later), is too old, or refuses; the folder is left as it is.
    """
    modelfile.check_name(name)
    with _said(name, folder), Client() as client:
        _check_version(client.version())
        files = {}
        for file in filter(None, (described.model, described.projector)):
            known = (digests or {}).get(file) or sha256(folder / file, f"Reading {file}", progress)
            files[file] = f"sha256:{known}"
            if not client.has_blob(files[file]):
                client.send_blob(folder / file, files[file], progress)
        status = ""
        for step in client.create(model=name, files=files, template=described.template, system=described.system or None,
                                  parameters=described.parameters, license=described.licence or None, stream=True):
            status = step.status or ""
            progress(f"Ollama: {status}", step.completed or 0, step.total or 1)
        if status != "success":
            raise UserError(f"Ollama ended without making {name!r}; its last word was {status!r}.")


def compare(name: str, messages: Sequence[Message], ours: Callable[[Sequence[Message], int], Answer],
            max_tokens: int = ANSWER_TOKENS) -> Comparison:
    """Answer messages greedily by Ollama's model and by ours(messages, max_tokens).

    Raises UserError as create does.
    """
    with _said(name, None), Client() as client:
        client.generate(model=name, keep_alive=0)       # unloads it: with nothing cached, the whole prompt is counted
        got = client.chat(model=name, messages=list(messages), options={**GREEDY, "num_predict": max_tokens})
    theirs = Answer(text=got.message.content or "", prompt_tokens=got.prompt_eval_count, reason=got.done_reason or "")
    return Comparison(ours=ours(messages, max_tokens), theirs=theirs)


def sha256(path: Path, text: str, progress: Progress) -> str:
    """The hex digest of a file."""
    digest = hashlib.sha256()
    for chunk in _chunks(path, text, progress):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path, text: str, progress: Progress) -> Iterator[bytes]:
    size, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            progress(text, done, size)


def _check_version(version: str) -> None:
    """Raise UserError for a version that knows another way to create a model."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found and tuple(map(int, found.groups())) < OLDEST and version != "0.0.0":       # what a self-built one says
        raise UserError(f"The running Ollama is {version}; creating a model from here needs "
                        f"{'.'.join(map(str, OLDEST))} or newer. Update it, or run `ollama create` in the folder.")


@contextmanager
def _said(name: str, folder: Path | None) -> Iterator[None]:
    """Turns what the client raises into one line; folder: where the Modelfile lies."""
    later = f" To do it later: `ollama create {name} -f {modelfile.NAME}` in {folder}." if folder else ""
    try:
        yield
    except ollama.ResponseError as error:
        raise UserError(f"Ollama refused {name!r}: {_line(str(error.error))}.{later}") from error
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UserError("Ollama does not run here: start it (open the app, or run `ollama serve`) and try again."
                        + later) from error
    except httpx.TransportError as error:
        raise UserError(f"The connection to Ollama broke off ({_line(str(error)) or type(error).__name__}).{later}"
                        ) from error


def _no_address(why: str) -> UserError:
    return UserError(f"{HOST} is no address ({_line(why)}); correct or remove it.")


def _line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")

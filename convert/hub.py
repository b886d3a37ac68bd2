"""A hand-over folder uploaded to a repository of the Hugging Face hub, after a scan of its texts for identifiers.

The upload runs in a process of its own, `python -m convert.hub FOLDER REPO [--public]`: only there is the hub library
imported online.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.handover import handed_over
from models import online, outside, token
from models.errors import UserError
from models.header import read_metadata
from models.hub_words import hub_host
from runtime import child
from tasks.phi import Hit, find

TEXTS = {".json", ".jsonl", ".md", ".txt", ".html", ".jinja", ".csv", ".toml", ""}
VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt", "model.safetensors.index.json")    # the base's own pieces
LARGEST_TEXT = 64 << 20                         # bytes; what is larger is no text of ours
SHOWN_HITS = 5
# What a model card, a report or a header should not tell of a person. Dates, places and names without a title are not
# among them: a licence and a card are full of those.
PERSONAL = {"e-mail", "telephone", "fax", "social security number", "record number", "health plan number",
            "network address", "home folder"}
TITLE = re.compile(r"(?:\b(?:Mrs?|Ms|Miss|Dr|Prof|Professor)\.? |\b(?:patient|full) name:? )$", re.IGNORECASE)
BIRTH = re.compile(r"\b(?:born(?: on)?|date of birth|birth ?date|d\.?o\.?b\.?)[:, ]{0,3}(?:is )?$", re.IGNORECASE)
PUBLIC = ("https://huggingface.co/", "https://ai.google.dev/", "https://developers.google.com/", "https://github.com/",
          "http://www.w3.org/", "https://www.apache.org/", "http://www.apache.org/")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """An identifier in a file; where: its line, or the key of a GGUF's metadata."""
    file: str
    where: str
    hit: Hit

    def __str__(self) -> str:
        return f"{self.file}, {self.where}: {self.hit.kind} {self.hit.text!r}"


def identifiers(folder: Path, names: Sequence[str], known: Sequence[str] = ()) -> list[Found]:
    """What looks like personal data in the texts among these files, the metadata of GGUFs and safetensors included.

    known: public texts (a licence, the base's template); what stands in them is no find.
    """
    found = []
    for name in names:
        for where, text in _texts(folder / name):
            for hit in find(text, known):
                if _is_personal(hit, text):
                    found.append(Found(file=name, where=where or f"line {hit.line}", hit=hit))
    return found


def upload(folder: Path, repo: str, progress: Progress, *, is_public: bool = False, allow_identifiers: bool = False,
           known: Sequence[str] = ()) -> str:
    """Upload what the folder's SHA256SUMS lists in one commit; return the repository's address.

    The repository is private unless is_public. progress(text, done, of) may raise to stop; nothing is committed then.
    Raises UserError if the texts hold what looks like personal data (unless allowed), the token is missing, wrong or
    not enough, a repository that exists is public and should not be or the other way round, or the hub can not be
    reached.
    """
    found = identifiers(folder, handed_over(folder), known)
    if found and not allow_identifiers:
        shown = "; ".join(map(str, found[:SHOWN_HITS]))
        more = f"; and {len(found) - SHOWN_HITS} more" if len(found) > SHOWN_HITS else ""
        raise UserError(f"Nothing was uploaded: {len(found)} places in {folder} look like personal data. {shown}{more}"
                        ". Take them out, or allow them if they are none.")
    return _in_child([str(folder), repo, *(["--public"] if is_public else [])], progress)


def _is_personal(hit: Hit, text: str) -> bool:
    left = text[max(0, hit.start - 30):hit.start]
    if hit.kind == "web address":
        return not hit.text.startswith(PUBLIC)
    return hit.kind in PERSONAL or bool(hit.kind == "name" and TITLE.search(left)) or bool(
        hit.kind == "date" and BIRTH.search(left))


def _texts(path: Path) -> list[tuple[str, str]]:
    """(key, text) of what a file holds for people to read; key "" for a plain text file."""
    if path.suffix == ".gguf":
        metadata = read_metadata(path)
        return [(key, text) for key, value in metadata.items() if not key.startswith("tokenizer.ggml.")
                for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    if path.suffix not in TEXTS or path.name in VOCABULARY or path.stat().st_size > LARGEST_TEXT:
        return []
    return [("", path.read_text(encoding="utf-8", errors="replace"))]


def _in_child(arguments: list[str], progress: Progress) -> str:
    options = child.options()
    options["env"] = online.environment(options["env"])
    process = subprocess.Popen(child.command("convert.hub", *arguments), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, encoding="utf-8", **options)
    assert process.stdout and process.stderr
    address = ""
    try:
        for line in process.stdout:
            said = json.loads(line)
            address = said.get("address", address)
            progress(said["text"], said["done"], said["of"])
        errors = process.stderr.read().strip()
        status = process.wait()
    finally:
        process.kill()
        process.communicate()
    if status == 2:
        raise UserError(errors.splitlines()[-1] if errors else "The upload failed.")
    if status:
        raise RuntimeError(f"The upload ended with status {status}:\n{token.hidden(errors)[-4000:]}")
    return address


def main() -> None:
    """The child: uploads, says one JSON object a line, ends with 2 and one line on stderr for what a person can fix."""
    parser = argparse.ArgumentParser(prog="convert.hub")
    parser.add_argument("folder", type=Path)
    parser.add_argument("repo")
    parser.add_argument("--public", action="store_true")
    asked = parser.parse_args()
    outside.watch()
    try:
        with outside.reason(f"the hub: upload to {asked.repo}"):
            _upload(asked.folder, asked.repo, asked.public)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def _upload(folder: Path, name: str, is_public: bool) -> None:
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    used = token.find()
    if used is None:
        raise UserError(f"There is no token for the hub: make one with the right to write at {token.PAGE}, and "
                        f"{token.KEEP}.")
    api = HfApi(token=token.for_hub())
    try:
        _say("Making the repository", 0, 1)
        repo = api.create_repo(name, private=not is_public, exist_ok=True).repo_id
        is_private = api.repo_info(repo).private
        if not is_public and not is_private:
            raise UserError(f"{repo} exists already and is public; choose another repository, or export with public.")
        if is_public and is_private:
            raise UserError(f"{repo} exists already and is private; make it public on the hub's own page, choose "
                            "another repository, or export without public.")
        names = handed_over(folder)
        additions = [CommitOperationAdd(path_in_repo=one, path_or_fileobj=folder / one) for one in names]
        for k, addition in enumerate(additions):
            _say(f"Uploading {addition.path_in_repo}", k, len(additions))
            api.preupload_lfs_files(repo, additions=[addition], num_threads=1)
        commit = api.create_commit(repo, operations=additions, commit_message="Upload a checked export")
        _say("Uploaded", len(additions), len(additions), address=str(commit.repo_url))
    except HFValidationError as error:
        raise UserError(f"{name!r} is no name for a repository; use owner/name.") from error
    except (HfHubHTTPError, httpx2.HTTPError, RuntimeError, ValueError) as error:
        raise _explained(error, name, used, HfHubHTTPError, httpx2.HTTPError) from error


def _explained(error: Exception, repo: str, used: token.Token, refused: type[Exception],
               unreachable: type[Exception]) -> BaseException:
    """The error in one line for a person; what is no answer of the hub and no broken connection stays as it is."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, refused | unreachable):
        cause = cause.__cause__
    if isinstance(cause, refused):
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        texts = {401: f"The hub does not know your token, which {used.source} holds; make a new one with the right to "
                      f"write at {token.PAGE}, and {token.KEEP}.",
                 403: f"Your token may not write to {repo}; use one with the right to write, or a repository of yours.",
                 404: f"The hub knows no repository or owner {repo}; check the name."}
        return UserError(texts.get(status) or f"The hub refused the upload to {repo} (status {status}): "
                                              f"{_line(cause, used)}.")
    if cause:
        return UserError(f"The hub at {hub_host()} can not be reached ({_line(cause, used) or type(cause).__name__}); "
                         "check the connection and try again.")
    return error


def _line(error: Any, used: token.Token) -> str:
    """What the error says, without the token, which a proxy may have put into its answer."""
    return token.hidden(" ".join(str(error).replace(used.value, "...").split()))[:200].rstrip(".")


def _say(text: str, done: int, of: int, **more: str) -> None:
    print(json.dumps({"text": text, "done": done, "of": of, **more}), flush=True)


if __name__ == "__main__":
    main()

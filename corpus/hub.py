"""A dataset of the Hugging Face hub, fetched by a process of its own: the only part of corpus/ that goes online.

As a program (python -m corpus.hub OWNER/NAME SUBSET SPLIT ROWS FOLDER) it writes each split as a Parquet file into
FOLDER, says {"files": {split: file name}, "note": ...} on stdout, and ends with 2 and one line on stderr for what a
person can fix.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.formats.columnar import read_parquet
from corpus.table import Table, split_of_name
from models import online, outside, runs, token
from models.errors import UserError

PREFIX = "hf:"
SOURCE = re.compile(r"hf:([\w.-]+/[\w.-]+)(?::([\w .+-]+))?")
PAGE = "https://huggingface.co"
LISTED = re.compile(r"(?:configs|available|available splits|one of):?\s*\[(.*?)\]", re.DOTALL | re.IGNORECASE)
UNREACHABLE = ("OfflineModeIsEnabled", "ConnectionError", "ConnectError", "ConnectTimeout", "ReadTimeout",
               "LocalEntryNotFoundError")
NOT_REACHED = "The hub can not be reached; {} is read as it was fetched before."


def is_hub(source: str) -> bool:
    """True for "hf:OWNER/NAME"."""
    return source.startswith(PREFIX)


def read_hub(source: str, config: DataConfig) -> list[Table]:
    """A table for each split of the dataset that "hf:OWNER/NAME" or "hf:OWNER/NAME:SUBSET" names.

    With a limit no more rows than that are fetched. Raises UserError if there is no such dataset, subset or split,
    if it needs a token or a licence, or if the hub can not be reached.
    """
    named = SOURCE.fullmatch(source)
    if not named:
        raise UserError(f"{source!r} names no dataset of the hub; write hf:OWNER/NAME or hf:OWNER/NAME:SUBSET.")
    with tempfile.TemporaryDirectory(prefix="galen-hub-") as folder:
        fetched = _fetched(named.group(1), named.group(2) or "", config, folder)
        tables = [replace(read_parquet(Path(folder) / name, config, f"{source} {split}"), split=split_of_name(split))
                  for split, name in fetched["files"].items()]
    if not tables:
        raise UserError(f"{source} holds no rows.")
    notes = (fetched["note"],) if fetched["note"] else ()
    return [replace(tables[0], notes=notes + tables[0].notes), *tables[1:]]


def _fetched(name: str, subset: str, config: DataConfig, folder: str) -> dict[str, Any]:
    """What the child says."""
    done = subprocess.run(
        [sys.executable, "-m", "corpus.hub", name, subset, config.dataset_split, str(config.limit_rows), folder],
        capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL, cwd=runs.ROOT,
        env=online.environment())
    if done.returncode == 2:
        raise UserError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"Fetching {name} ended with status {done.returncode}:\n{token.hidden(done.stderr)[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(name: str, subset: str, split: str, rows: str, folder: str) -> None:
    """The child."""
    outside.watch()
    try:
        with outside.reason(f"the hub: the dataset {name}"):
            is_reached = _is_reached(name)
            files = _fetch(name, subset, split, int(rows), Path(folder))
        print(json.dumps({"files": files, "note": "" if is_reached else NOT_REACHED.format(name)}))
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def _is_reached(name: str) -> bool:
    """True if the hub gives the dataset; False if it can not be reached, and then nothing tries it again.

    Raises UserError if the hub refuses. Asked once and first: `datasets` tries for half a minute, and says of every
    refusal that there is no such dataset.
    """
    import httpx2
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
    try:
        HfApi().auth_check(name, repo_type="dataset", token=token.for_hub())
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise UserError(_refusal(name, status, isinstance(error, GatedRepoError), token.find())) from error
    except httpx2.TransportError:
        constants.HF_HUB_OFFLINE = True         # read before `datasets` is imported
        return False
    return True


def _refusal(name: str, status: int, is_gated: bool, used: token.Token | None) -> str:
    if is_gated and used:
        return f"The licence of {name} is not accepted yet; open {PAGE}/datasets/{name}, accept it, and try again."
    if is_gated or (status == 401 and not used):
        return (f"{name} is not open to everybody, or its name is wrong; make a token at {token.PAGE}, and "
                f"{token.KEEP}.")
    if status == 401 and used:
        return (f"The hub does not accept your token, which {used.source} holds; make a new one at {token.PAGE}, and "
                f"{token.KEEP}.")
    if status == 403:
        return f"Your token may not read {name}; give it the right at {token.PAGE}."
    if status == 404:
        return f"There is no dataset {name} on the hub; look up its name at {PAGE}/datasets."
    return f"The hub answered {status} for {name}; try again later."


def _fetch(name: str, subset: str, split: str, rows: int, folder: Path) -> dict[str, str]:
    """{split: its Parquet file in folder}."""
    import datasets
    import httpx2
    datasets.logging.set_verbosity_error()
    try:
        # with a limit as a stream: of a large dataset only the beginning is fetched
        found = datasets.load_dataset(name, subset or None, split=split or None, streaming=rows > 0,
                                      token=token.for_hub())
        parts = found if isinstance(found, dict) else {split: found}
        files = {}
        for k, (title, part) in enumerate(parts.items()):
            if rows:
                part = datasets.Dataset.from_list(list(part.take(rows + 1)), features=part.features)
            if part.num_rows:
                part.to_parquet(folder / f"{k}.parquet")
                files[str(title)] = f"{k}.parquet"
        return files
    except (datasets.exceptions.DatasetsError, httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise UserError(_reason(name, error)) from error


def _reason(name: str, error: BaseException) -> str:
    """One line: why the dataset can not be had or read, and what to do."""
    chain = list(_chain(error))
    if any(runs.is_disk_full(one) for one in chain if isinstance(one, OSError)):
        return f"The disk is full: {name} could not be fetched. Free some space and try again."
    if any(type(one).__name__ in UNREACHABLE for one in chain):
        if outside.is_offline():
            return (f"Galen is offline, so {name} can not be fetched; switch Offline off in Settings, or give a file "
                    "or folder.")
        return f"The hub can not be reached to fetch {name}; connect to the internet, or give a file or folder."
    listed = LISTED.search(str(error))
    names = re.findall(r"'([^']+)'", listed.group(1)) if listed else []
    if names and "split" in str(error).lower():
        return f"{name} has no such split; there are {', '.join(names)}."
    if names:
        return f"{name} has the subsets {', '.join(names)}; write one of them, as hf:{name}:{names[0]}."
    used = token.find()
    said = str(error).replace(used.value, "...") if used else str(error)    # a proxy may have put it into its answer
    return f"{name} can not be read as a dataset: {token.hidden(' '.join(said.split()))[:400]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What a repository of the hub holds, asked when it is needed; which of its GGUFs can be chosen, and what a base needs.

The hub is asked by a process of its own: python -m models.listing OWNER/NAME [REVISION] says one JSON object on
stdout, or one line on stderr and ends with 2 for what a person can fix.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from models import hub_words, online, outside, proxy, runs, token
from models.errors import UserError
from models.library import HUB_NAME
from models.quant_name import ENDING, part_of, stem, type_in, without_type

WAIT_S, LONGEST_S = 20.0, 90.0  # for each step of an answer; for all of it
MATRIX = re.compile(r"(?:^|[-_.])imatrix$|^imatrix[-_.]", re.IGNORECASE)                # of a name without its ending
PART_OF_MODEL = re.compile(r"^mtp[-_.]|[-_.](?:mtp|lora|adapter)$", re.IGNORECASE)      # of one without its type, too
GONE = re.compile(r"_\d_\d$")    # of a type: layouts for one processor's instructions, which llama.cpp reads no more
PROJECTOR = "mmproj"
NOT_THERE = "not there"         # what the child says on stdout of a repository that is not there
BEST_PROJECTORS = ("F16", "BF16", "Q8_0", "F32")        # F16: half the size of F32 at its quality, fast everywhere
INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
BESIDE_WEIGHTS = re.compile(r".+\.(?:json|jinja)|tokenizer\.model|merges\.txt|vocab\.txt|README\.md"
                            r"|(?:licen[cs]e|notice|copying|use_policy).*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file. sha256: "" for a small one, which the hub keeps in git."""
    name: str                   # its path in the repository
    bytes: int
    sha256: str = ""
    git_id: str = ""            # of a small one


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A repository at one commit."""
    repo: str
    revision: str
    files: tuple[HubFile, ...]
    is_gated: bool


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model of one type: a GGUF or its parts in order, and the file with which it sees, if there is one."""
    type: str                   # "Q4_K_M"; "" if no name says it
    files: tuple[HubFile, ...]
    projector: HubFile | None = None

    @property
    def bytes(self) -> int:
        """Of the model, without the projector."""
        return sum(file.bytes for file in self.files)


def ask(repo: str, revision: str = "main", wait_s: float = LONGEST_S) -> Listing:
    """What the hub says that repo holds. Raises UserError if it does not say it, Gone for one that is not there."""
    if not HUB_NAME.fullmatch(repo):
        raise UserError(f"{repo!r} is no name for a repository of the hub; write it as OWNER/NAME.")
    try:
        done = subprocess.run([sys.executable, "-m", "models.listing", repo, revision], capture_output=True, text=True,
                              encoding="utf-8", stdin=subprocess.DEVNULL, cwd=runs.ROOT, timeout=wait_s,
                              env=proxy.hidden() | online.environment())
    except subprocess.TimeoutExpired:
        raise UserError(f"{hub_words.hub_host()} gave no whole answer about {repo} in {wait_s:g} s; try again, or on a "
                        "faster network.") from None
    if done.returncode == 2:
        said = done.stderr.strip().splitlines()[-1]
        raise hub_words.Gone(said) if done.stdout.strip() == NOT_THERE else UserError(said)
    if done.returncode:
        raise RuntimeError(f"Asking the hub for {repo} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    return from_json(json.loads(done.stdout.splitlines()[-1]))


def asked_here(repo: str, revision: str = "main") -> Listing:
    """What ask() says, for a process that is online itself; an error of the hub rises as the hub library has it."""
    from huggingface_hub import HfApi
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, token=token.for_hub(), timeout=WAIT_S)
        files = tuple(_hub_file(one) for one in info.siblings or () if _is_inside(one.rfilename))
    except (KeyError, TypeError, AttributeError) as error:      # the library takes an answer apart as it comes
        raise UserError(f"What answered for {hub_words.hub_host()} is no hub: it says nothing of {repo} that can be "
                        "read. Open a web page to log in to the network, or check HF_ENDPOINT.") from error
    return Listing(repo=str(info.id), revision=str(info.sha), files=files, is_gated=bool(info.gated))


def _hub_file(one: Any) -> HubFile:
    """Raises TypeError for what is no file."""
    size = one.size or 0
    if not isinstance(size, int) or size < 0:
        raise TypeError("no size of a file")
    return HubFile(name=one.rfilename, bytes=size, sha256=str(one.lfs.sha256) if one.lfs else "",
                   git_id="" if one.lfs else str(one.blob_id or ""))


def from_json(values: dict[str, Any]) -> Listing:
    """The Listing that dataclasses.asdict and JSON made values of."""
    return Listing(**{**values, "files": tuple(HubFile(**file) for file in values["files"])})


def gguf_choices(listing: Listing) -> tuple[Choice, ...]:
    """The models that can be chosen, the smallest first: split ones whole, none twice; each with its projector."""
    ggufs = [file for file in listing.files if file.name.lower().endswith(ENDING)]
    projectors = [file for file in ggufs if PROJECTOR in _own(file).lower()]
    models = [file for file in ggufs if file not in projectors and _is_model(_own(file))]
    found = [Choice(type=_type(group[0], listing), files=group, projector=_projector_of(group[0], projectors))
             for group in _whole(models)]
    return tuple(sorted((choice for choice in found if not GONE.search(choice.type)),
                        key=lambda choice: (choice.bytes, choice.files[0].name)))


def base_files(listing: Listing) -> tuple[HubFile, ...]:
    """What a base model folder needs: settings, tokenizer, weights as safetensors once, licence; () if it is no base.

    The same weights as .bin or .gguf stay where they are, and so do folders, pictures and what else lies there.
    """
    here = [file for file in listing.files if "/" not in file.name]
    names = {file.name for file in here}
    weights = [file for file in here if file.name.endswith(".safetensors") and not file.name.startswith("adapter_")]
    shards = [file for file in weights if part_of(file.name.removesuffix(".safetensors") + ENDING)]
    if INDEX in names and shards:
        weights = shards
    elif WEIGHTS in names:
        weights = [file for file in weights if file.name == WEIGHTS]
    if not weights or "config.json" not in names:
        return ()
    return tuple(file for file in here if file in weights or BESIDE_WEIGHTS.fullmatch(file.name))


def _own(file: HubFile) -> str:
    return PurePosixPath(file.name).name


def _is_model(name: str) -> bool:
    """False for importance matrices, drafts that guess tokens ahead, and adapters."""
    return not MATRIX.search(stem(name)) and not PART_OF_MODEL.search(without_type(name).strip("-_."))


def _type(file: HubFile, listing: Listing) -> str:
    """By the file's name, else by its folder's, else by the repository's."""
    path = PurePosixPath(file.name)
    return next(filter(None, map(type_in, (path.name, *reversed(path.parent.parts), listing.repo))), "")


def _whole(files: Iterable[HubFile]) -> Iterator[tuple[HubFile, ...]]:
    """Each model's files: one, or all its parts in order; parts beside a whole file, or not all there, are left out."""
    by_name: dict[str, list[HubFile]] = {}
    for file in files:
        by_name.setdefault(stem(file.name), []).append(file)
    for group in by_name.values():
        whole = [file for file in group if part_of(file.name) is None]
        if whole:
            yield (whole[0],)
            continue
        parts: dict[int, dict[int, HubFile]] = {}       # a model may have been split twice
        for file in group:
            number, count = part_of(file.name) or (1, 1)
            parts.setdefault(count, {})[number] = file
        sets = [tuple(some[number] for number in sorted(some)) for count, some in sorted(parts.items())
                if set(some) == set(range(1, count + 1))]
        yield from sets[:1]


def _projector_of(model: HubFile, projectors: list[HubFile]) -> HubFile | None:
    """The best projector in the model's folder, else at the top, else anywhere; of several models', the model's own."""
    folders = (str(PurePosixPath(model.name).parent), ".")
    near = [[file for file in projectors if str(PurePosixPath(file.name).parent) == folder] for folder in folders]
    there = next(filter(None, near), projectors)
    known = _words(model) | {PROJECTOR, "model"}

    def rank(file: HubFile) -> tuple[int, int, str]:
        """How many words of its name the model's has not; how good its type is."""
        kinds = [*BEST_PROJECTORS, type_in(_own(file))]
        return len(_words(file) - known), kinds.index(kinds[-1]), file.name
    return min(there, key=rank, default=None)


def _words(file: HubFile) -> set[str]:
    return set(re.split(r"[-_.]+", without_type(_own(file)).casefold())) - {""}


# The child


def main(repo: str, revision: str = "main") -> None:
    """Ask the hub and say what it holds."""
    outside.watch()
    try:
        with outside.reason(f"the hub: what {repo} holds"), hub_words.words(repo, is_fetching=False):
            print(json.dumps(asdict(asked_here(repo, revision))))
    except UserError as error:
        if isinstance(error, hub_words.Gone):
            print(NOT_THERE)
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def _is_inside(name: str) -> bool:
    """True for a path that stays in the folder it is put into, on every system."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not re.search(r"[\\:\x00-\x1f]", name)


if __name__ == "__main__":
    main(*sys.argv[1:])

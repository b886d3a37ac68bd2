"""What a family says of itself: the GGUF keys of a config, and each tensor under both names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

Config = Mapping[str, Any]      # a model folder's config.json
# readers of a vocabulary, see convert/vocab
SENTENCEPIECE, LLAMA_JSON, BPE, GEMMA_4 = "sentencepiece", "llama json", "bpe", "gemma4"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of the GGUF. Shapes: rows first, as in the source."""
    source: str                 # name in the Hugging Face folder after Family.canonical; "" if computed
    name: str                   # name in the GGUF
    shape: tuple[int, ...]
    source_shape: tuple[int, ...] | None = None     # None: as shape
    transform: Callable[[np.ndarray], np.ndarray] | None = None     # takes the whole float32 source tensor
    is_trimmed: bool = False    # the source may have more rows; those beyond shape are no tokens
    kind: str = ""              # a ggml type that is fixed, such as "F32"; "": by the type of the file
    values: np.ndarray | None = field(default=None, compare=False)  # of a computed tensor, float32

    @property
    def is_whole(self) -> bool:
        """True if it can not be read by rows."""
        return self.transform is not None or self.values is not None


@dataclass(frozen=True, kw_only=True)
class Projector:
    """What stands in the GGUF of a vision tower (architecture "clip"): its own keys, and its tensors."""
    metadata: dict[str, Any]
    tensors: list[Tensor]


def _same(value: Any) -> Any:
    return value


def _no_projector(config: Config, folder: Path) -> None:
    return None


def _no_notes(config: Config) -> list[str]:
    return []


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture. Every function raises UserError for what llama.cpp can not compute.

    tensors: takes config.json, and the canonical names of the tensors that the merged model has (without a head
    that is tied); what may be there or not, such as a bias, is listed when it is.
    canonical: the one name, used by Tensor.source, of a tensor or module under any name that files and adapters use.
    projector: takes config.json and the folder, for a model that sees.
    notes: what a person should know of every export of the family, such as a part that is left out.
    """
    architecture: str           # llama.cpp's name, the prefix of its keys
    metadata: Callable[[Config], dict[str, Any]]
    tensors: Callable[[Config, frozenset[str]], list[Tensor]]
    canonical: Callable[[str], str] = _same
    text_config: Callable[[Config], Config] = _same         # where vocab_size stands, and whether the head is tied
    projector: Callable[[Config, Path], Projector | None] = _no_projector
    notes: Callable[[Config], list[str]] = _no_notes
    dropped: tuple[str, ...] = ()   # patterns (* is any text) of source tensors that are never written
    has_lora: bool = True       # llama.cpp applies an adapter GGUF to it
    vocabularies: tuple[str, ...] = (SENTENCEPIECE,)        # readers to try, in this order

    def drops(self, name: str) -> bool:
        """True if the source tensor of that canonical name is never written."""
        return any(fnmatchcase(name, pattern) for pattern in self.dropped)

"""Whether a written GGUF is the one that was planned: its keys, vocabulary and tensor table, byte for byte."""

import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.gguf import Plan
from convert.quantize import layouts

BEYOND_WINDOW_TOKENS = 256              # a compared row that is so much longer than the window shows a wrong one
LONGEST_TOKENS = 2048                   # the reference's attention grows with the square
COUNTS_BYTES = 24                       # magic, version, how many tensors and keys


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and what each file made of it is. weighed: the types that an importance matrix was used for."""
    plan: Plan
    weighed: Collection[str] = ()

    def difference(self, path: Path, type_name: str) -> str:
        """What of the file is not as planned, in words; "" if all is. Numbers in the tensors are not looked at.

        The folder of path holds an empty copy of the model meanwhile, which takes no room.
        """
        wanted = layouts(self.plan, [type_name], path.parent, self.weighed)[type_name]
        with path.open("rb") as file:
            found = file.read(len(wanted.header))
        if found == wanted.header and path.stat().st_size == wanted.bytes:
            return ""
        if found == wanted.header:
            return f"the file has {path.stat().st_size:,} bytes instead of {wanted.bytes:,}"
        return self._first_difference(wanted.header, found)

    def _first_difference(self, wanted: bytes, found: bytes) -> str:
        """The key or tensor whose name stands last before the first other byte."""
        rows = [np.frombuffer(one[COUNTS_BYTES:].ljust(len(wanted), b"\0"), np.uint8) for one in (wanted, found)]
        length = min(map(len, rows))
        others = np.flatnonzero(rows[0][:length] != rows[1][:length])
        if not len(others):
            return "how many keys and tensors there are"
        at = int(others[0]) + COUNTS_BYTES
        vocab = self.plan.vocab.metadata() if self.plan.vocab else {}
        names = ["general.architecture", *self.plan.metadata, "general.file_type", "general.quantization_version",
                 *vocab, *(tensor.name for tensor in self.plan.tensors)]
        starts = {name: wanted.rfind(struct.pack("<Q", len(name.encode())) + name.encode()) for name in names}
        return max((start, name) for name, start in starts.items() if start <= at)[1]


def long_row_tokens(plan: Plan) -> int:
    """How long a row must be to show a wrong sliding window; 0 where there is none, or it is too long to try."""
    window = plan.metadata.get(f"{plan.architecture}.attention.sliding_window", 0)
    tokens = window + BEYOND_WINDOW_TOKENS if isinstance(window, int) else 0
    context = plan.metadata.get(f"{plan.architecture}.context_length", LONGEST_TOKENS)
    return tokens if window > 0 and tokens <= min(LONGEST_TOKENS, context) else 0

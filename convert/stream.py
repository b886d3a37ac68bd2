"""The one pass: base weights -> merged rows -> blocks of every type asked for -> their places in the files."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from convert.blank import Blank
from convert.families.tensor import Tensor
from convert.gguf import Place, Plan, row_bytes
from convert.merge import BLOCK_ROWS
from convert.quantize import layouts
from models.errors import UserError
from runtime.device import allowed_cpus
from runtime.quantize import OutOfRange, blocks

PIECE_VALUES = 1 << 20          # 4 MB of float32: what a thread reads, merges and quantizes at a time
IN_FLIGHT_VALUES = 32 << 20     # of all pieces together; one that is larger than that goes alone
PROGRESS_S = 0.5

Importance = Mapping[str, np.ndarray]           # GGUF tensor -> float32, one value a column


class Model(Protocol):
    """Where the merged weights come from."""
    plan: Plan

    def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        """Rows of one of plan.tensors, merged, in float32 (stop - start, *rest); called from several threads."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Rows of a tensor, and what is written of them: each blocks' type and importance with the places for it."""
    tensor: Tensor
    start: int
    stop: int
    wanted: list[tuple[str, np.ndarray | None, list[tuple[Blank, Place]]]]

    @property
    def values(self) -> int:
        return (self.stop - self.start) * math.prod(self.tensor.shape[1:])


def write_all(model: Model, targets: Mapping[str, Path], importance: Mapping[str, Importance] | None = None,
              threads: int = 0, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Write the file of each type in targets, all from one reading of the weights.

    importance: by type, for the types that use one. threads: 0 is one for each core. progress hears how many values
    of how many are done; what it raises stops the work. Raises UserError as model.rows does and for numbers that a
    type can not hold, OSError as the disk does, at the start if it has too little room. After any error no file is
    left.
    """
    if not targets:
        return
    plan, importance = model.plan, importance or {}
    folder = next(iter(targets.values())).parent
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, "blas"))       # the pieces are the threads
        files = {}
        for name, shape in layouts(plan, targets, folder, importance).items():
            file = stack.enter_context(Blank(targets[name], shape.bytes))
            file.write(0, shape.header)
            files[name] = file, shape.places, importance.get(name, {})
        _run(model, _pieces(plan, list(files.values())), threads or len(allowed_cpus()), progress)


def _pieces(plan: Plan, files: list[tuple[Blank, dict[str, Place], Importance]]) -> Iterator[_Piece]:
    for tensor in plan.tensors:
        wanted: dict[tuple[str, int], tuple[str, np.ndarray | None, list[tuple[Blank, Place]]]] = {}
        for file, places, importance in files:
            place, weights = places[tensor.name], importance.get(tensor.name)
            wanted.setdefault((place.kind, id(weights)), (place.kind, weights, []))[2].append((file, place))
        rows = tensor.shape[0]
        step = PIECE_VALUES // math.prod(tensor.shape[1:]) // BLOCK_ROWS * BLOCK_ROWS
        step = rows if tensor.is_whole else max(step, BLOCK_ROWS)
        for start in range(0, rows, step):
            yield _Piece(tensor=tensor, start=start, stop=min(rows, start + step), wanted=list(wanted.values()))


def _run(model: Model, pieces: Iterator[_Piece], threads: int, progress: Callable[[int, int], None]) -> None:
    """Every piece on the threads, so many at a time that memory stays flat."""
    of, done, said = sum(math.prod(t.shape) for t in model.plan.tensors), 0, 0.0
    pending: dict[Future[None], int] = {}
    with ThreadPoolExecutor(threads, "export") as pool:
        try:
            while True:
                piece = next(pieces, None)
                while pending and (piece is None or len(pending) >= 2 * threads
                                   or sum(pending.values()) + piece.values > IN_FLIGHT_VALUES):
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        done += pending.pop(future)
                        future.result()
                    if time.monotonic() - said > PROGRESS_S or done == of:
                        progress(done, of)
                        said = time.monotonic()
                if piece is None:
                    return
                pending[pool.submit(_write, model, piece)] = piece.values
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write(model: Model, piece: _Piece) -> None:
    """Read a piece once, and put it into each file as that file wants it."""
    tensor = piece.tensor
    columns = tensor.shape[-1]
    values = model.rows(tensor, piece.start, piece.stop)
    assert values.shape == (piece.stop - piece.start, *tensor.shape[1:]), (tensor.name, values.shape)
    values = np.ascontiguousarray(values, np.float32).reshape(-1, columns)
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):           # of sums; sources are checked as read
        raise UserError(f"The tensor {tensor.name} (in the source: {tensor.source}) holds NaN or infinity after the "
                        "merge; the adapter is damaged, or its training went wrong.")
    first = piece.start * math.prod(tensor.shape[1:-1])
    step = max(1, PIECE_VALUES // columns)
    for kind, weights, places in piece.wanted:
        for at in range(0, len(values), step):
            data = _blocks(tensor, values[at:at + step], kind, weights)
            for file, place in places:
                file.write(place.offset + (first + at) * row_bytes(kind, columns), data)


def _blocks(tensor: Tensor, values: np.ndarray, kind: str, weights: np.ndarray | None) -> np.ndarray:
    try:
        return blocks(values, kind, weights)
    except OutOfRange:
        raise UserError(f"The tensor {tensor.name} (in the source: {tensor.source}) holds numbers that {kind} has no "
                        f"room for; the largest is {np.abs(values).max():.3g}. Choose F32 or BF16.") from None

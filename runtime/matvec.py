"""How fast llama.cpp multiplies by a matrix of some type on this processor, and so reads it; children only.

Each token of an answer reads every weight once, so that little else decides the speed of a model. The matrix is
larger than caches are, and lies as llama.cpp would lay it (it has layouts of its own for some types).
"""

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from models.tensor_types import TENSOR_TYPES

COLUMNS = 2560                                  # of Gemma 3 4B; whole blocks of every type
SMALL = 64                                      # columns and rows of a matrix that is nothing but overhead
NODES = 500
LEAST_ROUNDS, MOST_ROUNDS = 2, 8
POOL_BYTES = 4 << 20                            # for descriptions of tensors; their data lies elsewhere
NUMBERS = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}
CPU_KIND, F32 = 0, 0                            # enum ggml_backend_dev_type, enum ggml_type
POINTER = ctypes.c_void_p


class _Pool(ctypes.Structure):
    """struct ggml_init_params"""
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", POINTER), ("no_alloc", ctypes.c_bool)]


class Processor:
    """llama.cpp's CPU back end, with nothing loaded."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock, self._ggml = clock, _Ggml()
        self._device = self._ggml.dev_by_type(CPU_KIND)
        self._backend = self._ggml.dev_init(self._device, None)
        registry = self._ggml.dev_backend_reg(self._device)
        set_threads = self._ggml.reg_get_proc_address(registry, b"ggml_backend_set_n_threads")
        self._set_threads = ctypes.CFUNCTYPE(None, POINTER, ctypes.c_int)(set_threads)
        self._plain = self._ggml.dev_buffer_type(self._device)
        self._layouts = [*self._own_layouts(registry), self._plain]

    def close(self) -> None:
        """Give its memory back."""
        self._ggml.backend_free(self._backend)

    def bytes_per_s(self, type_name: str, size: int, threads: Sequence[int], longest_s: float) -> float:
        """Of a matrix of about so many bytes, with the best of threads. It begins nothing more after longest_s."""
        _, in_block, block_bytes = TENSOR_TYPES[NUMBERS[type_name]]
        rows = max(SMALL, size // (COLUMNS // in_block * block_bytes) // SMALL * SMALL)
        with self._product(NUMBERS[type_name], rows) as graph:
            return rows * (COLUMNS // in_block * block_bytes) / self._best_s(graph, threads, longest_s)

    def step_s(self, threads: int, longest_s: float) -> float:
        """Seconds for one step of a graph that has next to nothing to compute: the threads wait for each other."""
        with self._pool() as made:
            matrix, last = self._ggml.matrix(made, F32, SMALL, SMALL), self._ggml.matrix(made, F32, SMALL, 1)
            inputs = (matrix, last)
            for _ in range(NODES):
                last = self._ggml.multiplied(made, matrix, last)
            with self._placed(made, self._plain):
                self._fill(*inputs)
                return self._best_s(self._graph(made, last), [threads], longest_s) / NODES

    def _own_layouts(self, registry: int) -> list[int]:
        """The buffer types with layouts of llama.cpp's own, the best first."""
        found = self._ggml.reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
        if not found:
            return []
        listed = ctypes.CFUNCTYPE(ctypes.POINTER(POINTER), POINTER)(found)(self._device)
        kept: list[int] = []
        while listed and (one := listed[len(kept)]):
            kept.append(one)
        return kept

    @contextmanager
    def _product(self, number: int, rows: int) -> Iterator[int]:
        """The graph of one matrix times one vector, in the first layout that has the type."""
        for layout in self._layouts:
            with self._pool() as weights, self._pool() as rest:
                matrix = self._ggml.matrix(weights, number, COLUMNS, rows)
                vector = self._ggml.matrix(rest, F32, COLUMNS, 1)
                product = self._ggml.multiplied(rest, matrix, vector)
                with self._placed(weights, layout), self._placed(rest, self._plain):
                    if layout == self._plain or self._ggml.dev_supports_op(self._device, product):
                        self._fill(matrix, vector)
                        yield self._graph(rest, product)
                        return

    @contextmanager
    def _pool(self) -> Iterator[int]:
        pool = self._ggml.init(_Pool(POOL_BYTES, None, True))
        try:
            yield pool
        finally:
            self._ggml.free(pool)

    @contextmanager
    def _placed(self, pool: int, layout: int) -> Iterator[None]:
        """Memory for all tensors of pool. Raises MemoryError."""
        buffer = self._ggml.alloc_ctx_tensors_from_buft(pool, layout)
        if not buffer:
            raise MemoryError("ggml was given no memory for a matrix")
        try:
            yield
        finally:
            self._ggml.buffer_free(buffer)

    def _fill(self, *tensors: int) -> None:
        for tensor in tensors:
            zeros = np.zeros(self._ggml.nbytes(tensor), np.uint8)       # never touched, so it takes no memory
            self._ggml.tensor_set(tensor, zeros.ctypes.data, 0, zeros.nbytes)

    def _graph(self, pool: int, result: int) -> int:
        graph: int = self._ggml.new_graph(pool)
        self._ggml.expand(graph, result)
        return graph

    def _best_s(self, graph: int, threads: Sequence[int], longest_s: float) -> float:
        """The shortest of several computations: what was slower was disturbed."""
        until, best = self._clock() + longest_s, float("inf")
        for count in threads:
            self._set_threads(self._backend, count)
            for k in range(MOST_ROUNDS):
                began = self._clock()
                status = self._ggml.graph_compute(self._backend, graph)
                assert status == 0, status
                best = min(best, self._clock() - began)
                if k + 1 >= LEAST_ROUNDS and self._clock() > until:
                    break
        return best


class _Ggml:
    """The functions of ggml's libraries that are used here, by their names without "ggml_" and "backend_"."""

    def __init__(self) -> None:
        from llama_cpp import _ggml
        from llama_cpp._ctypes_extensions import load_shared_library
        self._libraries = (_ggml.libggml, load_shared_library("ggml-base", _ggml.libggml_base_path))
        size, whole, long, text = ctypes.c_size_t, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p
        bind = self._bind
        self.init, self.free = bind("init", POINTER, _Pool), bind("free", None, POINTER)
        self.matrix = bind("new_tensor_2d", POINTER, POINTER, whole, long, long)
        self.multiplied = bind("mul_mat", POINTER, POINTER, POINTER, POINTER)
        self.new_graph = bind("new_graph", POINTER, POINTER)
        self.expand = bind("build_forward_expand", None, POINTER, POINTER)
        self.nbytes = bind("nbytes", size, POINTER)
        self.dev_by_type = bind("backend_dev_by_type", POINTER, whole)
        self.dev_init = bind("backend_dev_init", POINTER, POINTER, text)
        self.dev_backend_reg = bind("backend_dev_backend_reg", POINTER, POINTER)
        self.dev_buffer_type = bind("backend_dev_buffer_type", POINTER, POINTER)
        self.dev_supports_op = bind("backend_dev_supports_op", ctypes.c_bool, POINTER, POINTER)
        self.reg_get_proc_address = bind("backend_reg_get_proc_address", POINTER, POINTER, text)
        self.alloc_ctx_tensors_from_buft = bind("backend_alloc_ctx_tensors_from_buft", POINTER, POINTER, POINTER)
        self.tensor_set = bind("backend_tensor_set", None, POINTER, POINTER, size, size)
        self.graph_compute = bind("backend_graph_compute", whole, POINTER, POINTER)
        self.buffer_free = bind("backend_buffer_free", None, POINTER)
        self.backend_free = bind("backend_free", None, POINTER)

    def _bind(self, name: str, result: Any, *arguments: Any) -> Any:
        function = next(getattr(one, f"ggml_{name}") for one in self._libraries if hasattr(one, f"ggml_{name}"))
        function.restype, function.argtypes = result, list(arguments)
        return function

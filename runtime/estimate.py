"""How much memory a GGUF takes once it runs, as llama.cpp itself reckons it: `python -m runtime.estimate`.

A child process loads the model without memory for weights and cache (no_alloc), opens contexts as the
worker would, and reads the sizes that llama.cpp then prints; a file that aborts it costs nobody else.
"""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from models import knobs, outside
from models.errors import UserError
from models.header import Tensor, read_header
from runtime import child
from runtime.config import LoadConfig
from runtime.device import Device
from runtime.pool import pool_cells

HOST = "CPU"                                    # what llama.cpp calls the machine's own memory
MIB = 1 << 20
WAIT_S = 120.0
SAID_SHARE = 0.9                                # of the tensors' bytes: llama.cpp rounds the sizes that it prints
KINDS = ("cpu", "gpu", "igpu", "accel", "meta")                 # enum ggml_backend_dev_type
SAID_BUFFER = re.compile(r": +(\S+) +(model|RS|output|compute) buffer size = +([\d.]+) MiB")
SAID_CACHE = re.compile(r": size = +([\d.]+) MiB \( *\d+ cells, +\d+ layers")
SAID_CACHE_LAYER = re.compile(r": layer +\d+: dev = (\S+)")
SAID_LAYER = re.compile(r"load_tensors: layer +(\d+) assigned to device ([^,]+),")
TENSOR_LAYER = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes that a worker takes for conversations of ctx_tokens, by device ("CPU" is the machine's own memory)."""
    ctx_tokens: int
    cells: int                                  # of the cache that the conversations share
    weights: Mapping[str, int]
    cache: Mapping[str, int]
    compute: Mapping[str, int]                  # working memory of a batch, and the logits
    process_bytes: int                          # Python, the libraries, the vocabulary
    spare_bytes: int                            # of the mapped file: weights that llama.cpp copied to a layout of its
                                                # own; the system takes these pages when it needs them

    def bytes_on(self, device: str) -> int:
        """What device must hold."""
        parts = sum(part.get(device, 0) for part in (self.weights, self.cache, self.compute))
        return parts + (self.process_bytes if device == HOST else 0)

    @property
    def worker_bytes(self) -> int:
        """The worker's private and mapped-file memory after a prompt that fills the context."""
        return self.bytes_on(HOST) + self.spare_bytes


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a child found: the library's version, back ends and devices, and of a model its needs for each context."""
    version: str                                # of llama-cpp-python
    backends: tuple[str, ...]                   # that it was built with: "CPU", "CUDA", ...
    devices: tuple[Device, ...]
    layers: int = 0                             # that gpu_layers counts: the blocks, and one for the output
    layers_on: Mapping[str, int] = field(default_factory=dict)          # by device
    estimates: tuple[Estimate, ...] = ()        # one for each context, in the order asked

    @property
    def gpus(self) -> tuple[Device, ...]:
        return tuple(device for device in self.devices if device.kind in ("gpu", "igpu"))


def library() -> Survey:
    """What llama.cpp can compute with on this machine."""
    return _survey({})


def survey(path: Path, config: LoadConfig, contexts: Sequence[int]) -> Survey:
    """What path takes when loaded with config, for each of contexts in place of config.ctx_tokens.

    Raises UserError if the file is no usable model, or llama.cpp can not read it.
    """
    read_header(path)                           # refuses a broken file before native code sees it
    return _survey(dict(path=str(path), config=knobs.to_json(config), contexts=list(contexts)))


def _survey(request: dict[str, Any]) -> Survey:
    name = Path(request["path"]).name if request else "its devices"
    try:
        ended = subprocess.run(child.command("runtime.estimate"), input=json.dumps(request).encode(),
                               capture_output=True, timeout=WAIT_S, **child.options())
    except subprocess.TimeoutExpired:
        raise UserError(f"llama.cpp was asked what {name} needs and gave no answer within {WAIT_S:.0f} s.") from None
    if ended.returncode == 1:                   # a traceback: a bug of ours
        raise RuntimeError(ended.stderr.decode("utf-8", "replace"))
    if ended.returncode:
        raise UserError(f"llama.cpp can not read {name}: its process ended with status {ended.returncode}. "
                        "Copy or download the file again.")
    answer = json.loads(ended.stdout.splitlines()[-1])
    if "error" in answer:
        raise UserError(answer["error"])
    return from_json(answer)


def from_json(values: dict[str, Any]) -> Survey:
    """The Survey that dataclasses.asdict and JSON made values of."""
    return Survey(**{**values, "backends": tuple(values["backends"]),
                     "devices": tuple(Device(**one) for one in values["devices"]),
                     "estimates": tuple(Estimate(**one) for one in values["estimates"])})


# The child


class _Said:
    """Every line that llama.cpp printed since the last take()."""

    def __init__(self, lib: Any):
        self._lines: list[str] = []
        self._keep = lib.llama_log_callback(self._add)          # must outlive the library's use of it
        lib.llama_log_set(self._keep, ctypes.c_void_p(0))

    def _add(self, level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
        self._lines.append(text.decode("utf-8", "replace").rstrip())

    def take(self) -> list[str]:
        taken, self._lines[:] = list(self._lines), []
        return taken


def main() -> None:
    """Answer the one request on stdin with one line of JSON on stdout."""
    request = json.load(sys.stdin)
    try:
        answer = asdict(_answer(request))
    except UserError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


def _answer(request: dict[str, Any]) -> Survey:
    from runtime import llama
    llama.lib.llama_backend_init()
    found = _library(llama.version())
    if not request:
        return found
    asked = _Child(Path(request["path"]), knobs.from_json(LoadConfig, request["config"]))
    return asked.survey(found, request["contexts"])


class _Child:
    """One model, loaded without its weights."""

    def __init__(self, path: Path, config: LoadConfig):
        from runtime import llama
        self._lib, self._llama = llama.lib, llama
        self._config, self._header = config, read_header(path)
        self._said = _Said(self._lib)

    def survey(self, found: Survey, contexts: Sequence[int]) -> Survey:
        """found, with what the model needs."""
        with self._loaded(no_alloc=True) as handle:
            if not handle:
                reason = next((line for line in self._said.take() if "error" in line.lower()), "it gave no reason")
                raise UserError(f"llama.cpp can not load {self._header.path.name}: {reason}")
            said = self._said.take()
            process_bytes = _own_bytes()
            needs = [self._context(handle, tokens, found) for tokens in contexts]
        matches = [match for match in map(SAID_LAYER.search, said) if match]
        places = {int(match[1]): match[2] for match in matches}
        weights, spare = self._weights(places, found)
        estimates = tuple(
            Estimate(ctx_tokens=tokens, weights=weights, process_bytes=process_bytes, spare_bytes=spare, **need)
            for tokens, need in zip(contexts, needs, strict=True))
        names = list(places.values())
        return replace(found, layers=len(places), layers_on={name: names.count(name) for name in sorted(set(names))},
                       estimates=estimates)

    @contextmanager
    def _loaded(self, no_alloc: bool) -> Iterator[Any]:
        """The model without memory; or, with no_alloc False, nothing: the load ends before it reads a weight."""
        params = self._llama.model_params(self._config)
        params.load_mode = self._lib.LLAMA_LOAD_MODE_NONE       # a mapping would read the file
        params.no_alloc = no_alloc
        stop = self._lib.llama_progress_callback(lambda progress, user_data: no_alloc)
        params.progress_callback = stop
        handle = self._lib.llama_model_load_from_file(os.fsencode(self._header.path), params)
        try:
            yield handle
        finally:
            if handle:
                self._lib.llama_model_free(handle)

    def _context(self, handle: Any, ctx_tokens: int, found: Survey) -> dict[str, Any]:
        """cells, and cache and compute by device, for conversations of so many tokens."""
        from runtime.context import context_params
        cells = pool_cells(self._header, self._config.slots, ctx_tokens)
        model: Any = SimpleNamespace(handle=handle, header=self._header)
        context = self._lib.llama_init_from_model(handle, context_params(self._config, model, cells))
        said = self._said.take()
        if not context:
            reason = next((line for line in said if "error" in line or "failed" in line), "it gave no reason")
            raise UserError(f"llama.cpp opens no context of {ctx_tokens:,} tokens for {self._header.path.name}: "
                            f"{reason}")
        self._lib.llama_free(context)
        self._said.take()
        return {"cells": cells, **read_context(said, found)}

    def _weights(self, places: Mapping[int, str], found: Survey) -> tuple[dict[str, int], int]:
        """(bytes by device, spare bytes of the mapped file). Beside a GPU, llama.cpp lays no weights out anew."""
        if found.gpus and self._config.device != "cpu":
            return weights_by_place(self._header.tensors, places), 0
        with self._loaded(no_alloc=False) as handle:            # memory is asked for and never touched
            assert not handle
            sizes = [match for match in map(SAID_BUFFER.search, self._said.take()) if match and match[2] == "model"]
        total = sum(_bytes(match[3]) for match in sizes)
        in_place = sum(_bytes(match[3]) for match in sizes if match[1] == HOST)
        own = sum(tensor.bytes for tensor in self._header.tensors)
        if total < own * SAID_SHARE:                            # more than the system gives away, touched or not
            return {HOST: own}, 0
        mapped = own if in_place else 0
        return {HOST: total}, max(0, mapped - in_place)


def read_context(said: Sequence[str], found: Survey) -> dict[str, dict[str, int]]:
    """{"cache": bytes by device, "compute": bytes by device} from what llama.cpp said when it opened a context."""
    cache: dict[str, int] = {}
    compute: dict[str, int] = {}
    layers: list[str] = []
    for line in said:
        if match := SAID_CACHE_LAYER.search(line):
            layers.append(match[1])
        elif match := SAID_CACHE.search(line):
            for name in layers:
                place = _place(name, found)
                cache[place] = cache.get(place, 0) + _bytes(match[1]) // len(layers)
            layers = []
        elif (match := SAID_BUFFER.search(line)) and match[2] != "model":
            part, place = cache if match[2] == "RS" else compute, _place(match[1], found)
            part[place] = part.get(place, 0) + _bytes(match[3])
    return {"cache": cache, "compute": compute}


def weights_by_place(tensors: Sequence[Tensor], places: Mapping[int, str]) -> dict[str, int]:
    """Bytes of the weights by device, where the layers lie at places (the last number is the output's)."""
    found: dict[str, int] = {}
    output = max(places)
    names = {tensor.name for tensor in tensors}
    for tensor in tensors:
        match = TENSOR_LAYER.match(tensor.name)
        homes = [places[int(match[1])] if match else places[output]]
        if tensor.name == "token_embd.weight":
            is_also_output = "output.weight" not in names and places[output] != HOST
            homes = [HOST, places[output]] if is_also_output else [HOST]
        for name in homes:
            found[name] = found.get(name, 0) + tensor.bytes
    return found


def _place(buffer: str, found: Survey) -> str:
    """The device whose memory a buffer such as "CUDA0", "CUDA_Host" or "CPU_REPACK" is."""
    return next((gpu.name for gpu in found.gpus if buffer == gpu.name or buffer.startswith(gpu.name + "_")), HOST)


def _bytes(mib: str) -> int:
    return round(float(mib) * MIB)


def _own_bytes() -> int:
    return int(psutil.Process().memory_full_info().uss)


def _library(version: str) -> Survey:
    """Back ends and devices, asked of ggml."""
    count, get_name = _ggml("ggml_backend_reg_count", ctypes.c_size_t), _ggml("ggml_backend_reg_name", ctypes.c_char_p)
    get = _ggml("ggml_backend_reg_get", ctypes.c_void_p, ctypes.c_size_t)
    backends = tuple(get_name(get(k)).decode() for k in range(count()))
    count = _ggml("ggml_backend_dev_count", ctypes.c_size_t)
    get = _ggml("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    return Survey(version=version, backends=backends, devices=tuple(_device(get(k)) for k in range(count())))


def _device(handle: int) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    pointer = ctypes.POINTER(ctypes.c_size_t)
    _ggml("ggml_backend_dev_memory", None, ctypes.c_void_p, pointer, pointer)(handle, free, total)
    kind = KINDS[_ggml("ggml_backend_dev_type", ctypes.c_int)(handle)]
    if kind == "cpu":                           # llama.cpp calls all of it free
        free.value = psutil.virtual_memory().available
    backend = _ggml("ggml_backend_dev_backend_reg", ctypes.c_void_p)(handle)
    return Device(
        name=_ggml("ggml_backend_dev_name", ctypes.c_char_p)(handle).decode(),
        description=_ggml("ggml_backend_dev_description", ctypes.c_char_p)(handle).decode("utf-8", "replace"),
        kind=kind, backend=_ggml("ggml_backend_reg_name", ctypes.c_char_p)(backend).decode(),
        free_mb=free.value // 10**6, total_mb=total.value // 10**6)


def _ggml(name: str, result: Any, *arguments: Any) -> Any:
    """A function of libggml or libggml-base; with no arguments named, it takes one handle or nothing."""
    from llama_cpp import _ggml
    from llama_cpp._ctypes_extensions import load_shared_library
    libraries = (_ggml.libggml, load_shared_library("ggml-base", _ggml.libggml_base_path))
    function = next(getattr(library, name) for library in libraries if hasattr(library, name))
    function.restype = result
    if arguments:
        function.argtypes = list(arguments)
    elif not name.endswith("_count"):
        function.argtypes = [ctypes.c_void_p]
    return function


if __name__ == "__main__":
    outside.watch()
    main()

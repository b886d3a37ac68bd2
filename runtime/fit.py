"""What of a model fits into the memory that is free: which context, how many layers on the GPU, which batch."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import distribution
from pathlib import Path

from models import knobs, runs
from models.errors import UserError
from models.header import fingerprint, read_header
from runtime.config import LoadConfig
from runtime.device import Device, default_threads, machine
from runtime.estimate import HOST, Estimate, Survey, from_json, survey
from runtime.pool import conversation_tokens
from runtime.threads import tuned_threads

LEAST_CTX_TOKENS = 512
COMFORTABLE_CTX_TOKENS = 4096       # a shorter context is worse than some layers beside the GPU
BATCHES = (512, 128)                # prompt tokens computed at once; the second only where memory is short
HOST_RESERVE_MB, GPU_RESERVE_MB = 256, 512      # left free: the rest of the machine goes on meanwhile
UNIFIED_BACKENDS = ("Metal", "MTL")             # their GPU works in the machine's own memory
KEY_FIELDS = ("device", "gpu_layers", "batch_tokens", "slots", "exact", "projector")    # what estimates hang on

Ask = Callable[[LoadConfig, Sequence[int]], Survey]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A choice, and whether it fits: config is the one that was asked about with nothing left to choose."""
    config: LoadConfig
    estimate: Estimate
    wanted_ctx_tokens: int
    missing_bytes: int              # 0: it fits
    gpu_layers: int                 # of
    layers: int

    @property
    def is_fitting(self) -> bool:
        return self.missing_bytes == 0

    @property
    def sentence(self) -> str:
        """"fits", "fits with 4,096 tokens of context", "needs 3.1 GB more", ..."""
        if not self.is_fitting:
            missing = self.missing_bytes
            return f"needs {missing / 1e9:.1f} GB more" if missing >= 1e9 else f"needs {-(-missing // 10**6)} MB more"
        words = "fits"
        if self.config.ctx_tokens < self.wanted_ctx_tokens:
            words += f" with {self.config.ctx_tokens:,} tokens of context"
        if 0 < self.gpu_layers < self.layers:
            words += f", {self.gpu_layers} of {self.layers} layers on the GPU"
        return words


def fit(path: Path, config: LoadConfig, free_mb: int | None = None) -> Fit:
    """What fits of the GGUF at path. What config names is kept; the rest (0, -1) is chosen.

    free_mb: of the machine's memory, if it is another than now, say after a loaded model is gone.
    Raises UserError if the file is no usable model.
    """
    header = read_header(path)
    found = choose(config, header.ctx_tokens, machine().free_mb if free_mb is None else free_mb,
                   lambda wanted, contexts: _known_survey(path, wanted, contexts))
    start = default_threads(header.parameters)
    threads = config.threads or (start > 1 and tuned_threads(fingerprint(path))) or start
    return replace(found, config=replace(found.config, threads=threads))


def fitted(path: Path, config: LoadConfig, free_mb: int | None = None) -> LoadConfig:
    """config with everything chosen. Raises UserError if the memory does not hold it."""
    found = fit(path, config, free_mb)
    if not found.is_fitting:
        tokens = found.config.ctx_tokens
        advice = "ask for a shorter context, " if config.ctx_tokens > LEAST_CTX_TOKENS else ""
        raise UserError(f"{path.name} with {tokens:,} tokens of context {found.sentence} memory than is free; "
                        f"{advice}close other programs or choose a smaller model.")
    return found.config


def choose(config: LoadConfig, own_ctx_tokens: int, free_mb: int, ask: Ask) -> Fit:
    """The best that fits, or the least that was tried. ask(config, contexts) says what each takes."""
    wanted = conversation_tokens(config.ctx_tokens, own_ctx_tokens)
    contexts = [wanted] if config.ctx_tokens else ladder(wanted)
    found = None
    for batch in (config.batch_tokens,) if config.batch_tokens else BATCHES:
        tried = replace(config, batch_tokens=batch)
        found = _on_devices(tried, contexts, free_mb, ask)
        if found.missing_bytes == 0 or found.missing_bytes > sum(found.estimate.compute.values()):
            break                                   # a smaller batch could not save that much
    assert found is not None
    return replace(found, wanted_ctx_tokens=wanted)


def ladder(wanted: int) -> list[int]:
    """wanted and the contexts below it that are tried, longest first: 8192, 6144, 4096, 3072, ... 512."""
    steps = sorted(count << k for count in (2, 3) for k in range(8, 24))
    return [wanted, *(step for step in reversed(steps) if LEAST_CTX_TOKENS <= step < wanted)]


def _on_devices(config: LoadConfig, contexts: list[int], free_mb: int, ask: Ask) -> Fit:
    """All layers where llama.cpp puts them; if a GPU is too small for that, as many there as it holds."""
    asked = ask(config, contexts)
    found = _longest(config, asked, free_mb)
    enough = min(contexts[0], COMFORTABLE_CTX_TOKENS)
    if config.gpu_layers >= 0 or (found.is_fitting and found.config.ctx_tokens >= enough):
        return found
    shorter = [context for context in contexts if context <= enough] or contexts
    share = _gpu_share(asked.estimates[contexts.index(shorter[0])], asked)
    layers = found.layers
    while share < 1 and layers > 0:
        layers = min(layers - 1, int(layers * share))
        asked = ask(replace(config, gpu_layers=layers), shorter)
        share = _gpu_share(asked.estimates[0], asked)
        found = _longest(replace(config, gpu_layers=layers), asked, free_mb)
    return found


def _gpu_share(estimate: Estimate, asked: Survey) -> float:
    """The part of the layers' memory for which the fullest GPU has room, beside that for the computing itself."""
    shares = [1.0]
    for gpu in asked.gpus:
        of_layers = estimate.weights.get(gpu.name, 0) + estimate.cache.get(gpu.name, 0)
        room = max(0, _room(gpu) - estimate.compute.get(gpu.name, 0))
        if estimate.bytes_on(gpu.name) > _room(gpu):
            shares.append(min(1.0, room / max(1, of_layers)) if of_layers > room else 0.0)
    return min(shares)


def _longest(config: LoadConfig, asked: Survey, free_mb: int) -> Fit:
    """The first of the contexts asked for (longest first) that fits, else the last."""
    fits = [Fit(config=replace(config, ctx_tokens=estimate.ctx_tokens), estimate=estimate,
                wanted_ctx_tokens=estimate.ctx_tokens, missing_bytes=missing_bytes(estimate, asked, free_mb),
                gpu_layers=sum(asked.layers_on.get(gpu.name, 0) for gpu in asked.gpus), layers=asked.layers)
            for estimate in asked.estimates]
    return next((one for one in fits if one.is_fitting), fits[-1])


def missing_bytes(estimate: Estimate, asked: Survey, free_mb: int) -> int:
    """How many bytes are missing on the machine and its GPUs together; 0 if everything fits."""
    host, missing = estimate.bytes_on(HOST), 0
    for gpu in asked.gpus:
        needed = estimate.bytes_on(gpu.name)
        if is_unified(gpu):
            host += needed
        if needed:
            missing += max(0, needed - (gpu.free_mb - GPU_RESERVE_MB) * 10**6)
    return missing + max(0, host - (free_mb - HOST_RESERVE_MB) * 10**6)


def _room(gpu: Device) -> int:
    return max(0, gpu.free_mb - GPU_RESERVE_MB) * 10**6


def is_unified(gpu: Device) -> bool:
    """True for a GPU that works in the machine's own memory."""
    return gpu.kind == "igpu" or gpu.backend in UNIFIED_BACKENDS


def _known_survey(path: Path, config: LoadConfig, contexts: Sequence[int]) -> Survey:
    """runtime.estimate.survey, kept for each file and config; a GPU may be new or fuller, so it is asked each time."""
    what = {name: value for name, value in knobs.to_json(config).items() if name in KEY_FIELDS}
    package = distribution("llama_cpp_python")
    installed = Path(str(package.locate_file("llama_cpp/lib"))).stat().st_mtime_ns
    key = json.dumps([fingerprint(path), package.version, installed, what, list(contexts)])
    kept = runs.home() / "cache" / f"estimate-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    with contextlib.suppress(UserError, KeyError, TypeError):       # not there yet, or of another version of Galen
        return from_json(runs.read_json(kept))
    found = survey(path, config, contexts)
    if found.backends == (HOST,):
        with contextlib.suppress(UserError, OSError):               # a full disk must not keep a model from loading
            runs.make_folder(kept.parent)
            runs.write_json(kept, asdict(found))
    return found

"""The same calls answered by transformers and peft: what a GGUF is held against. Workers only."""

import copy
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models import runs
from models.base import check_base, family
from models.errors import UserError
from runtime.device import default_threads, machine
from tasks.hf_tokenizer import HFTokenizer

LOGITS_AT_ONCE = 1 << 26            # numbers the head makes in one call
WORK_BYTES = 1 << 30                # beside the weights: activations, logits, a cache
CHUNK_ROWS = 64                     # positions turned into 64-bit log-probabilities at once
LOAD_ERRORS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError,
               TypeError, ValueError)       # what transformers raises for files that it does not understand
REWRITES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "kasa")     # set up from the base's own weights


class ActivationSums:
    """For each linear weight, the sum over tokens of its squared inputs: what an importance matrix is made of.

    in_sum2: {tensor in the base's files: (in_features,) float64}; tokens: {the same: tokens summed}. A head that is
    tied to the embedding is lm_head.weight.
    """

    def __init__(self, skipped_rows: int = 0):
        """skipped_rows: the first so many of the rows are computed beside the others, and not summed."""
        self.in_sum2: dict[str, np.ndarray] = {}
        self.tokens: dict[str, int] = {}
        self._skipped_rows = skipped_rows
        self._seen: Counter[str] = Counter()            # rows, by the name of the weight that got them

    def add(self, name: str, inputs: Any) -> None:
        """Add the inputs (..., in_features) that one row gives the weight called name, a float32 tensor."""
        self._seen[name] += 1
        if self._seen[name] <= self._skipped_rows:
            return
        rows = inputs.reshape(-1, inputs.shape[-1])
        self.in_sum2[name] = self.in_sum2.get(name, 0.0) + rows.double().square().sum(0).numpy()
        self.tokens[name] = self.tokens.get(name, 0) + len(rows)

    @contextmanager
    def watching(self, linears: Mapping[str, Any]) -> Iterator[None]:
        """Add whatever these modules ({name: module}) are called with."""
        def hook(name: str) -> Callable[[Any, tuple[Any, ...]], None]:
            return lambda _module, args: self.add(name, args[0])
        handles = [module.register_forward_pre_hook(hook(name)) for name, module in linears.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class Reference:
    """Base model plus adapters in float32 on the CPU; greedy.

    Where the weights do not fit (is_layerwise) every call reads the model from disk once, or once a token; so give
    the methods for many rows all of them.
    """

    def __init__(self, base: Path, adapter: Path | Sequence[Path] | None = None, threads: int = 0,
                 is_layerwise: bool | None = None, progress: Callable[[int, int], None] | None = None):
        """Load base (a Hugging Face folder) and adapter (a PEFT folder); threads 0: chosen by size.

        Several adapters: each was trained on the model into which those before it had been merged.

        is_layerwise None: only where the float32 weights do not fit in free memory. progress(layers done, of) is
        called between layers there, and may raise to stop. Raises UserError if either folder is not whole, or the two
        do not belong together.
        """
        check_base(base)
        self._base = base
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        import torch
        import transformers
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        from runtime import layerwise
        checkpoint = layerwise.Checkpoint(base)
        can_stream = family(base) in layerwise.FAMILIES
        if is_layerwise is None:
            is_layerwise = can_stream and 4 * checkpoint.numbers + WORK_BYTES > 10**6 * machine().free_mb
        if is_layerwise and not can_stream:
            raise UserError(f"{base} is a model of the family {family(base)}, which can not be computed layer by "
                            f"layer; that works for {', '.join(sorted(layerwise.FAMILIES))}.")
        self._torch, self.is_layerwise = torch, is_layerwise

        adapters = [adapter] if isinstance(adapter, Path) else list(adapter or ())
        if is_layerwise:
            adapts = [partial(_on_empty, folder=folder) for folder in adapters]
            with _loading(base):
                self._engine: Any = layerwise.Layerwise(checkpoint, adapts, progress)
        else:
            self._engine = Whole(checkpoint, lambda model: _with_adapters(model, adapters))
        torch.set_num_threads(threads or default_threads(checkpoint.numbers))
        self._model = self._engine.model
        self._cache = lambda: transformers.DynamicCache(config=self._model.config)
        with _loading(base):
            self.tokenizer = HFTokenizer(transformers.AutoTokenizer.from_pretrained(base))

    @property
    def ctx_tokens(self) -> int:
        """The longest conversation that the model was made for; 0 where its config does not say."""
        return getattr(self._model.config.get_text_config(), "max_position_embeddings", 0) or 0

    def logits(self, ids: list[int]) -> np.ndarray:
        """Logits after each of ids: (len(ids), vocab) float32."""
        return next(self.each_logits([ids]))

    def each_logits(self, rows: Sequence[list[int]], sums: ActivationSums | None = None) -> Iterator[np.ndarray]:
        """logits() of each row in order; what the linear layers get is added to sums on the way."""
        for part in self._heads(self._hidden(rows, sums)):
            yield part.numpy()

    def states(self, rows: Sequence[list[int]], sums: ActivationSums | None = None) -> Iterator[np.ndarray]:
        """What the output head gets for each row in order: (T, width) float32, a hundredth of what logits take."""
        for state in self._hidden(rows, sums):
            yield state.numpy()

    def logits_of(self, states: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Logits (T, vocab) float32 of each of what states() gave, or of parts of it; made when they are asked for."""
        for part in self._heads(map(self._torch.from_numpy, states)):
            yield part.numpy()

    def release_layers(self) -> None:
        """Give back the memory of all but the head; afterwards only logits_of and the tokenizer work."""
        from runtime.llama import give_memory_back
        self._engine.release_layers()
        self._model.get_decoder().layers = self._torch.nn.ModuleList()
        give_memory_back()

    def logprobs(self, ids: list[int], start: int) -> list[float]:
        """log p(ids[k] | ids[:k]) for each k >= start (start >= 1), in nats."""
        return next(self.each_logprobs([(ids, start)]))

    def each_logprobs(self, items: Sequence[tuple[list[int], int]]) -> Iterator[list[float]]:
        """logprobs() of each (ids, start) in order."""
        hidden = self._hidden([ids for ids, _ in items])
        scored = (state[start - 1:-1] for state, (_, start) in zip(hidden, items, strict=True))
        for logits, (ids, start) in zip(self._heads(scored), items, strict=True):
            yield self._picked(logits, ids[start:])

    def scores(self, items: Sequence[tuple[list[int], Sequence[list[int]]]]) -> list[list[list[float]]]:
        """log p of each token of each candidate after its prompt, in nats: one list an item, a candidate, a token.

        items: (prompt, candidates) as ids. A prompt is computed once, and kept while its candidates are.
        """
        found: list[list[list[float]]] = []
        step = len(items) if self.is_layerwise else 1
        for part in (items[start:start + step] for start in range(0, len(items), max(1, step))):
            found += self._scores(part)
        return found

    def _scores(self, items: Sequence[tuple[list[int], Sequence[list[int]]]]) -> list[list[list[float]]]:
        self._check_ids([row for prompt, candidates in items for row in (prompt, *candidates)])
        caches = [self._cache() if any(len(one) > 1 for one in candidates) else None for _, candidates in items]
        states = self._engine.hidden([prompt for prompt, _ in items], caches)
        firsts = list(self._head(self._torch.cat([state[-1:] for state in states])))
        longer = [(k, one) for k, (_, candidates) in enumerate(items) for one in candidates if len(one) > 1]
        then = self._engine.hidden([one[:-1] for _, one in longer], [copy.deepcopy(caches[k]) for k, _ in longer])
        rests = [self._picked(logits, one[1:]) for logits, (_, one) in zip(self._heads(then), longer, strict=True)]
        rest = iter(rests)
        return [[self._picked(first[None], one[:1]) + (next(rest) if len(one) > 1 else []) for one in candidates]
                for first, (_, candidates) in zip(firsts, items, strict=True)]

    def generate(self, ids: list[int], max_tokens: int, stop_ids: Iterable[int]) -> tuple[list[int], str]:
        """Greedy continuation of ids: (new ids without the one that stops, "stop" or "length")."""
        return self.generate_all([ids], max_tokens, stop_ids)[0]

    def generate_all(self, prompts: Sequence[list[int]], max_tokens: int, stop_ids: Iterable[int],
                     progress: Callable[[int, int], None] | None = None) -> list[tuple[list[int], str]]:
        """generate() of each prompt; layer by layer, one reading of the model makes one token of each.

        progress(tokens of the longest answer, max_tokens) is called between them, and may raise to stop.
        """
        self._check_ids(prompts)
        stop = frozenset(stop_ids)
        made: list[list[int]] = [[] for _ in prompts]
        reasons = ["length" for _ in prompts]
        caches = [self._cache() for _ in prompts]
        steps = dict(enumerate(prompts)) if max_tokens > 0 else {}
        while steps:
            states = self._engine.hidden(list(steps.values()), [caches[k] for k in steps])
            last = self._torch.cat([state[-1:] for state in states])
            following = {}
            for k, token in zip(steps, self._head(last).argmax(-1).tolist(), strict=True):
                if token in stop:
                    reasons[k] = "stop"
                    continue
                made[k].append(token)
                if len(made[k]) < max_tokens:
                    following[k] = [token]
            steps = following
            if progress:
                progress(max(map(len, made)), max_tokens)
        return list(zip(made, reasons, strict=True))

    def activation_sums(self, rows: Sequence[list[int]]) -> ActivationSums:
        """The sums of all rows, without the cost of their logits."""
        sums = ActivationSums()
        for _ in self._hidden(rows, sums):
            pass
        return sums

    def _check_ids(self, rows: Sequence[list[int]]) -> None:
        """Raise UserError for an id beyond the embedding: a tokenizer that adds tokens of its own."""
        count = self._model.config.get_text_config().vocab_size
        most = max((max(row, default=0) for row in rows), default=0)
        if most >= count:
            raise UserError(f"The tokenizer in {self._base} gives the id {most:,} "
                            f"({self.tokenizer.hf.convert_ids_to_tokens(most)!r}), and the model's embedding has "
                            f"{count:,} rows; copy the tokenizer's files from the original model.")

    def _hidden(self, rows: Sequence[list[int]], sums: ActivationSums | None = None) -> Iterator[Any]:
        """What the head gets for each row: (T, width)."""
        self._check_ids(rows)
        for state in self._engine.hidden(rows, [None] * len(rows), sums):
            if sums:
                sums.add(self._engine.head_name, state)
            yield state

    def _heads(self, states: Iterable[Any]) -> Iterator[Any]:
        """Logits of each of states (T, width); short ones share a call of the head."""
        together: list[Any] = []
        limit = max(1, LOGITS_AT_ONCE // self._model.config.get_text_config().vocab_size)
        for state in states:
            if together and sum(map(len, together)) + len(state) > limit:
                yield from self._head(self._torch.cat(together)).split([len(t) for t in together])
                together = []
            together.append(state)
        if together:
            yield from self._head(self._torch.cat(together)).split([len(t) for t in together])

    def _head(self, state: Any) -> Any:
        """(N, vocab) float32 of state (N, width): whatever the model does behind its body (head, soft-capping)."""
        body = getattr(self._model, self._model.base_model_prefix)
        with self._torch.inference_mode():
            body.forward = lambda **_: self._engine.output(last_hidden_state=state[None])
            try:
                return self._model(input_ids=self._torch.zeros(1, 1, dtype=self._torch.long)).logits[0].float()
            finally:
                del body.forward

    def _picked(self, logits: Any, targets: list[int]) -> list[float]:
        """log p of each target under its row of logits (N, vocab)."""
        picked: list[float] = []
        with self._torch.inference_mode():
            for start in range(0, len(targets), CHUNK_ROWS):
                wanted = self._torch.tensor(targets[start:start + CHUNK_ROWS])[:, None]
                rows = logits[start:start + CHUNK_ROWS].double().log_softmax(-1)
                picked += rows.gather(1, wanted)[:, 0].tolist()
        return picked


@contextmanager
def _loading(base: Path) -> Iterator[None]:
    """Raise UserError with the first words of transformers for a folder that it can not load."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    try:
        yield
    except (*LOAD_ERRORS, StrictDataclassError, SafetensorError) as error:
        said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2]).strip(" .:")
        raise UserError(f"transformers can not load {base} ({type(error).__name__}: {said[:300]}). Correct its "
                        "config.json, or copy the folder's files from the original model.") from error


class Whole:
    """model with all its weights in memory."""

    def __init__(self, checkpoint: Any, adapt: Callable[[Any], Any]):
        """checkpoint: the base's layerwise.Checkpoint.

        Raises UserError if it lacks a tensor of the model, or holds one of another shape.
        """
        import torch
        import transformers

        from runtime.layerwise import head_name, linears
        with _loading(checkpoint.base):
            config = transformers.AutoConfig.from_pretrained(checkpoint.base)
            text = config.get_text_config()
            rows, text.vocab_size = text.vocab_size, max(text.vocab_size, checkpoint.embedding_rows)
            # soft-capping exists in eager attention only (Gemma 2); the others are exact in it too
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                checkpoint.base, config=config, dtype=torch.float32, attn_implementation="eager",
                output_loading_info=True, ignore_mismatched_sizes=True)
        if found["missing_keys"]:
            raise UserError(f"{checkpoint.base} lacks the tensor {min(found['missing_keys'])}; copy or download the "
                            "model again.")
        names = checkpoint.names(model)
        for name in sorted(name for name, *_ in found["mismatched_keys"]):
            checkpoint.check(names[name], tuple(model.get_parameter(name).shape))
        for end in (model.get_input_embeddings(), model.get_output_embeddings()):
            end.weight.data = end.weight.data[:rows]            # those beyond the vocabulary are no tokens
        model.config.get_text_config().vocab_size = rows
        self.head_name = head_name(model, names)
        self._torch, self.model = torch, adapt(model).eval()
        self.linears = linears(self.model, names)

    def hidden(self, rows: Sequence[list[int]], caches: Sequence[Any],
               sums: ActivationSums | None = None) -> Iterator[Any]:
        """What the head gets for each row: (T, width) float32. caches: one of the row's past each, or None."""
        for row, cache in zip(rows, caches, strict=True):
            yield self._row(row, cache, sums)

    def _row(self, row: list[int], cache: Any, sums: ActivationSums | None) -> Any:
        body = getattr(self.model, self.model.base_model_prefix)
        with self._torch.inference_mode(), sums.watching(self.linears) if sums else nullcontext():
            made = body(input_ids=self._torch.tensor([row]), past_key_values=cache, use_cache=cache is not None)
        self.output = type(made)
        return made.last_hidden_state[0]

    def release_layers(self) -> None:
        """Keep no layer alive."""
        self.linears = {}


def _with_adapters(model: Any, folders: Sequence[Path]) -> Any:
    """model with the LoRA layers of the last folder, and those of all before it merged into it.

    Where LoRA changes one end of a model whose embedding is its head, peft's merge changes both, and its layers do not:
    what is exported is the merge, so that is what it is held against.
    """
    for number, folder in enumerate(folders, 1):
        is_tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        tuned = _with_adapter(model, folder, is_empty=False)
        model = tuned.get_base_model()
        if number < len(folders):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = tuned.merge_and_unload()
        elif is_tied:
            for end in (model.get_input_embeddings(), model.get_output_embeddings()):
                if hasattr(end, "base_layer"):
                    end.merge()
    return model


def _on_empty(model: Any, folder: Path) -> Any:
    return _with_adapter(model, folder, is_empty=True).get_base_model()


def _with_adapter(model: Any, folder: Path, is_empty: bool) -> Any:
    """model with the LoRA layers of a PEFT folder, as peft's own class; is_empty: its weights are not there yet.

    Raises UserError if the folder is not whole, is no LoRA, or was made for another base.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}, so it is no PEFT adapter.")
    config = runs.read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise UserError(f"{folder} is an adapter of the type {config.get('peft_type')}; only LoRA adapters can be "
                        "compared with.")
    start = str(config.get("init_lora_weights")).lower()
    if is_empty and start.startswith(REWRITES_BASE):
        raise UserError(f"This adapter was started with init_lora_weights = {start!r}, which rewrites the base "
                        "weights, and they do not fit in memory; convert it to a plain LoRA with peft first.")
    from peft import PeftModel
    from safetensors import SafetensorError, safe_open
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            tuned = PeftModel.from_pretrained(model, str(folder), low_cpu_mem_usage=is_empty, torch_device="cpu")
            with safe_open(folder / "adapter_model.safetensors", framework="np") as file:
                saved = sum(".lora_" in name for name in file.keys())       # noqa: SIM118 (no dict)
        except SafetensorError as error:
            raise UserError(f"{folder / 'adapter_model.safetensors'} is no whole safetensors file: {error}.") from None
        except (*LOAD_ERRORS, UserWarning) as error:
            raise UserError(f"The adapter {folder} does not fit this base model ({str(error).partition(chr(10))[0]}); "
                            "give the base it was trained on.") from error
    used = sum(".lora_" in name for name, _ in tuned.named_parameters())
    if used < saved:
        raise UserError(f"The adapter {folder} was trained on another base model: it changes {saved:,} matrices, of "
                        f"which this one has {used:,}. Give the base it was trained on.")
    return tuned

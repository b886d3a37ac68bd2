"""The library without us: llama_cpp.Llama, or a bare llama_decode loop, alone in a child process.

The parent makes a Library and asks; the child (`python bench/library.py`) answers, one JSON line each way.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SAMPLED = dict(temperature=0.7, top_k=64, top_p=0.95, min_p=0.0)


class Library:
    """The child, loaded with one model. Use it as a context manager."""

    def __init__(self, path: Path, *, ctx_tokens: int, threads: int, is_bare: bool = False):
        """Start the child and load path, every layer on the GPU if there is one; bare: without llama_cpp.Llama."""
        self._child = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True)
        assert self._child.stdin and self._child.stdout
        self._requests, self._answers = self._child.stdin, self._child.stdout
        self.ask(do="load", path=str(path), ctx_tokens=ctx_tokens, threads=threads, is_bare=is_bare)

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.close()
        self._child.wait()

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request by the names of the child's functions below, and its answer."""
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the library's process ended with status {self._child.wait()}")
        return json.loads(line)

    def answer(self, ids: list[int], max_tokens: int, is_sampled: bool = False) -> dict[str, float]:
        """Stream an answer: {"tokens", "first_s", "seconds", "tokens_per_s"}."""
        return self.ask(do="answer", ids=ids, max_tokens=max_tokens, is_sampled=is_sampled)

    def answers(self, prompts: list[list[int]], max_tokens: int) -> dict[str, float]:
        """Answers one after another: {"tokens", "seconds"} of all."""
        return self.ask(do="answers", prompts=prompts, max_tokens=max_tokens)

    def decode(self, ids: list[int], steps: int, is_sampled: bool = False) -> float:
        """Tokens/s of the bare loop after ids; sampled: with llama.cpp's greedy sampler."""
        return self.ask(do="decode", ids=ids, steps=steps, is_sampled=is_sampled)["tokens_per_s"]


class _Llama:
    """The child's side: the library as its users call it."""

    def __init__(self, path: str, ctx_tokens: int, threads: int):
        import llama_cpp
        self._model = llama_cpp.Llama(path, n_ctx=ctx_tokens, n_threads=threads, n_threads_batch=threads,
                                      n_gpu_layers=-1, verbose=False)

    def answer(self, ids: list[int], max_tokens: int, is_sampled: bool) -> dict[str, float]:
        asked = time.perf_counter()
        times = [time.perf_counter() for chunk in self._model.create_completion(
            ids, max_tokens=max_tokens, stream=True, **(SAMPLED if is_sampled else {"temperature": 0.0}))
            if chunk["choices"][0]["text"]]
        seconds = time.perf_counter() - asked
        tokens = min(self._model.n_tokens - len(ids) + 1, max_tokens)     # the last one is not decoded
        between = times[-1] - times[0] if times else 0.0
        return {"tokens": tokens, "first_s": times[0] - asked if times else seconds, "seconds": seconds,
                "tokens_per_s": (tokens - 1) / between if between else 0.0}

    def answers(self, prompts: list[list[int]], max_tokens: int) -> dict[str, float]:
        began = time.perf_counter()
        tokens = sum(int(self.answer(ids, max_tokens, False)["tokens"]) for ids in prompts)
        return {"tokens": tokens, "seconds": time.perf_counter() - began}


class _Bare:
    """The child's side: llama.cpp's functions, one token a step."""

    def __init__(self, path: str, ctx_tokens: int, threads: int):
        import llama_cpp.llama_cpp as lib
        self._lib = lib
        self._quiet = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(self._quiet, None)
        lib.llama_backend_init()
        weights = lib.llama_model_default_params()
        weights.n_gpu_layers = 999
        self._model = lib.llama_model_load_from_file(os.fsencode(path), weights)
        context = lib.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = ctx_tokens, 512, 512
        context.n_threads = context.n_threads_batch = threads
        context.no_perf = True
        self._context = lib.llama_init_from_model(self._model, context)
        self._batch = lib.llama_batch_init(512, 0, 1)
        self._greedy = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        lib.llama_sampler_chain_add(self._greedy, lib.llama_sampler_init_greedy())

    def decode(self, ids: list[int], steps: int, is_sampled: bool) -> dict[str, float]:
        lib = self._lib
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        for at in range(0, len(ids), 512):
            self._step(ids[at:at + 512], at)
        lib.llama_synchronize(self._context)
        token, began = ids[-1], time.perf_counter()
        for k in range(steps):
            if is_sampled:
                token = lib.llama_sampler_sample(self._greedy, self._context, -1)
            self._step([token], len(ids) + k)
            lib.llama_synchronize(self._context)
        return {"tokens_per_s": steps / (time.perf_counter() - began)}

    def _step(self, ids: list[int], past: int) -> None:
        batch = self._batch
        batch.n_tokens = len(ids)
        for k, token in enumerate(ids):
            batch.token[k], batch.pos[k], batch.n_seq_id[k], batch.seq_id[k][0] = token, past + k, 1, 0
            batch.logits[k] = k == len(ids) - 1
        status = self._lib.llama_decode(self._context, batch)
        assert status == 0, f"llama_decode returned {status}"


def main() -> None:
    answers, loaded = os.fdopen(os.dup(1), "w"), None
    os.dup2(2, 1)                               # whatever else prints goes to stderr
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        if do == "load":
            loaded = (_Bare if request.pop("is_bare") else _Llama)(**request)
            answer = {}
        else:
            answer = getattr(loaded, do)(**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

"""The measures of bench/runtime.py: each gives its keys, and the raw figures of every round.

Both sides of a ratio are taken in turns in one run; a key is the median of the rounds' ratios.
"""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.library import SAMPLED, Library
from bench.subject import Heard, Prompts, Subject, answer, median_ratio, settle
from runtime.config import SampleConfig
from runtime.session import Session

LABEL_TOKENS = (1, 2, 2, 3, 3)                  # of the five labels
JOIN_AFTER = 40                                 # pieces of the running stream before the other request joins
BUSY = "while True: pass"
Item = TypeVar("Item")


@dataclass
class Measured:
    """keys: what the issue asks for; raw: lists with one figure a round."""
    keys: dict[str, float | None]
    raw: dict[str, Any] = field(default_factory=dict)


def decode(subject: Subject) -> Measured:
    """One stream: ours, the library's, a bare loop, a bare loop with llama.cpp's greedy sampler."""
    names = ("ours", "library", "bare", "bare_greedy", "ours_sampled", "library_sampled")
    raw: dict[str, list[float]] = {f"{name}_tokens_per_s": [] for name in names}
    with subject.session() as session, subject.library() as library, subject.library(is_bare=True) as bare:
        prompts = subject.prompts(session, 1)

        def turns(ids: list[int], steps: int) -> dict[str, Callable[[], float]]:
            return {
                "ours": lambda: answer(session, ids, steps).tokens_per_s,
                "library": lambda: library.answer(ids, steps)["tokens_per_s"],
                "bare": lambda: bare.decode(ids, steps),
                "bare_greedy": lambda: bare.decode(ids, steps, is_sampled=True),
                "ours_sampled": lambda: answer(session, ids, steps, **SAMPLED).tokens_per_s,
                "library_sampled": lambda: library.answer(ids, steps, is_sampled=True)["tokens_per_s"],
            }

        for warm_up in turns(prompts.ids(32), 8).values():
            warm_up()
        for k in range(subject.rounds):
            ids = prompts.long_answered(128)
            for name, measure in rotated(list(turns(ids, 128).items()), k):
                raw[f"{name}_tokens_per_s"].append(steady(measure))
    ours, greedy = raw["ours_tokens_per_s"], raw["bare_greedy_tokens_per_s"]
    outside = [1e6 / a - 1e6 / b for a, b in zip(ours, greedy, strict=True)]
    return Measured({"decode_vs_library": median_ratio(ours, raw["library_tokens_per_s"]),
                     "decode_vs_raw": median_ratio(ours, raw["bare_tokens_per_s"]),
                     "overhead_us_per_token": statistics.median(outside)},
                    {**raw, "overhead_us": outside, "decode_sampled_vs_library": median_ratio(
                        raw["ours_sampled_tokens_per_s"], raw["library_sampled_tokens_per_s"])})


def parallel(subject: Subject) -> Measured:
    """Eight requests (32 tokens in, 64 out) at once, against one after another through the library."""
    raw: dict[str, list[float]] = {"ours_tokens_per_s": [], "library_tokens_per_s": []}
    with subject.session() as session, subject.library() as library, ThreadPoolExecutor(8) as pool:
        prompts = subject.prompts(session, 2)
        answer(session, prompts.ids(32), 4)
        library.answer(prompts.ids(32), 4)

        def ours(asked: list[list[int]]) -> float:
            began = time.perf_counter()
            heard = list(pool.map(lambda ids: answer(session, ids, 64), asked))
            return sum(h.end.generated_tokens for h in heard) / (time.perf_counter() - began)

        def theirs(asked: list[list[int]]) -> float:
            all_of_them = library.answers(asked, 64)
            return all_of_them["tokens"] / all_of_them["seconds"]

        for k in range(subject.rounds):
            asked = [prompts.long_answered(64, lambda ids: int(library.answer(ids, 64)["tokens"])) for _ in range(8)]
            for name, measure in rotated([("ours", ours), ("library", theirs)], k):
                raw[f"{name}_tokens_per_s"].append(measure(asked))
    return Measured({"parallel8_vs_sequential": median_ratio(*raw.values())}, raw)


def next_turn(subject: Subject) -> Measured:
    """First token of the next turn of a 1,500-token conversation, against one as long that shares nothing."""
    raw: dict[str, list[float]] = {name: [] for name in (
        "turn_s", "cold_s", "turn_prompt_tokens", "turn_cached_tokens", "cold_prompt_tokens", "cold_cached_tokens")}
    with subject.session() as session:
        prompts = subject.prompts(session, 3)
        answer(session, prompts.ids(32), 4)

        def first_token(messages: list[dict[str, str]], name: str) -> None:
            heard = Heard(time.perf_counter())
            heard.listen(session.chat(messages, SampleConfig(temperature=0.0, max_tokens=2)))
            raw[f"{name}_s"].append(heard.first_s)
            raw[f"{name}_prompt_tokens"].append(heard.end.prompt_tokens)
            raw[f"{name}_cached_tokens"].append(heard.end.cached_tokens)

        def turn() -> None:
            messages = conversation(prompts, session, 1400)
            heard = Heard(time.perf_counter())
            heard.listen(session.chat(messages, SampleConfig(temperature=0.0, max_tokens=100)))
            first_token([*messages, {"role": "assistant", "content": "".join(heard.pieces)},
                         {"role": "user", "content": prompts.text(50)}], "turn")

        def cold() -> None:
            first_token([*conversation(prompts, session, 1400), {"role": "assistant", "content": prompts.text(100)},
                         {"role": "user", "content": prompts.text(50)}], "cold")

        for k in range(subject.rounds):
            for measure in rotated([turn, cold], k):
                measure()
    return Measured({"turn_ttft_vs_cold": median_ratio(raw["turn_s"], raw["cold_s"])}, raw)


def conversation(prompts: Prompts, session: Session, tokens: int) -> list[dict[str, str]]:
    """Seven messages, the last from the user, that make a prompt of about so many tokens."""
    messages = [{"role": ("user", "assistant")[k % 2], "content": prompts.text(tokens // 7 - 8)} for k in range(7)]
    missing = tokens - len(session.prompt_ids(messages))
    if missing > 0:
        messages[-1]["content"] += " " + prompts.text(missing)
    return messages


def join(subject: Subject) -> Measured:
    """A 1,000-token prompt joins a running stream: the stream's longest gap, and the joiner's first token."""
    raw: dict[str, list[float]] = {name: [] for name in ("gap_s", "longest_gap_s", "alone_s", "joined_s")}
    with subject.session() as session:
        prompts = subject.prompts(session, 4)
        answer(session, prompts.ids(600), 4)

        def alone() -> None:
            raw["alone_s"].append(answer(session, prompts.ids(1000), 2).first_s)

        def joined() -> None:
            gap_s, longest_gap_s, joined_s = first(lambda: _joined(session, prompts))
            raw["gap_s"].append(gap_s)
            raw["longest_gap_s"].append(longest_gap_s)
            raw["joined_s"].append(joined_s)

        for k in range(subject.rounds):
            for measure in rotated([alone, joined], k):
                measure()
    return Measured({"stream_stall_x": median_ratio(raw["longest_gap_s"], raw["gap_s"]),
                     "join_ttft_x": median_ratio(raw["joined_s"], raw["alone_s"])}, raw)


def _joined(session: Session, prompts: Prompts) -> tuple[float, float, float] | None:
    """(the stream's usual gap, its longest while the other joins, the joiner's first token) in seconds.

    None if the running answer ended first.
    """
    stream = session.complete(prompts.long_answered(200), SampleConfig(temperature=0.0, max_tokens=1500))
    running, joiner = Heard(time.perf_counter()), prompts.ids(1000)
    listener = threading.Thread(target=running.listen, args=(stream,))
    listener.start()
    wait_for(lambda: len(running.times) >= JOIN_AFTER or not listener.is_alive())
    heard = answer(session, joiner, 2)
    seen, first_at = len(running.times), heard.asked + heard.first_s
    wait_for(lambda: len(running.times) > seen + 1 or not listener.is_alive())
    stream.cancel()
    listener.join()
    if running.times[-1] < first_at:
        return None
    gaps = list(zip(running.times, running.times[1:], strict=False))
    usual = statistics.median(b - a for a, b in gaps[4:] if b < heard.asked)
    return usual, max(b - a for a, b in gaps if b > heard.asked and a < first_at), heard.first_s


def busy_core(subject: Subject) -> Measured:
    """Decode speed beside a process that takes a core, threads left to the runtime, against idle."""
    raw: dict[str, Any] = {"busy_tokens_per_s": [], "idle_tokens_per_s": []}
    with subject.session(threads=0) as session:
        prompts = subject.prompts(session, 5)
        answer(session, prompts.ids(32), 8)
        raw["tuning_s"] = settle(session)

        def measured(name: str) -> None:
            raw[f"{name}_tokens_per_s"].append(steady(lambda: answer(session, ids, 128).tokens_per_s))

        def busy() -> None:
            other = subprocess.Popen([sys.executable, "-c", BUSY])
            try:
                time.sleep(1.0)
                measured("busy")
            finally:
                other.kill()
                other.wait()
            time.sleep(1.0)

        for k in range(subject.rounds):
            ids = prompts.long_answered(128)
            for measure in rotated([lambda: measured("idle"), busy], k):
                measure()
    return Measured({"busy_core_x": median_ratio(raw["busy_tokens_per_s"], raw["idle_tokens_per_s"])}, raw)


def scoring(subject: Subject) -> Measured:
    """Five labels, texts of 100 tokens, a shared prefix of 300: scored by us, against 32 tokens written each."""
    raw: dict[str, Any] = {"library_s": [], "ours_s": [], "library_tokens": []}
    with subject.session() as session, subject.library() as library:
        prompts = subject.prompts(session, 6)
        answer(session, prompts.ids(32), 4)
        library.answer(prompts.ids(32), 4)
        labels = [prompts.plain_ids(n) for n in LABEL_TOKENS]

        def ours(asked: list[list[int]]) -> None:
            began = time.perf_counter()
            found = session.score([(ids, labels) for ids in asked])
            raw["ours_s"].append(time.perf_counter() - began)
            assert [[len(one) for one in row] for row in found] == [list(LABEL_TOKENS)] * len(asked)

        def theirs(asked: list[list[int]]) -> None:
            said = library.answers(asked, 32)
            raw["library_s"].append(said["seconds"])
            raw["library_tokens"].append(said["tokens"])

        for k in range(subject.rounds):
            shared = prompts.ids(300)
            asked = [shared + prompts.plain_ids(100) for _ in range(subject.texts)]
            for measure in rotated([ours, theirs], k):
                measure(asked)
    return Measured({"score_vs_generate": median_ratio(raw["library_s"], raw["ours_s"])}, raw)


def cancel(subject: Subject) -> Measured:
    """Tokens made after cancel() returned, at different moments of a step; the key is the worst of all."""
    raw: dict[str, list[float]] = {"steps_after_cancel": [], "pieces_before": []}
    with subject.session() as session:
        prompts = subject.prompts(session, 7)
        answer(session, prompts.ids(32), 8)
        for k in range(4 * subject.rounds):
            stream = session.complete(prompts.long_answered(64), SampleConfig(temperature=0.0, max_tokens=400))
            heard = Heard(time.perf_counter())
            listener = threading.Thread(target=heard.listen, args=(stream,))
            listener.start()
            while len(heard.times) < 10 and listener.is_alive():
                time.sleep(0.0005)
            time.sleep((heard.times[-1] - heard.times[0]) / len(heard.times) * (k % 8) / 8)
            stream.cancel()
            before = len(heard.times)
            listener.join()
            assert heard.end.finish_reason == "cancelled", heard.end
            raw["steps_after_cancel"].append(heard.end.generated_tokens - before)
            raw["pieces_before"].append(before)
    return Measured({"cancel_steps": max(raw["steps_after_cancel"])}, raw)


def load(subject: Subject) -> Measured:
    """From nothing to the first token, each in a new process, the file in the system's cache."""
    raw: dict[str, list[float]] = {"ours_s": [], "library_s": []}
    with subject.session() as session:
        ids = subject.prompts(session, 8).ids(16)

    def ours() -> None:
        began, session = time.perf_counter(), Session()
        session.load(subject.path, subject.config())
        raw["ours_s"].append(answer(session, ids, 1).times[0] - began)
        session.close()

    def theirs() -> None:
        began = time.perf_counter()
        with Library(subject.path, ctx_tokens=subject.ctx_tokens, threads=subject.threads) as library:
            library.answer(ids, 1)
            raw["library_s"].append(time.perf_counter() - began)

    for k in range(subject.rounds + 1):         # the first round only fills the system's cache
        for measure in rotated([ours, theirs], k):
            measure()
    raw = {name: values[1:] for name, values in raw.items()}
    return Measured({"load_s_vs_library": median_ratio(raw["ours_s"], raw["library_s"])}, raw)


def rotated(items: Sequence[Item], k: int) -> list[Item]:
    """The items, another one first in each round."""
    k %= len(items)
    return [*items[k:], *items[:k]]


def steady(measure: Callable[[], float], least_s: float = 1.0) -> float:
    """The median of as many measurements as take that long: a small model answers in a twentieth of a second."""
    until, found = time.monotonic() + least_s, [measure()]
    while time.monotonic() < until:
        found.append(measure())
    return statistics.median(found)


def first(measure: Callable[[], Item | None]) -> Item:
    """The first result that is one. Raises RuntimeError after twenty tries."""
    for _ in range(20):
        result = measure()
        if result is not None:
            return result
    raise RuntimeError("twenty running answers ended before the other one joined; this model can not be measured so")


def wait_for(is_true: Callable[[], bool], longest_s: float = 120.0) -> None:
    """Look every half millisecond. Raises TimeoutError."""
    until = time.monotonic() + longest_s
    while not is_true():
        if time.monotonic() > until:
            raise TimeoutError("waited for two minutes")
        time.sleep(0.0005)

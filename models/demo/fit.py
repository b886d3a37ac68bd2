"""The training loop: one stage of Muon and AdamW in bfloat16, resumable from its checkpoint."""

import csv
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.demo.network import token_losses

EVERY_STEPS = 100  # a held-out loss, a line in the log and a checkpoint
WARMUP_STEPS = 100


@dataclass(frozen=True)
class Stage:
    name: str
    steps: int
    tokens_per_step: int
    peak_lr: float
    final_lr: float

    def lr(self, step: int) -> float:
        """Linear warm-up, then a cosine down to final_lr at the last step."""
        warm = min(WARMUP_STEPS, self.steps // 10)
        if step < warm:
            return self.peak_lr * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - 1 - warm)
        return self.final_lr + (self.peak_lr - self.final_lr) * (1 + math.cos(math.pi * done)) / 2


@dataclass
class Progress:
    """Where a stage stands. curve: step, tokens, training loss since the last line, held-out loss (nats per token)."""

    step: int
    seconds: float
    curve: list[tuple[int, int, float, float]]


def fit(model: nn.Module, stage: Stage, batches: Iterable, held_out: list, work: Path) -> Progress:
    """Train the model in place for the stage's steps and leave work/<name>.pt behind, or go on from that file."""
    optimizers = muon_and_adamw(model)
    progress = resumed(model, optimizers, work / f"{stage.name}.pt")
    losses = torch.compile(token_losses, dynamic=False)
    recent, began = [], time.monotonic() - progress.seconds
    for step, (ids, labels) in enumerate(batches):
        if step < progress.step:
            continue
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = stage.lr(step)
        loss = losses(model, ids, labels).sum() / (labels != -100).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        recent.append(loss.item())
        if (step + 1) % EVERY_STEPS == 0 or step + 1 == stage.steps:
            tokens = (step + 1) * stage.tokens_per_step
            progress.curve.append((step + 1, tokens, sum(recent) / len(recent), mean_loss(model, held_out)))
            progress.step, progress.seconds, recent = step + 1, time.monotonic() - began, []
            save(model, optimizers, progress, work / f"{stage.name}.pt")
            figures = " ".join(f"{value:.4g}" for value in progress.curve[-1])
            print(stage.name, figures, f"{tokens / progress.seconds:.0f} tokens/s", flush=True)
    return progress


def muon_and_adamw(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding (tied to the head) and the norms.

    Only matrices decay. Muon's update is scaled to the size of AdamW's, so both take one learning rate.
    Source: Liu et al., "Muon is scalable for LLM training", arXiv:2502.16982.
    """
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    embedding = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" not in name]
    norms = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": embedding, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    return [torch.optim.Muon(inner, lr=0.0, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)]


@torch.no_grad()
def mean_loss(model: nn.Module, batches: list) -> float:
    """Nats per learned token over all batches."""
    total = count = 0
    for ids, labels in batches:
        total += token_losses(model, ids, labels).sum().item()
        count += (labels != -100).sum().item()
    return total / count


def save(model: nn.Module, optimizers: list[torch.optim.Optimizer], progress: Progress, path: Path) -> None:
    part = path.with_suffix(".part")
    states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": states, "progress": vars(progress)}, part)
    part.replace(path)


def resumed(model: nn.Module, optimizers: list[torch.optim.Optimizer], path: Path) -> Progress:
    if not path.exists():
        return Progress(0, 0.0, [])
    saved = torch.load(path)
    model.load_state_dict(saved["model"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return Progress(**saved["progress"])


def write_curve(progresses: dict[str, Progress], path: Path) -> None:
    """One csv line per held-out loss, stages in order."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "step", "tokens", "train_loss_nats_per_token", "held_out_loss_nats_per_token"])
        for name, progress in progresses.items():
            for step, tokens, train, held in progress.curve:
                writer.writerow([name, step, tokens, f"{train:.4f}", f"{held:.4f}"])

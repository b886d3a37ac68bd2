"""The figures of the finished model: held-out loss beside two 5-gram models, and how many answers end."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.demo import rows
from models.demo.documents import Corpus, Document
from models.demo.network import CONTEXT_TOKENS, token_losses
from models.demo.ngram import KneserNey
from models.demo.vocabulary import BOS, END, EOS, PIECES

ORDER = 5
PROMPTS = 200
NEW_TOKENS = 512
PROMPTS_AT_ONCE = 40
PROMPT_SEED = 11
BAR_STOP_SHARE = 0.95
BYTE_END = 256  # the end of a document, after the 256 bytes


def measure(corpus: Corpus, out: Path, training: dict[str, Any]) -> dict[str, Any]:
    """Write measured.json: the figures of this module beside those of the training."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    model = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    held_out = text_figures(corpus, tokenizer, model)
    answers = answer_figures(corpus, tokenizer, model)
    rivals = min(held_out[name]["nats_per_byte"] for name in ("token_5gram", "byte_5gram"))
    beats = held_out["model"]["nats_per_byte"] < rivals
    figures = {
        "parameters": model.num_parameters(),
        "held_out_text": held_out,
        "held_out_questions": answers,
        "bar": {"beats_both_5grams": beats, "stop_share_wanted": BAR_STOP_SHARE,
                "is_met": beats and answers["stop_share"] >= BAR_STOP_SHARE},
        "corpus": corpus_figures(corpus),
        "training": training,
        "versions": {"Python": sys.version.split()[0]}
        | {library.__name__: library.__version__ for library in (torch, transformers, tokenizers, sentencepiece)},
    }
    (out / "measured.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def text_figures(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> dict[str, Any]:
    """Code length of the held-out documents, each with its end, under the model and under both n-gram models."""
    training, held_out = ([tokenizer.encode(d.text, add_special_tokens=False) + [EOS] for d in documents]
                          for documents in (corpus.training, corpus.held_out))
    training_bytes, held_out_bytes = ([[*d.text.encode(), BYTE_END] for d in documents]
                                      for documents in (corpus.training, corpus.held_out))
    byte_count = sum(map(len, held_out_bytes)) - len(held_out)
    token_count = sum(map(len, held_out))
    nats = {
        "model": sum(document_loss(model, ids) for ids in held_out),
        "token_5gram": -KneserNey(training, PIECES, ORDER).log_probabilities(held_out).sum(),
        "byte_5gram": -KneserNey(training_bytes, BYTE_END + 1, ORDER).log_probabilities(held_out_bytes).sum(),
    }
    figures: dict[str, Any] = {"documents": len(held_out), "bytes": byte_count, "tokens": token_count}
    for name, total in nats.items():
        figures[name] = {"nats_per_byte": round(float(total) / byte_count, 4)}
        if name != "byte_5gram":
            figures[name]["nats_per_token"] = round(float(total) / token_count, 4)
    return figures


@torch.no_grad()
def document_loss(model: PreTrainedModel, ids: list[int]) -> float:
    """Nats of a document's tokens; in one longer than the context every token has at least half a context before it."""
    half, total = CONTEXT_TOKENS // 2, 0.0
    for start in range(0, len(ids), half):
        first = max(0, start - half)
        window = torch.tensor([[BOS if first == 0 else ids[first - 1], *ids[first:start + half]]])
        total += token_losses(model, window[:, :-1], window[:, 1:])[0, start - first:].sum().item()
    return total


def answer_figures(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> dict[str, Any]:
    """Greedy answers to held-out questions: the share that ends by itself, and the loss on the true answers."""
    prompts = [rows.prompt_ids(tokenizer, question) for question in held_out_questions(corpus.held_out)]
    stopped = [length for length in answer_lengths(model, prompts) if length is not None]
    turns = rows.encode_turns(tokenizer, corpus.held_out, "last", PROMPT_SEED)
    total = count = 0
    with torch.no_grad():
        for turn in turns:
            ids = torch.tensor([turn.ids])
            total += token_losses(model, ids[:, :-1], ids[:, 1:])[0, turn.prompt - 1:].sum().item()
            count += len(turn.ids) - turn.prompt
    return {"prompts": len(prompts), "new_tokens_limit": NEW_TOKENS,
            "stopped": len(stopped), "stop_share": len(stopped) / len(prompts),
            "mean_tokens_of_stopped": round(sum(stopped) / max(1, len(stopped)), 1),
            "answer_loss_nats_per_token": round(total / count, 4), "answer_tokens": count}


def held_out_questions(documents: list[Document]) -> list[str]:
    """Always the same questions, drawn from all sources that have them, asked as in training."""
    draw = random.Random(PROMPT_SEED)
    questions = [rows.asked(question, draw) for document in documents for question, _ in document.pairs]
    return draw.sample(questions, PROMPTS)


def answer_lengths(model: PreTrainedModel, prompts: list[list[int]]) -> list[int | None]:
    """Greedy tokens up to <end_of_turn> for each prompt; None where none came within NEW_TOKENS."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    lengths: list[int | None] = [None] * len(prompts)
    for start in range(0, len(order), PROMPTS_AT_ONCE):
        group = order[start:start + PROMPTS_AT_ONCE]
        for index, answer in zip(group, greedy(model, [prompts[i] for i in group]), strict=True):
            if END in answer:
                lengths[index] = answer.index(END)
    return lengths


@torch.no_grad()
def greedy(model: PreTrainedModel, prompts: list[list[int]]) -> list[list[int]]:
    """New ids of each prompt, decoded together behind padding on the left."""
    width = max(map(len, prompts))
    ids = torch.tensor([[model.config.pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = (ids != model.config.pad_token_id).long()
    found = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False)
    return found[:, width:].tolist()


def corpus_figures(corpus: Corpus) -> dict[str, Any]:
    """Per source: rows used, rows left out, documents and bytes on each side of the split."""
    figures: dict[str, Any] = {}
    for source, used in corpus.rows.items():
        sides = {"training": corpus.training, "held_out": corpus.held_out}
        figures[source] = {"rows": used, "rows_left_out": corpus.left_out[source]}
        for side, documents in sides.items():
            own = [d.text for d in documents if d.source == source]
            figures[source][side] = {"documents": len(own), "bytes": sum(len(text.encode()) for text in own)}
    return figures

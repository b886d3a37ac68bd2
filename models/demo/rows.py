"""Rows of token ids to train on: documents packed end to end, question-answer turns packed whole."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from models.demo.documents import Document
from models.demo.vocabulary import BOS, END, EOS

# The most sentences of an answer, by stage; long answers taught the model to go round in circles (docs/log.md).
ANSWER_SENTENCES = {"turns": 3, "brief": 2, "last": 2}
ANSWER_TOKENS = 128
LISTS = r"These resources address|\s- \S"
LEFT_OUT = {"turns": rf"Human Phenotype Ontology|{LISTS}", "brief": rf"Human Phenotype Ontology|{LISTS}", "last": LISTS}
WAITING_TURNS = 32   # how many turns are tried for the room left in a row
TEXT_ROWS = 1 / 4    # share of rows that are running text alone, against forgetting

Batch = tuple[torch.Tensor, torch.Tensor]  # ids, labels: both (B, T)


@dataclass(frozen=True)
class Turn:
    """One question with its answer. Only ids[prompt:] are learned: the answer and its <end_of_turn>."""

    ids: list[int]
    prompt: int


def text_stream(texts: list[list[int]], seed: int) -> Iterator[int]:
    """Endless token ids: <bos> text <eos>, every text once before any comes again, in a new order each time."""
    draw, order = random.Random(seed), list(range(len(texts)))
    while True:
        draw.shuffle(order)
        for index in order:
            yield from (BOS, *texts[index], EOS)


def text_batches(stream: Iterator[int], count: int, B: int, T: int) -> Iterator[Batch]:
    """count batches, every label learned."""
    for _ in range(count):
        rows = torch.tensor([[next(stream) for _ in range(T + 1)] for _ in range(B)])
        yield rows[:, :-1], rows[:, 1:]


def encode_turn(tokenizer: PreTrainedTokenizerBase, question: str, answer: str, stage: str) -> Turn | None:
    """The pair in the chat template, its answer made brief; None where nothing of the answer is left."""
    prompt = prompt_ids(tokenizer, question)
    answer = brief(answer, stage)
    ids = tokenizer.encode(answer, add_special_tokens=False)
    if not answer or len(ids) > ANSWER_TOKENS:
        return None
    return Turn([*prompt, *ids, END], len(prompt))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    messages = [{"role": "user", "content": question}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"])


def brief(answer: str, stage: str) -> str:
    """The answer's first sentences, as the stage wants them, without the echo of its question; "" for lists."""
    answer = re.sub(r"^(Summary : |[^.?!]{0,200}\?\s+)", "", answer)
    ends = [found.end() for found in re.finditer(r"[.?!](?=\s|$)", answer)][:ANSWER_SENTENCES[stage]]
    kept = answer[:ends[-1]] if ends else ""
    return "" if re.search(LEFT_OUT[stage], kept) else kept


def asked(question: str, draw: random.Random) -> str:
    """The question as the source writes it or, half of the time, as people do: no space before '?', no 'is (are)'."""
    if draw.random() < 0.5:
        return question
    return re.sub(r" \?$", "?", question.replace("is (are)", "is"))


def encode_turns(tokenizer: PreTrainedTokenizerBase, documents: list[Document], stage: str, seed: int) -> list[Turn]:
    draw = random.Random(seed)
    pairs = [(asked(question, draw), answer) for document in documents for question, answer in document.pairs]
    return [turn for pair in pairs if (turn := encode_turn(tokenizer, *pair, stage))]


def turn_stream(turns: list[Turn], T: int, seed: int) -> Iterator[Turn]:
    """Endless turns that fit a row, each once before any comes again."""
    draw, order = random.Random(seed), [turn for turn in turns if len(turn.ids) <= T]
    while True:
        draw.shuffle(order)
        yield from order


def turn_row(waiting: list[Turn], source: Iterator[Turn], text: Iterator[int], T: int) -> tuple[list[int], list[int]]:
    """One row of T ids with its labels: waiting turns while they fit, the rest running text (all of it learned)."""
    ids: list[int] = []
    learned: list[bool] = []
    while True:
        waiting += [next(source) for _ in range(WAITING_TURNS - len(waiting))]
        chosen = next((turn for turn in waiting if len(ids) + len(turn.ids) <= T + 1), None)
        if chosen is None:
            break
        waiting.remove(chosen)
        ids += chosen.ids
        learned += [False] * chosen.prompt + [True] * (len(chosen.ids) - chosen.prompt)
    room = T + 1 - len(ids)
    ids += [next(text) for _ in range(room)]
    learned += [True] * room
    labels = [token if is_learned else -100 for token, is_learned in zip(ids, learned, strict=True)]
    return ids[:-1], labels[1:]


def turn_batches(turns: list[Turn], text: Iterator[int], shape: tuple[int, int, int], seed: int) -> Iterator[Batch]:
    """Batches of turns, shape (how many, B, T): TEXT_ROWS of the rows are running text, and so are the others' ends."""
    count, B, T = shape
    source, draw = turn_stream(turns, T, seed), random.Random(seed)
    waiting: list[Turn] = []
    for _ in range(count):
        rows = []
        for _ in range(B):
            if draw.random() < TEXT_ROWS:
                ids = [next(text) for _ in range(T + 1)]
                rows.append((ids[:-1], ids[1:]))
            else:
                rows.append(turn_row(waiting, source, text, T))
        yield torch.tensor([ids for ids, _ in rows]), torch.tensor([labels for _, labels in rows])

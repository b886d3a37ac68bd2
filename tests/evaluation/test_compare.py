"""A comparison counts what it says: loss over answer tokens only, ROUGE-L of the generated text."""

import math

import pytest

from evaluation.compare import Engine, score
from evaluation.worker import read_rows
from models.errors import UserError
from tasks import prompt

TEMPLATE = ("{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}")


class Letters:
    """A tokenizer with one token a character and four control tokens."""
    template, bos, eos = TEMPLATE, "<bos>", "<end>"
    controls = frozenset({"<bos>", "<user>", "<assistant>", "<end>"})

    def encode(self, text, *, control):
        if control and text in self.controls:
            return [1000 + sorted(self.controls).index(text)]
        return [ord(c) for c in text]


def engine(answer):
    ids = Letters().encode(answer, control=False)
    return Engine(tokenizer=Letters(), logprobs=lambda ids, start: [-math.log(4.0)] * (len(ids) - start),
                  generate=lambda prompt_ids, most: (ids, "stop"), text=lambda ids: "".join(map(chr, ids)))


def rows(*answers):
    return [[{"role": "user", "content": "q"}, {"role": "assistant", "content": a}] for a in answers]


def test_a_uniform_model_over_four_has_loss_log_four():
    result = score("x", engine("chest pain"), rows("chest pain", "fever"), 10, 20)
    assert result.val_loss == pytest.approx(math.log(4)) and result.rows == 2 and result.stopped == 2
    assert result.rouge_l == pytest.approx(0.5) and result.answers == ("chest pain", "chest pain")


def test_only_the_answer_and_its_terminator_are_scored():
    seen = []

    def logprobs(ids, start):
        seen.append(ids[start:])
        return [0.0] * (len(ids) - start)

    asked = Engine(tokenizer=Letters(), logprobs=logprobs, generate=engine("a").generate, text=engine("a").text)
    score("x", asked, rows("ab"), 1, 5)
    assert seen == [[*map(ord, "ab"), prompt.terminator(Letters())]]


@pytest.mark.parametrize(("content", "words"), [(None, "can not be read"), ("\n", "no held-out rows")])
def test_missing_or_empty_rows_get_a_sentence(tmp_path, content, words):
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=words):
        read_rows(path)

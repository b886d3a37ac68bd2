"""The medical terms of a text: a list of our own (medical_terms.txt) and telling endings of words. English only."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("medical_terms.txt")
LONGEST = 3                                     # words of a phrase
ENDING = re.compile(
    r".{3,}(?:itis|osis|iasis|ectomy|otomy|ostomy|oscopy|plasty|aemia|emia|opathy|algia|plegia|paresis|megaly|uria"
    r"|pn(?:o)?ea|rrh(?:o)?ea|rrhage|sarcoma|carcinoma|cytoma|noma|ologist|iatrist|cillin|mycin|floxacin|cycline|azole"
    r"|statin|sartan|olol|dipine|oxetine|triptan|gliptin|gliflozin|pril|zepam|zolam|tidine|parin|caine|ciclovir"
    r"|cyclovir|mab|penia|cardia|(?:o)?edema|plasia|atrophy|ertrophy|dynia|phagia|phasia|nychia|ptysis)")
PLAIN = frozenset(("academia", "bohemia", "nostalgia", "dichotomy", "april", "apologist", "technologist", "sociologist",
                   "meteorologist", "geologist", "metamorphosis", "osmosis", "homeopathy", "telepathy"))


def terms(text: str) -> frozenset[str]:
    """The stems of the medical terms in text; a phrase counts beside the words of it that are terms themselves."""
    words, stems = _tokens(text)
    found = {stem for word, stem in zip(words, stems, strict=True) if ENDING.fullmatch(word) and word not in PLAIN}
    known = _listed()
    for length in range(1, LONGEST + 1):
        found |= {phrase for start in range(len(stems) - length + 1)
                  if (phrase := " ".join(stems[start:start + length])) in known}
    return frozenset(found)


def _tokens(text: str) -> tuple[list[str], list[str]]:
    """The words of text, and their stems, as the ROUGE library cuts and stems them."""
    words = _tokenizer(is_stemming=False).tokenize(text)
    return words, _tokenizer(is_stemming=True).tokenize(" ".join(words))


@lru_cache(maxsize=2)
def _tokenizer(*, is_stemming: bool) -> Any:
    from rouge_score.tokenizers import DefaultTokenizer  # takes seconds
    return DefaultTokenizer(use_stemmer=is_stemming)


@lru_cache(maxsize=1)
def _listed() -> frozenset[str]:
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return frozenset(" ".join(_tokens(term)[1]) for line in lines for term in line.split(",") if term.strip())

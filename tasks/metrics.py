"""Scores of generated text against a reference, by the field's own libraries."""

from functools import lru_cache

from rouge_score.rouge_scorer import RougeScorer


def rouge_l(reference: str, answer: str) -> float:
    """ROUGE-L F1 with Porter stemming, 0 to 1. English only. Source: rouge-score, Lin 2004."""
    return _scorer().score(reference, answer)["rougeL"].fmeasure


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    return RougeScorer(["rougeL"], use_stemmer=True)

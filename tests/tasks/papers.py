"""Made-up texts whose labels follow from their words."""

import random

from tasks.classify import Paper

WORDS = {"cardio": ("heart", "artery", "aortic", "pulse"), "neuro": ("brain", "nerve", "stroke", "seizure"),
         "onco": ("tumour", "cancer", "lymphoma", "metastasis")}
FILLER = ("patients", "study", "effects", "the", "of", "results", "we", "treatment", "trial", "outcome")


def papers(count: int, is_single: bool, seed: int = 0) -> tuple[list[Paper], list[tuple[str, ...]]]:
    """Texts with the words of one label, or of one or two."""
    draw = random.Random(seed)
    made, golds = [], []
    for _ in range(count):
        gold = tuple(sorted(draw.sample(list(WORDS), 1 if is_single or draw.random() < 0.7 else 2)))
        own = [word for label in gold for word in draw.sample(WORDS[label], 2)]
        words = [*own, *draw.choices(FILLER, k=12)]
        draw.shuffle(words)
        made.append(Paper(title=f"On the {draw.choice(own)}", text=" ".join(words) + "."))
        golds.append(gold)
    return made, golds

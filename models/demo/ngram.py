"""An interpolated modified Kneser-Ney n-gram model: what the demonstration model has to beat."""

import numpy as np


class KneserNey:
    """Fitted on sequences of ids below `symbols`; each sequence starts from `order - 1` start symbols of its own.

    A gram of n symbols has a number: its place among the sorted keys (number of its first n - 1 symbols, last symbol).
    Highest order: counts. Lower orders: how many different symbols precede the gram (continuation counts).
    Discounts per order for counts 1, 2 and 3 or more. The unigram is interpolated with the uniform distribution.
    Source: Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1998, section 3.
    """

    def __init__(self, sequences: list[list[int]], symbols: int, order: int = 5):
        self.symbols, self.order = symbols, order
        stream = self.padded(sequences)
        inside = stream != symbols                    # start symbols are given, never predicted
        self.keys, numbers = [], [np.zeros(len(stream), np.int64)]
        for n in range(1, order + 1):
            keys = self.gram_keys(numbers[n - 1], stream, n)
            unique, number = np.unique(keys, return_inverse=True)
            self.keys.append(unique)
            numbers.append(number)
        self.levels = []
        for n in range(1, order + 1):
            where, grams = np.flatnonzero(inside), numbers[n]
            if n < order:
                _, firsts = np.unique(numbers[n + 1], return_index=True)
                where = firsts[inside[firsts]]        # one place for each different longer gram
            counts = np.bincount(grams[where], minlength=len(self.keys[n - 1]))
            self.levels.append(Level.fitted(counts, self.contexts(n), len(self.keys[n - 2]) if n > 1 else 1))

    def padded(self, sequences: list[list[int]]) -> np.ndarray:
        """All sequences end to end, each behind order - 1 start symbols (id `symbols`)."""
        start = [self.symbols] * (self.order - 1)
        return np.concatenate([np.array(start + list(sequence), np.int64) for sequence in sequences])

    def gram_keys(self, shorter: np.ndarray, stream: np.ndarray, n: int) -> np.ndarray:
        """Key of the n-gram that ends at each place; shorter holds the numbers of the grams of n - 1 symbols."""
        before = np.zeros(len(stream), np.int64)
        if n > 1:
            before[1:] = shorter[:-1]
        return before * (self.symbols + 1) + stream

    def contexts(self, n: int) -> np.ndarray:
        """The number of the context of each n-gram: its first n - 1 symbols."""
        return self.keys[n - 1] // (self.symbols + 1)

    def log_probabilities(self, sequences: list[list[int]]) -> np.ndarray:
        """Nats of every symbol of the sequences, in order (negative; their sum is minus the code length)."""
        stream = self.padded(sequences)
        probability = np.full(len(stream), 1 / self.symbols)
        shorter, is_known = np.zeros(len(stream), np.int64), np.ones(len(stream), bool)
        for n in range(1, self.order + 1):
            context_known = np.roll(is_known, 1) if n > 1 else is_known
            context = np.roll(shorter, 1) if n > 1 else shorter
            keys = self.gram_keys(shorter, stream, n)
            number = np.minimum(np.searchsorted(self.keys[n - 1], keys), len(self.keys[n - 1]) - 1)
            is_gram = context_known & (self.keys[n - 1][number] == keys)
            probability = self.levels[n - 1].interpolated(probability, context, context_known, number, is_gram)
            shorter, is_known = number, is_gram
        return np.log(probability[stream != self.symbols])


class Level:
    """The counts of one order: discounted share of each gram, weight each context leaves to the order below."""

    def __init__(self, share: np.ndarray, weight_below: np.ndarray):
        self.share, self.weight_below = share, weight_below

    @classmethod
    def fitted(cls, counts: np.ndarray, contexts: np.ndarray, context_count: int) -> "Level":
        ones, twos, threes, fours = (max(1, int((counts == c).sum())) for c in (1, 2, 3, 4))
        y = ones / (ones + 2 * twos)
        wanted = [0, 1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes]
        discounts = np.clip(wanted, 0, [0, 1, 2, 3])
        taken = discounts[np.minimum(counts, 3)]
        total = np.bincount(contexts, counts, context_count)
        left = np.bincount(contexts, taken, context_count)
        seen = total > 0
        weight = np.divide(left, total, out=np.ones(context_count), where=seen)
        in_gram = total[contexts]
        share = np.divide(counts - taken, in_gram, out=np.zeros(len(counts)), where=in_gram > 0)
        return cls(share, weight)

    def interpolated(self, below: np.ndarray, context: np.ndarray, context_known: np.ndarray,
                     number: np.ndarray, is_gram: np.ndarray) -> np.ndarray:
        """Probability at this order; an unknown context leaves everything to the order below."""
        weight = np.where(context_known, self.weight_below[np.where(context_known, context, 0)], 1.0)
        return np.where(is_gram, self.share[number], 0.0) + weight * below

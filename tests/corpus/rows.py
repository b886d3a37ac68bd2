"""Examples made in one line, for the tests of this folder."""

from corpus.layouts import Example


def row(line: int, question: str, answer: str = "Rest, and drink enough water.", file: str = "a.csv",
        **fields: str) -> Example:
    """A question and its answer."""
    return Example(file=file, line=line, messages=(
        {"role": "user", "content": question}, {"role": "assistant", "content": answer}), **fields)


def words(seed: int, count: int) -> str:
    """A text of so many words that no other seed gives."""
    return " ".join(f"w{seed}x{k}" for k in range(count))


def with_word(text: str, place: int, word: str) -> str:
    """The text with one word replaced."""
    found = text.split()
    found[place] = word
    return " ".join(found)

"""Which known layout a table has, and its rows as conversations that end with the answer to be learned."""

from corpus.layouts.example import Example, read_examples, write_examples, write_unusable
from corpus.layouts.load import Loaded, Recognised, load

__all__ = ["Example", "Loaded", "Recognised", "load", "read_examples", "write_examples", "write_unusable"]

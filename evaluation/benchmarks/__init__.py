"""The benchmarks, each in a file of its own."""

"""A task over a file: every row of it once, in fixed groups, written whole at the end."""

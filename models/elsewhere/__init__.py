"""Models that other programs hold: found, used where they lie, never changed."""

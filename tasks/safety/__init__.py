"""Red flags: messages in English that tell of an emergency, and the notice that belongs above the answer."""

from tasks.safety.flags import Flag, notice, red_flags, situations

__all__ = ["Flag", "notice", "red_flags", "situations"]

"""Text from data as it may be shown: what can not be seen, or would steer a terminal or a page, is spelled out."""

import unicodedata

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}     # of unicode's categories


def visible(text: str) -> str:
    """text with <U+001B> and the like for such characters; line ends and tabs stay."""
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) not in INVISIBLE else f"<U+{ord(one):04X}>" for one in text)

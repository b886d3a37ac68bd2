"""Which file converts which architecture; a new one is a file here and a line below."""

from convert.families import gemma1, gemma2, gemma3, gemma4, llama, qwen3
from convert.families.tensor import Family
from models.errors import UserError

FAMILIES: dict[str, Family] = {         # by transformers' model_type
    "gemma": gemma1.FAMILY,
    "gemma2": gemma2.FAMILY,
    "gemma3_text": gemma3.FAMILY,
    "gemma3": gemma3.FAMILY,            # with a vision tower
    "gemma4_text": gemma4.FAMILY,
    "gemma4": gemma4.FAMILY,            # with towers for pictures and sound
    "llama": llama.FAMILY,
    "qwen3": qwen3.FAMILY,
}


def find_family(model_type: str) -> Family:
    """The family of a model_type. Raises UserError naming those that are known."""
    if model_type not in FAMILIES:
        raise UserError(f"Models of the type {model_type!r} can not be exported yet; "
                        f"known are {', '.join(FAMILIES)}.")
    return FAMILIES[model_type]

"""The base model with a LoRA adapter on it: loaded, counted, saved whole or not at all."""

import inspect
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from models import runs
from models.base import family, fingerprint
from models.errors import UserError
from train.config import TrainConfig

# what the libraries raise over a folder that is damaged, by the file and the damage
DAMAGED = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
           SafetensorError, StrictDataclassError)
MAX_REASON = 200                # characters
NOT_LANGUAGE = r".*(vision|audio|multi_modal_projector).*"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and in which arithmetic a run computes."""

    device: str                      # "cpu" or "cuda"
    is_bfloat16: bool                # matrix products in bfloat16 (autocast); weights that learn stay float32

    def describe(self) -> str:
        """A line for the person."""
        return f"{self.device.upper()}, {'bfloat16' if self.is_bfloat16 else 'float32'} arithmetic"


def choose_machine(precision: str) -> Machine:
    """A GPU if there is one; bfloat16 where the device computes in it, never float16 (Gemma overflows in it)."""
    if torch.cuda.is_available():
        return Machine(device="cuda", is_bfloat16=precision != "float32" and torch.cuda.is_bf16_supported(False))
    return Machine(device="cpu", is_bfloat16=precision == "bfloat16" or (precision == "auto" and _cpu_has_bfloat16()))


def _cpu_has_bfloat16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))


def load_base(folder: Path, machine: Machine, load_4bit: bool) -> Any:
    """The causal language model in folder, frozen. Raises UserError if its config or weights are not whole.

    float32 on a CPU, bfloat16 on a GPU that has it; as NF4 with double quantization if load_4bit.
    """
    dtype = torch.bfloat16 if machine.device == "cuda" and machine.is_bfloat16 else torch.float32
    options: dict[str, Any] = {
        "dtype": dtype, "local_files_only": True, "use_safetensors": True, "device_map": machine.device,
        # only eager attention applies Gemma 2's soft-capping
        "attn_implementation": "eager" if family(folder) == "gemma2" else "sdpa"}
    if load_4bit:
        compute = torch.bfloat16 if machine.is_bfloat16 else torch.float32
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute)
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **options)
    except DAMAGED as error:
        raise UserError(f"The base model in {folder} can not be loaded ({_reason(error)}); get it again.") from error
    missing = sorted(map(str, info["missing_keys"]))
    if missing:
        raise UserError(f"The base model in {folder} lacks {len(missing)} of its tensors ({missing[0]}, ...); "
                        "get it again.")
    if load_4bit:
        _keep_differentiable(model)
    return model


def _keep_differentiable(model: Any) -> None:
    """Without this, bitsandbytes 0.50 repacks 4-bit weights at the first evaluation on a CPU with AVX512-BF16, for an
    operator that has no gradient: every training step after it would learn from wrong ones, in silence.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def load_tokenizer(folder: Path) -> Any:
    """The transformers tokenizer in folder. Raises UserError if it can not be read."""
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except DAMAGED as error:
        raise UserError(f"The tokenizer in {folder} can not be read ({_reason(error)}); get it again.") from error


def _reason(error: Exception) -> str:
    """The error's text on one line."""
    return " ".join(str(error).split())[:MAX_REASON].rstrip(".:") or type(error).__name__


def add_lora(model: Any, config: TrainConfig) -> Any:
    """model with a fresh adapter (B = 0, so that it changes nothing yet) on its language model's projections.

    Raises UserError if the model has none of the projections. Source: LoRA, arXiv:2106.09685.
    """
    if config.load_4bit:
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    transformers.set_seed(config.seed)               # A is drawn here
    has_towers = any(re.fullmatch(NOT_LANGUAGE, name) for name, _ in model.named_modules())
    lora = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, bias="none",
                           target_modules=sorted(config.targets), task_type="CAUSAL_LM",
                           exclude_modules=NOT_LANGUAGE if has_towers else None)
    try:
        return peft.get_peft_model(model, lora)
    except ValueError as error:
        raise UserError(f"The base model has none of the projections {', '.join(config.targets)}.") from error


def count(model: Any) -> tuple[int, int]:
    """(modules that carry the adapter, parameters that learn)."""
    modules = sum(isinstance(module, peft.tuners.lora.LoraLayer) for module in model.modules())
    return modules, sum(p.numel() for p in model.parameters() if p.requires_grad)


def takes_token_types(model: Any) -> bool:
    """True if the base model's forward has token_type_ids (Gemma 3 with vision)."""
    return "token_type_ids" in inspect.signature(model.get_base_model().forward).parameters


def save(model: Any, folder: Path, base: Path) -> None:
    """Write the adapter as the PEFT folder `folder`, with base.json; it appears whole or not at all.

    Raises UserError when the disk is full.
    """
    try:
        with runs.scratch_folder(folder.parent) as scratch:
            part = Path(scratch) / folder.name
            model.save_pretrained(str(part), save_embedding_layers=False)
            (part / "README.md").unlink(missing_ok=True)         # peft's empty model card
            _sort_config(part / "adapter_config.json")
            runs.write_json(part / runs.BASE, {"path": str(base), "fingerprint": fingerprint(base),
                                               "family": family(base)})
            part.rename(folder)
    except (OSError, SafetensorError) as error:
        if _is_disk_full(error):
            raise UserError(f"The disk is full: the adapter could not be written to {folder.parent}. "
                            "Free some space and train again.") from error
        raise


def _is_disk_full(error: Exception) -> bool:
    """safetensors reports the system's error as text only."""
    return runs.is_disk_full(error) if isinstance(error, OSError) else "os error 28" in str(error)


def _sort_config(path: Path) -> None:
    """peft writes sets in the order of their hashes, which differs between processes."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["target_modules"] = sorted(values["target_modules"])
    runs.write_json(path, dict(sorted(values.items())))

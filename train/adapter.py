"""The base model with a LoRA adapter on it: loaded, counted, saved whole or not at all."""

import importlib.util
import json
import os
import re
from collections.abc import Sequence
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
from train import memory
from train.attention import choose_attention
from train.config import TrainConfig
from train.dropout import use_fast_dropout

# what the libraries raise over a folder that is damaged, by the file and the damage
DAMAGED = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
           SafetensorError, StrictDataclassError)
MAX_REASON = 200                # characters
UNKNOWN = ("does not recognize this architecture", "Unrecognized configuration class", "trust_remote_code",
           "custom code")       # what transformers says of a base that is none of its language models
NOT_LANGUAGE = r".*(vision|audio|multi_modal_projector).*"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and in which arithmetic a run computes."""

    device: str                      # "cpu", "cuda" or "mps"
    is_bfloat16: bool                # base weights and matrix products in bfloat16; weights that learn stay float32

    def describe(self) -> str:
        """A line for the person."""
        return f"{self.device.upper()}, {'bfloat16' if self.is_bfloat16 else 'float32'} arithmetic"


def choose_machine(config: TrainConfig) -> Machine:
    """The device asked for, or a GPU if there is one; bfloat16 where it computes in it, else float32.

    Never float16, in which Gemma overflows. Raises UserError for a device that is not there, or one that can not
    hold the base in 4 or 8 bits.
    """
    devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = config.device if config.device != "auto" else next(name for name, is_there in devices.items() if is_there)
    if not devices[device]:
        raise UserError(f"Device {device} is asked for, and {_why_missing(device)}; set device to cpu or auto.")
    if config.load_4bit or config.load_8bit:
        _check_quantized(config, device)
    has_bfloat16 = {"cuda": _cuda_has_bfloat16, "mps": _mps_has_bfloat16, "cpu": _cpu_has_bfloat16}[device]
    is_slow_but_right = device == "cpu" and config.precision == "bfloat16"
    return Machine(device=device, is_bfloat16=is_slow_but_right or (config.precision != "float32" and has_bfloat16()))


def _why_missing(device: str) -> str:
    if device == "mps":
        return "this is no Mac with Apple silicon, or its PyTorch was built without MPS"
    if torch.version.cuda is None:
        return "the PyTorch installed here was built for the CPU only"
    return f"PyTorch (for CUDA {torch.version.cuda}) finds no GPU here that its driver lets it use"


def _check_quantized(config: TrainConfig, device: str) -> None:
    """Raises UserError if the base can not be held in 4 or 8 bits there."""
    knob = "load_4bit" if config.load_4bit else "load_8bit"
    if device == "mps":
        raise UserError(f"{knob} is on, and on Apple's MPS bitsandbytes has neither 4-bit nor 8-bit kernels of its own "
                        f"to train with; switch {knob} off (LoRA on 16-bit weights), or set device to cpu.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f"{knob} is on, and it needs the package bitsandbytes, which is not installed here; "
                        f"run pip install bitsandbytes, or switch {knob} off.")


def _cuda_has_bfloat16() -> bool:
    return torch.cuda.is_bf16_supported(False)


def _mps_has_bfloat16() -> bool:
    return torch.backends.mps.is_macos_or_newer(14, 0)


def _cpu_has_bfloat16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))


def optimizer(config: TrainConfig, machine: Machine) -> tuple[str, str]:
    """(AdamW's name for transformers' TrainingArguments, a note for the person or "").

    Paged 8-bit AdamW is for CUDA alone: its state is in 8 bits, and moves out of a full GPU to main memory.
    """
    wants_paged = config.optimizer == "paged_adamw_8bit"
    can_page = machine.device == "cuda" and importlib.util.find_spec("bitsandbytes") is not None
    if can_page and (wants_paged or (config.optimizer == "auto" and (config.load_4bit or config.load_8bit))):
        return "paged_adamw_8bit", ""
    plain = "adamw_torch" if machine.device == "mps" else "adamw_torch_fused"
    return plain, ("Paged 8-bit AdamW needs an NVIDIA GPU and bitsandbytes; plain AdamW is used, which learns the same "
                   "and takes 6 bytes more for each parameter that learns." if wants_paged else "")


def load_base(folder: Path, machine: Machine, config: TrainConfig) -> Any:
    """The causal language model in folder, frozen.

    Raises UserError if its config or weights are not whole, its architecture is unknown, or the memory is too small.

    In bfloat16 where the machine computes in it, else in float32; its projections as NF4 with double quantization if
    load_4bit, in 8 bits if load_8bit.
    """
    dtype = torch.bfloat16 if machine.is_bfloat16 else torch.float32
    place = {"": int(os.environ.get("LOCAL_RANK", "0"))} if machine.device == "cuda" else machine.device
    options: dict[str, Any] = {
        "dtype": dtype, "local_files_only": True, "use_safetensors": True, "device_map": place,
        "attn_implementation": choose_attention(config, machine.device, family(folder))}
    if config.load_4bit:
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype)
    elif config.load_8bit:
        options["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **options)
    except (*DAMAGED, MemoryError, SystemError) as error:
        raise _not_loaded(folder, machine, config, error) from error
    missing = sorted(map(str, info["missing_keys"]))
    if missing:
        raise UserError(f"The base model in {folder} lacks {len(missing)} of its tensors ({missing[0]}, ...); "
                        "get it again.")
    if config.load_4bit:
        _keep_differentiable(model)
    return model.requires_grad_(False)


def _not_loaded(folder: Path, machine: Machine, config: TrainConfig, error: Exception) -> Exception:
    """Why the base could not be loaded."""
    if told := memory.advice_before(error, config, machine.device):
        return told
    if any(words in str(error) for words in UNKNOWN):
        return UserError(f"The base model in {folder} is of the architecture {family(folder)}, which the transformers "
                         f"{transformers.__version__} installed here does not know as a language model; take a base "
                         "of another family.")
    return UserError(f"The base model in {folder} can not be loaded ({_reason(error)}); get it again.")


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
    except (*DAMAGED, MemoryError, SystemError) as error:
        if told := memory.advice_before(error):
            raise told from error
        raise UserError(f"The tokenizer in {folder} can not be read ({_reason(error)}); get it again.") from error


def _reason(error: Exception) -> str:
    """The error's text on one line."""
    return " ".join(str(error).split())[:MAX_REASON].rstrip(".:") or type(error).__name__


def add_lora(model: Any, config: TrainConfig) -> Any:
    """model with a fresh adapter (B = 0, so that it changes nothing yet) on its language model's projections.

    Raises UserError if the model has none of the projections. Source: LoRA, arXiv:2106.09685; rank-stabilized,
    arXiv:2312.03732; DoRA, arXiv:2402.09353.
    """
    transformers.set_seed(config.seed)               # A is drawn here
    has_towers = any(re.fullmatch(NOT_LANGUAGE, name) for name, _ in model.named_modules())
    lora = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, bias="none",
                           target_modules=sorted(config.targets), task_type="CAUSAL_LM",
                           use_rslora=config.use_rslora, use_dora=config.use_dora,
                           exclude_modules=NOT_LANGUAGE if has_towers else None)
    try:
        return _prepared(peft.get_peft_model(model, lora), config)
    except ValueError as error:
        raise UserError(f"The base model has none of the projections {', '.join(config.targets)}.") from error


def continue_from(model: Any, adapters: Sequence[Path], config: TrainConfig) -> Any:
    """model as the stages before left it, ready for the next: adapters are theirs, in order.

    config.start "adapter": the last of them goes on learning. "merged": all are merged into the weights in memory, in
    float32, and a fresh adapter is put on top. Raises UserError if the adapter has another shape than config asks
    for, or if it would have to be merged into 4 or 8 bits.
    """
    if config.start == "adapter":
        _check_shape(adapters[-1], config)
        settings = peft.LoraConfig.from_pretrained(str(adapters[-1]))
        settings.lora_dropout = config.dropout
        transformers.set_seed(config.seed)
        return _prepared(_loaded(model, adapters[-1], config=settings, is_trainable=True), config)
    if config.load_4bit or config.load_8bit:
        raise UserError("A stage that starts from the merged adapter needs base weights in 16 bits: merged into "
                        "fewer bits, what was learned is rounded away. Set start to adapter, or switch load_4bit and "
                        "load_8bit off.")
    model = model.float()
    for folder in adapters:
        model = _loaded(model, folder).merge_and_unload()
    return add_lora(model, config)


def _loaded(model: Any, folder: Path, **options: Any) -> Any:
    try:
        return peft.PeftModel.from_pretrained(model, str(folder), **options)
    except DAMAGED as error:
        raise UserError(f"The adapter in {folder} can not be put on this base ({_reason(error)}).") from error


def _check_shape(folder: Path, config: TrainConfig) -> None:
    """Raises UserError if config asks for another adapter than the one that goes on learning."""
    values = runs.read_json(folder / "adapter_config.json")
    asked = {"r": config.rank, "lora_alpha": config.alpha, "use_rslora": config.use_rslora,
             "use_dora": config.use_dora, "target_modules": sorted(config.targets)}
    for name, value in asked.items():
        found = sorted(values[name]) if name == "target_modules" else values[name]
        if found != value:
            raise UserError(f"The stage before made an adapter with {name} = {found}, and this one asks for {value}; "
                            "give both the same, or set start to merged (a fresh adapter on the merged weights).")


def _prepared(model: Any, config: TrainConfig) -> Any:
    """model (peft's) with activations kept or computed twice, as config says."""
    if next(model.parameters()).device.type == "cpu":
        use_fast_dropout(model)
    if config.gradient_checkpointing:
        model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
    return model


def count(model: Any) -> tuple[int, int]:
    """(modules that carry the adapter, parameters that learn)."""
    modules = sum(isinstance(module, peft.tuners.lora.LoraLayer) for module in model.modules())
    return modules, sum(p.numel() for p in model.parameters() if p.requires_grad)


def missing(model: Any, config: TrainConfig) -> list[str]:
    """The projections asked for that no module of model (peft's) is called."""
    found = {name.rpartition(".")[2] for name, module in model.named_modules()
             if isinstance(module, peft.tuners.lora.LoraLayer)}
    return [name for name in config.targets if name not in found]


def save(model: Any, folder: Path, base: Path, before: Sequence[str] = ()) -> None:
    """Write the adapter as the PEFT folder `folder`, with base.json; it appears whole or not at all.

    before: adapters that were merged into the base before this one was trained, as paths from where it ends up.
    Raises UserError when the disk is full.
    """
    try:
        with runs.scratch_folder(folder.parent) as scratch:
            part = Path(scratch) / folder.name
            model.save_pretrained(str(part), save_embedding_layers=False)
            (part / "README.md").unlink(missing_ok=True)         # peft's empty model card
            _sort_config(part / "adapter_config.json")
            runs.write_json(part / runs.BASE, {"path": str(base), "fingerprint": fingerprint(base),
                                               "family": family(base), **({"before": [*before]} if before else {})})
            part.rename(folder)
    except (OSError, SafetensorError) as error:
        if _is_disk_full(error):
            raise UserError(f"The disk is full: the adapter could not be written to {folder.parent}. "
                            "Free some space, then go on with train --resume.") from error
        raise


def _is_disk_full(error: Exception) -> bool:
    """safetensors reports the system's error as text only."""
    return runs.is_disk_full(error) if isinstance(error, OSError) else "os error 28" in str(error)


def _sort_config(path: Path) -> None:
    """peft writes sets in the order of their hashes, which differs between processes."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["target_modules"] = sorted(values["target_modules"])
    runs.write_json(path, dict(sorted(values.items())))

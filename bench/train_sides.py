"""One side of bench/train.py in a process of its own: `python bench/train_sides.py SIDE FOLDER`, one JSON object last.

samples    the bench's rows as our samples, for everybody: FOLDER/samples.json
trl        trl's SFTTrainer at its defaults on these samples; trl_grouped: with its length grouping switched on
score      the validation loss of FOLDER/adapter, by plain transformers + peft in float32
ours_qlora, trl_qlora    two epochs of QLoRA, the second timed; the GPU's peak where there is one
plain      one step with the vocabulary of Gemma 3, the loss as transformers computes it; trl_step, our_step: as they do
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

STEP_TOKENS = 1024


def plan_of(folder: Path) -> dict[str, Any]:
    """What bench/train.py wants: {"base", "threads", "config": TrainConfig's values}."""
    return json.loads((folder / "plan.json").read_text())


def samples(folder: Path) -> dict[str, Any]:
    """FOLDER/samples.json: {"training", "validation"}, each a list of {"input_ids", "labels"}."""
    from corpus.gather import gather
    from models import knobs
    from tasks.hf_tokenizer import HFTokenizer
    from train import adapter
    from train.config import TrainConfig
    from train.samples import prepare
    plan = plan_of(folder)
    config = knobs.from_json(TrainConfig, plan["config"])
    rows = gather(config, lambda text: None)
    tokenizer = HFTokenizer(adapter.load_tokenizer(Path(plan["base"])))
    made = {name: [{"input_ids": s.ids, "labels": s.labels} for s in
                   prepare(examples, tokenizer, config.max_len).samples]
            for name, examples in (("training", rows.training), ("validation", rows.validation))}
    (folder / "samples.json").write_text(json.dumps(made))
    lengths = [len(row["input_ids"]) for row in made["training"]]
    return {name: len(rows) for name, rows in made.items()} | {
        "supervised": learned(made["training"]), "tokens": sum(lengths), "longest": max(lengths)}


def learned(rows: list[dict[str, list[int]]]) -> int:
    """How many tokens of the samples are supervised."""
    return sum(label != -100 for row in rows for label in row["labels"])


def lora(config: dict[str, Any]) -> Any:
    """The LoRA of the bench's TrainConfig, as peft wants it."""
    from peft import LoraConfig

    from train.config import PROJECTIONS
    return LoraConfig(r=config["rank"], lora_alpha=config["alpha"], lora_dropout=config["dropout"], bias="none",
                      target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")


def loading(config: dict[str, Any]) -> dict[str, Any]:
    """How trl's base is loaded: in float32, or for QLoRA quantized as ours is."""
    import torch
    from transformers import BitsAndBytesConfig
    if not config["load_4bit"]:
        return {"dtype": torch.float32}
    nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                             bnb_4bit_compute_dtype=torch.bfloat16)
    return {"dtype": torch.bfloat16, "quantization_config": nf4,
            "device_map": {"": 0 if torch.cuda.is_available() else "cpu"}}


def sft_trainer(folder: Path, *, is_grouped: bool = False) -> Any:
    """trl's SFTTrainer on the samples: its defaults, but for what the bench's TrainConfig says of the training."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    from models import knobs
    from train.config import TrainConfig
    plan = plan_of(folder)
    config, base = plan["config"], plan["base"]
    torch.set_num_threads(plan["threads"])
    rows = json.loads((folder / "samples.json").read_text())["training"]
    for row in rows:                            # trl masks by this, and makes the labels itself
        row["completion_mask"] = [int(label != -100) for label in row.pop("labels")]
    steps = knobs.from_json(TrainConfig, config).steps(len(rows))
    more = {"train_sampling_strategy": "group_by_length"} if is_grouped else {}
    arguments = SFTConfig(
        output_dir=str(folder / "trl"), use_cpu=not torch.cuda.is_available(), report_to="none", disable_tqdm=True,
        per_device_train_batch_size=config["batch"], gradient_accumulation_steps=config["accumulate"],
        learning_rate=config["lr"], num_train_epochs=config["epochs"], lr_scheduler_type="cosine",
        warmup_steps=knobs.from_json(TrainConfig, config).warmup_steps(steps), weight_decay=config["weight_decay"],
        max_length=config["max_len"], seed=config["seed"], save_strategy="no", **more)
    set_seed(config["seed"])
    model = AutoModelForCausalLM.from_pretrained(base, **loading(config))
    return SFTTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows),
                      processing_class=AutoTokenizer.from_pretrained(base), peft_config=lora(config))


def trl(folder: Path, *, is_grouped: bool = False) -> dict[str, Any]:
    """The samples learned by trl's SFTTrainer, its adapter in FOLDER/adapter."""
    from train.peak import peak_rss_mb
    trainer = sft_trainer(folder, is_grouped=is_grouped)
    began = time.perf_counter()
    trainer.train()
    train_s = time.perf_counter() - began
    trainer.model.save_pretrained(folder / "adapter")
    return {"train_s": train_s, "steps": trainer.state.global_step, "peak_mb": peak_rss_mb()}


def trl_grouped(folder: Path) -> dict[str, Any]:
    return trl(folder, is_grouped=True)


def trl_qlora(folder: Path) -> dict[str, Any]:
    """The seconds of trl's last epoch, and on_gpu's."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """The seconds of an epoch, to the end of what the GPU was given to do."""

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.began = self.now()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.epoch_s = self.now() - self.began

        def now(self) -> float:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            return time.perf_counter()

    trainer, clock = sft_trainer(folder), Clock()
    trainer.add_callback(clock)
    trainer.train()
    return {"epoch_s": clock.epoch_s, "steps": trainer.state.global_step} | on_gpu()


def ours_qlora(folder: Path) -> dict[str, Any]:
    """The same of a whole run of ours, by the worker's own code, in FOLDER/run.

    Raises RuntimeError if it learned from other tokens than the samples hold.
    """
    from models import runs
    from models.job import Job
    from train.worker import work
    run, config = folder / "run", plan_of(folder)["config"]
    shutil.rmtree(run, ignore_errors=True)
    runs.make_folder(run)
    runs.write_json(run / runs.CONFIG, config)
    work(Job(run))
    steps = [event for event in map(json.loads, (run / runs.EVENTS).read_text().splitlines())
             if event["kind"] == "step"]
    rows = json.loads((folder / "samples.json").read_text())["training"]
    wanted, found = config["epochs"] * learned(rows), runs.read_json(run / runs.RESULT)["supervised_tokens"]
    if found != wanted:
        raise RuntimeError(f"ours learned from {found} tokens, and the samples for trl have {wanted:.0f}")
    last = [step["seconds"] for step in steps if step["step"] > len(steps) * (1 - 1 / config["epochs"])]
    return {"epoch_s": sum(last), "steps": len(steps)} | on_gpu()


def on_gpu() -> dict[str, Any]:
    """Where this process computed; on a GPU, the most that PyTorch had allocated there (MB of 10^6 bytes)."""
    import torch
    if not torch.cuda.is_available():
        return {"device": "cpu"}
    return {"device": torch.cuda.get_device_name(), "peak_vram_mb": torch.cuda.max_memory_allocated() / 1e6}


def score(folder: Path) -> dict[str, Any]:
    """{"val_loss"}: nats a supervised token over the validation samples."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    plan = plan_of(folder)
    torch.set_num_threads(plan["threads"])
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(plan["base"], dtype=torch.float32), str(folder / "adapter")).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for row in json.loads((folder / "samples.json").read_text())["validation"]:
            labels = torch.tensor(row["labels"][1:])
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum").item()
            count += int((labels != -100).sum())
    return {"val_loss": total / count, "tokens": count}


def _wide_model(folder: Path) -> Any:
    """A random model of Gemma 3 270M's shape with all 262,144 words, in float32, and its step's token ids (1, T)."""
    import torch
    from transformers import AutoModelForCausalLM
    torch.manual_seed(0)
    torch.set_num_threads(plan_of(folder)["threads"])
    model = AutoModelForCausalLM.from_pretrained(plan_of(folder)["wide"], dtype=torch.float32)
    return model, torch.randint(1000, 200_000, (1, STEP_TOKENS))


def plain(folder: Path) -> dict[str, Any]:
    """One step as peft's documentation does it: labels to the model, loss.backward()."""
    import torch
    from peft import get_peft_model
    model, ids = _wide_model(folder)
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    model = get_peft_model(model, lora(plan_of(folder)["config"])).train()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
    return measured(step)


def trl_step(folder: Path) -> dict[str, Any]:
    """One step of trl's SFTTrainer."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer
    plan = plan_of(folder)
    model, ids = _wide_model(folder)
    row = {"input_ids": ids[0].tolist(), "completion_mask": [1] * STEP_TOKENS}
    arguments = SFTConfig(output_dir=str(folder / "trl"), use_cpu=True, report_to="none", disable_tqdm=True,
                          per_device_train_batch_size=1, max_steps=1, save_strategy="no")
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=Dataset.from_list([row]),
                         processing_class=AutoTokenizer.from_pretrained(plan["base"]),
                         peft_config=lora(plan["config"]))
    return measured(trainer.train)


def our_step(folder: Path) -> dict[str, Any]:
    """One step of ours, through the Learner."""
    import torch

    from models import knobs
    from train import adapter
    from train.config import TrainConfig
    from train.learner import Learner
    model, ids = _wide_model(folder)
    config = knobs.from_json(TrainConfig, plan_of(folder)["config"])
    learner = Learner(adapter.add_lora(model, config)).train()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = learner(input_ids=ids, labels=ids)["loss"] / STEP_TOKENS
        loss.backward()
    return measured(step)


def measured(step: Any) -> dict[str, Any]:
    """Peak memory of the process during step, above what it held before, and in all (MB of 10^6 bytes)."""
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")           # VmHWM starts again from here
    step()
    return {"step_mb": (_status("VmHWM") - before) / 1e6, "whole_mb": _status("VmHWM") / 1e6}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    SIDES = {one.__name__: one for one in (samples, trl, trl_grouped, trl_qlora, ours_qlora, score, plain, trl_step,
                                            our_step)}
    print(json.dumps(SIDES[sys.argv[1]](Path(sys.argv[2]))))

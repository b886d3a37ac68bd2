"""One step of one side of bench/export.py, in a process of its own: `python bench/export_sides.py STEP ...`.

export BASE ADAPTER OUT TYPE THREADS    ours: merge, quantize and write in one pass
check OUT THREADS                       ours: header and tensor table, the file opened, a few tokens' logits finite
merge BASE ADAPTER FOLDER               theirs: peft's merge_and_unload, saved
quantize WIDE OUT TYPE THREADS          theirs: llama_model_quantize
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)


def export(base: str, adapter: str, out: str, type_name: str, threads: str) -> None:
    from convert.model import MergedModel
    from convert.quantize import check_room, sizes
    from convert.stream import write_all
    from models.header import read_header
    model, target = MergedModel(Path(base), [Path(adapter)], "bench"), Path(out)
    expected = sizes(model.plan, [type_name], target.parent)
    check_room(target.parent, sum(expected.values()))
    write_all(model, {type_name: target}, threads=int(threads))
    assert target.stat().st_size == expected[type_name]
    assert [t.name for t in read_header(target).tensors] == [t.name for t in model.plan.tensors]


def check(out: str, threads: str) -> None:
    import numpy as np

    from runtime.config import LoadConfig
    from runtime.probe import Probe
    probe = Probe(Path(out), LoadConfig(ctx_tokens=64, threads=int(threads)))
    assert np.isfinite(probe.logits([2, 100, 101, 102])).all()
    probe.close()


def merge(base: str, adapter: str, folder: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)


def quantize(wide: str, out: str, type_name: str, threads: str) -> None:
    from runtime.quantize import quantize as by_llama_cpp
    by_llama_cpp(Path(wide), Path(out), type_name, int(threads))


if __name__ == "__main__":
    {"export": export, "check": check, "merge": merge, "quantize": quantize}[sys.argv[1]](*sys.argv[2:])

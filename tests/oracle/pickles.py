#!/usr/bin/env python3
"""Makes weights as torch.save writes them, for the reader of pickles.

    pip install -r tests/oracle/requirements.txt
    tests/oracle/pickles.py tests/data/oracle

It writes to tests/data/oracle/pickles:
  adapter              the adapter qwen2/dora as older versions of PEFT saved one, with tensors that are parts of a storage,
                       that are not contiguous, and that are parameters
  kinds.bin            tensors of every type that is read, of every way to be a part of a storage
  module.bin           two of them as the state of a module, which has more in it than its tensors
  kinds.safetensors    the same tensors
  hostile.bin          a pickle that calls a program when Python loads it
"""
import os
import shutil
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def adapter(root):
    folder = root / "pickles" / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "qwen2/dora/adapter_config.json", folder)
    tensors, shared = load_file(root / "qwen2/dora/adapter_model.safetensors"), []
    for name in sorted(tensors):
        if "lora_A" in name:
            tensors[name] = tensors[name].t().contiguous().t()
        elif "magnitude" in name:
            tensors[name] = torch.nn.Parameter(tensors[name])
        else:
            shared.append(name)
    storage = torch.cat([tensors[name].flatten() for name in shared])
    at = 0
    for name in shared:
        count = tensors[name].numel()
        tensors[name] = storage[at:at + count].view(tensors[name].shape)
        at += count
    torch.save(tensors, folder / "adapter_model.bin")


class Hostile:
    def __reduce__(self):
        return os.system, ("true",)


def main():
    root = Path(sys.argv[1])
    adapter(root)
    folder = root / "pickles"
    torch.manual_seed(4)
    table = torch.randn(5, 6)
    kinds = OrderedDict(
        f32=table, f16=table.half(), bf16=table.bfloat16(), f64=table.double(), i64=torch.arange(4), u8=torch.arange(4).byte(),
        transposed=table.t(), part=table[1:4, ::2], row=table[2], cube=torch.randn(2, 3, 4).bfloat16().permute(2, 0, 1),
        parameter=torch.nn.Parameter(table[:2]), scalar=torch.tensor(3.5), empty=torch.zeros(0, 3))
    torch.save(kinds, folder / "kinds.bin")
    module = torch.nn.Linear(6, 5)
    state = module.state_dict()
    state["f32"], state["row"] = table, table[2]
    del state["weight"], state["bias"]
    torch.save(state, folder / "module.bin")
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in kinds.items()}, folder / "kinds.safetensors")
    torch.save({"a": Hostile()}, folder / "hostile.bin")


if __name__ == "__main__":
    main()

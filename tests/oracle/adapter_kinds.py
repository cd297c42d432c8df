#!/usr/bin/env python3
"""Makes the reference numbers of adapters that are more than low-rank updates of the blocks' layers: updates of both tables,
magnitudes (DoRA), and biases of B.

    pip install -r tests/oracle/requirements.txt
    tests/oracle/adapter_kinds.py tests/data/oracle

The base and the batches are those of make_reference.py. It writes for Qwen2, of each kind:
  qwen2/{updated_tables,dora,lora_bias}        the adapter as PEFT saves it; no tensor is as it began
  the same_nf4.safetensors                     logits, loss and grad.<PEFT key> over the NF4 base
  the same_trajectory.{json,safetensors}       optimizer steps over the f32 base, over the batches of
                                               trajectory_batches.safetensors, and what they end in
  qwen2/dora_new.safetensors                   the magnitudes that PEFT begins with over the f32 base, of both blocks
"""
import sys
from pathlib import Path

import torch
from make_reference import load_base, save, trained
from peft import LoraConfig, get_peft_model
from saved_modules import peft_key, reference, trajectory

KINDS = {
    "updated_tables": dict(target_modules=["v_proj", "embed_tokens", "lm_head"]),
    "dora": dict(target_modules=["q_proj", "o_proj", "down_proj"], use_dora=True),
    "lora_bias": dict(target_modules=["q_proj", "v_proj"], lora_bias=True),
}


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) / "qwen2"
    for name, kind in KINDS.items():
        torch.manual_seed(22)
        adapted = get_peft_model(load_base(folder, "f32"), LoraConfig(r=2, lora_alpha=6, task_type="CAUSAL_LM", **kind))
        if name == "dora":
            save({peft_key(key): p.detach().clone() for key, p in trained(adapted).items() if "magnitude" in key},
                 folder / "dora_new.safetensors")
        with torch.no_grad():
            for key, parameter in trained(adapted).items():
                if "lora_B" in key or "lora_embedding_A" in key:
                    parameter.normal_(0, 0.05)
                elif "magnitude" in key:
                    parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
        adapted.save_pretrained(folder / name)
        (folder / name / "README.md").unlink(missing_ok=True)
        save(reference(folder, "nf4", name), folder / f"{name}_nf4.safetensors")
        trajectory(folder, name)


if __name__ == "__main__":
    main()

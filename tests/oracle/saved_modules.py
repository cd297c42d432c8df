#!/usr/bin/env python3
"""Makes the reference numbers of PEFT's modules_to_save: adapters that hold trained copies of the embedding and of the
output layer beside their updates.

    pip install -r tests/oracle/requirements.txt
    tests/oracle/saved_modules.py tests/data/oracle

The bases and batches are those of make_reference.py. It writes, for Qwen2 with copies of both tables, and for Llama, whose
embeddings are tied, with a copy of one of them each:
  {qwen2/saved_both,llama/saved_head,llama/saved_embedding}       the adapter as PEFT saves it; no copy is as it began
  the same.safetensors                                            logits, loss and grad.<PEFT key> over the f32 base
  qwen2/saved_both_nf4.safetensors                                the same over the NF4 base
  qwen2/saved_both_trajectory.{json,safetensors}                  optimizer steps over the f32 base, over the batches of
                                                                  trajectory_batches.safetensors, and what they end in
"""
import json
import sys
from pathlib import Path

import torch
from make_reference import DECAY, MICRO_BATCHES, PEAK, PROJECTIONS, batch, load_base, numbers, run, save, targets, trained
from peft import LoraConfig, PeftModel, get_peft_model

STEPS = 6


def peft_key(name):
    return name.replace(".modules_to_save", "").replace("magnitude_vector.weight", "magnitude_vector")


def make_adapter(base, folder, modules):
    adapted = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
                                              target_modules=PROJECTIONS, modules_to_save=modules))
    with torch.no_grad():
        for name, parameter in trained(adapted).items():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
            elif "modules_to_save" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def load(folder, kind, adapter):
    base = load_base(folder, kind)
    base.requires_grad_(False)
    return PeftModel.from_pretrained(base, folder / adapter, is_trainable=True).train()


def reference(folder, kind, adapter):
    model = load(folder, kind, adapter)
    return {peft_key(name): value for name, value in numbers(model, batch(0)).items()}


def trajectory(folder, adapter):
    model = load(folder, "f32", adapter)
    parameters = list(trained(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=PEAK, weight_decay=DECAY)
    steps = []
    for step in range(STEPS):
        micro_batches = [batch(1 + step * MICRO_BATCHES + i) for i in range(MICRO_BATCHES)]
        count = targets(micro_batches)
        loss = sum(float(run(model, b, 1 / count)[0]) for b in micro_batches) / count
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        steps.append(dict(learning_rate=PEAK, loss=loss, gradient_norm=norm))
        optimizer.step(), optimizer.zero_grad()
    out = dict(weight_decay=DECAY, micro_batches=MICRO_BATCHES, steps=steps)
    (folder / f"{adapter}_trajectory.json").write_text(json.dumps(out, indent=1) + "\n")
    save({peft_key(name): p.detach().clone() for name, p in trained(model).items()},
         folder / f"{adapter}_trajectory.safetensors")


def main():
    torch.set_num_threads(1)
    for architecture, adapter, modules in [("qwen2", "saved_both", ["lm_head", "embed_tokens"]),
                                           ("llama", "saved_head", ["lm_head"]),
                                           ("llama", "saved_embedding", ["embed_tokens"])]:
        torch.manual_seed(21)
        folder = Path(sys.argv[1]) / architecture
        make_adapter(load_base(folder, "f32"), folder / adapter, modules)
        save(reference(folder, "f32", adapter), folder / f"{adapter}.safetensors")
    folder = Path(sys.argv[1]) / "qwen2"
    save(reference(folder, "nf4", "saved_both"), folder / "saved_both_nf4.safetensors")
    trajectory(folder, "saved_both")


if __name__ == "__main__":
    main()

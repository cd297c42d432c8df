#!/usr/bin/env python3
"""QLoRA with PEFT and bitsandbytes on the CPU, for `cargo xtask bench train` to be held against.

    bench_train.py make DIR                     a random Qwen2, an adapter whose B is not zero, and batches
    bench_train.py run DIR BATCH COMPUTE [--checkpointing] [--steps N] [--threads N]

`make` writes DIR/model and DIR/adapter (Hugging Face and PEFT layouts) and DIR/<batch>.json, each a list of token
sequences that make one micro-batch and one optimizer step. `run` takes steps over one of them, all tokens being targets,
padded on the right where lengths differ, and prints one JSON object: the medians of a step's wall-clock and processor
seconds, the peak of resident memory in bytes, and every step's loss.

The base is NF4 with double quantization, COMPUTE is f32 or bf16, the optimizer torch's AdamW. glibc is told to keep
freed memory, which makes torch faster.
"""
import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

KEEP = "8000000000"
if os.environ.get("MALLOC_TRIM_THRESHOLD_") != KEEP:
    os.environ.update(MALLOC_TRIM_THRESHOLD_=KEEP, MALLOC_MMAP_THRESHOLD_=KEEP, OMP_WAIT_POLICY="PASSIVE")
    os.execv(sys.executable, [sys.executable, *sys.argv])

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen2Config

VOCABULARY = 16_384
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make(folder):
    torch.manual_seed(1)
    config = Qwen2Config(hidden_size=896, intermediate_size=4864, num_hidden_layers=8, num_attention_heads=14,
                         num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=4096,
                         tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(folder / "model")
    adapted = get_peft_model(model.float(), LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, bias="none",
                                                       task_type="CAUSAL_LM", target_modules=PROJECTIONS))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    adapted.save_pretrained(folder / "adapter")
    numbers = random.Random(2)
    # Lengths as instruction data has them: many short, few long (log-normal, median 150).
    unequal = [min(512, max(16, int(numbers.lognormvariate(5.0, 0.8)))) for _ in range(8)]
    for name, lengths in {"equal": [512, 512], "small": [64], "unequal": unequal}.items():
        rows = [[numbers.randrange(VOCABULARY) for _ in range(length)] for length in lengths]
        (folder / f"{name}.json").write_text(json.dumps(rows))


def peak_memory_bytes():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))


def run(folder, batch, compute, checkpointing, steps):
    compute = {"f32": torch.float32, "bf16": torch.bfloat16}[compute]
    base = AutoModelForCausalLM.from_pretrained(
        folder / "model", dtype=compute, attn_implementation="sdpa", device_map="cpu",
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                               bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute))
    base.config.use_cache = False
    base.requires_grad_(False)
    model = PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True)
    if checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    rows = json.loads((folder / f"{batch}.json").read_text())
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = ids.masked_fill(mask == 0, -100)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    wall, processor, losses = [], [], []
    for _ in range(steps + 1):
        started, busy = time.perf_counter(), time.process_time()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - busy)
        losses.append(float(loss.detach()))
    # The first step pays for what is set up once.
    print(json.dumps(dict(tokens=sum(map(len, rows)), step_seconds=statistics.median(wall[1:]),
                          step_processor_seconds=statistics.median(processor[1:]),
                          peak_memory_bytes=peak_memory_bytes(), losses=losses)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["make", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("batch", nargs="?")
    parser.add_argument("compute", nargs="?", choices=["f32", "bf16"])
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.task == "make":
        make(options.folder)
    else:
        run(options.folder, options.batch, options.compute, options.checkpointing, options.steps)


main()

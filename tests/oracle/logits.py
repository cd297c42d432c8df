#!/usr/bin/env python3
"""Logits of a folder that hilora-host wrote, by transformers and PEFT.

    tests/oracle/logits.py MODEL BATCH OUTPUT [ADAPTER]

MODEL may be quantized (bitsandbytes). BATCH holds input_ids and attention_mask; OUTPUT gets logits in f32. The model is
put in training mode for the reason that make_reference.py gives.
"""
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def main():
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager", dtype=torch.float32)
    if len(sys.argv) > 4:
        model = PeftModel.from_pretrained(model, sys.argv[4], is_trainable=True)
    batch = load_file(sys.argv[2])
    logits = model.train()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    save_file({"logits": logits.detach().float().contiguous()}, sys.argv[3])


if __name__ == "__main__":
    main()

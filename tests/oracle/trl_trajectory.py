#!/usr/bin/env python3
"""Trains with TRL's SFTTrainer and PEFT on the small Qwen2 of make_reference.py, and keeps what each step did.

    pip install -r tests/oracle/requirements.txt trl==1.16.0 datasets
    tests/oracle/trl_trajectory.py tests/data/oracle

It writes qwen2/trl.json: the rows (token ids and completion mask), the configuration, and of every optimizer step the
learning rate, the loss and the gradient's norm. The run goes on from qwen2/adapter over the base in f32, takes the rows as
they stand, cuts the long ones, drops the one that loses its targets by that, and ends each epoch in a step that is not
full.
"""
import json
import sys
import uuid
from pathlib import Path

import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from peft import PeftModel
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

VOCABULARY, ROWS, MAX_LENGTH = 160, 11, 20
CONFIG = dict(num_epochs=3, batch_size=2, gradient_accumulation_steps=2, learning_rate=2e-3, lr_scheduler="cosine",
              warmup_steps=2, weight_decay=0.01, max_seq_length=MAX_LENGTH)


def rows():
    generator = torch.Generator().manual_seed(3)
    out = []
    for row in range(ROWS):
        length = 8 + (row * 5) % 19
        ids = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
        # Row 7 is cut before its first target: TRL drops it.
        prompt = 21 if row == 7 else 2 + row % 4
        out.append(dict(input_ids=ids, completion_mask=[0] * prompt + [1] * (length - prompt)))
    return out


class Recorder(TrainerCallback):
    """The learning rate with which a step is taken."""

    def __init__(self):
        self.rates = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self.rates.append(optimizer.param_groups[0]["lr"])


def main():
    torch.set_num_threads(1)
    # datasets names its cache by a pickle of the mapped functions, which fails over pyarrow's types; nothing is cached here.
    Hasher.hash = classmethod(lambda cls, value: uuid.uuid4().hex)
    folder = Path(sys.argv[1]) / "qwen2"
    base = AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="eager", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True)
    words = {f"t{i}": i for i in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")),
                                        pad_token="t1", eos_token="t2")
    options = SFTConfig(
        output_dir="/nonexistent", save_strategy="no", report_to=[], use_cpu=True, bf16=False, seed=0,
        num_train_epochs=CONFIG["num_epochs"], per_device_train_batch_size=CONFIG["batch_size"],
        gradient_accumulation_steps=CONFIG["gradient_accumulation_steps"], learning_rate=CONFIG["learning_rate"],
        lr_scheduler_type=CONFIG["lr_scheduler"], warmup_steps=CONFIG["warmup_steps"],
        weight_decay=CONFIG["weight_decay"], max_length=MAX_LENGTH, optim="adamw_torch", max_grad_norm=1.0,
        gradient_checkpointing=False, completion_only_loss=True, packing=False, logging_steps=1, disable_tqdm=True,
        train_sampling_strategy="sequential")
    recorder = Recorder()
    data = rows()
    trainer = SFTTrainer(model=model, args=options, train_dataset=Dataset.from_list(data),
                         processing_class=tokenizer, callbacks=[recorder])
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    # Ten rows are left: in an epoch two steps of two micro-batches of two, and one of a single micro-batch.
    assert len(log) == len(recorder.rates) == 9, (log, recorder.rates)
    steps = [dict(learning_rate=rate, loss=float(entry["loss"]), gradient_norm=float(entry["grad_norm"]))
             for rate, entry in zip(recorder.rates, log)]
    (folder / "trl.json").write_text(json.dumps(dict(config=CONFIG, rows=data, steps=steps)) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes the committed reference numbers under tests/data/oracle with transformers, PEFT and bitsandbytes on the CPU.

    pip install -r tests/oracle/requirements.txt
    tests/oracle/make_reference.py tests/data/oracle [qwen2] [qwen3] [llama]

It writes for a small random Qwen2 (grouped queries, biases that are not zero, untied output layer), a Qwen3 (a norm per
head, heads wider than hidden size / heads, an rsLoRA adapter) and a Llama (llama3 rope scaling, tied embeddings):
  model, adapter                  Hugging Face and PEFT folders; the adapter's B is not zero
  batch.safetensors               input_ids, labels (-100: no target), attention_mask, padded on the right
  {f32,nf4,bf16}.safetensors      logits, loss and grad.<PEFT key> over each kind of base
  full.safetensors                loss and grad.<name> of every weight of the f32 model without the adapter; of Qwen3 and
                                  Llama only the norms and the tables
for Llama alone, whose base is the smallest:
  llama/bitsandbytes, bitsandbytes_plain  the NF4 base as transformers saves it, block maxima nested and in f32
  llama/bitsandbytes_plain.safetensors    logits, loss and gradients over the second; nf4.safetensors has the first's
  llama/merged.safetensors        logits of the f32 base with the adapter merged; the merged matrices of the second block
                                  in f32, and as bf16.<name> where the base is in bf16
and for Qwen2 alone:
  qwen2/awq, awq.safetensors      the base in AutoAWQ's layout (in numpy, see awq.py; groups of 32, the rest in f16) with
                                  logits, loss and gradients over it, and one matrix of it dequantized
  qwen2/nf4_weights.safetensors   the quantized base as bitsandbytes stores it, and a larger matrix made from a formula
  qwen2/trajectory.json, trajectory_batches.safetensors, trajectory.safetensors
                                  20 optimizer steps over the NF4 base, two micro-batches each: learning rate, loss and
                                  gradient norm of every step, the batches, the adapter after the last step

and adamw_8bit.safetensors: two tensors (one of 4,800 elements, one too small for 8 bits) and their states after one and
after six steps of bitsandbytes' AdamW8bit, over gradients that are made from a formula.

The NF4 models are put in training mode before their first pass. In evaluation mode bitsandbytes repacks, on processors
with AVX512-BF16, every layer whose input needs no gradient (queries, keys and values of the first block) for a kernel
that rounds activations and block maxima to bf16; those numbers are another arithmetic and depend on the processor.
Widths are multiples of 64, because bitsandbytes 0.50.2 dequantizes other rows wrongly on AVX-512 processors: an error of
28 % instead of 9 % at 96 columns, where its own portable code gives 9 %.
"""
import json
import sys
from pathlib import Path

import awq
import bitsandbytes as bnb
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import (AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, Qwen2Config, Qwen3Config,
                          get_cosine_schedule_with_warmup)

ROWS, LENGTH, VOCABULARY = 3, 24, 160
STEPS, MICRO_BATCHES, WARMUP, PEAK, DECAY = 20, 2, 3, 2e-3, 0.01
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def configuration(architecture):
    shape = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_key_value_heads=2,
                 vocab_size=VOCABULARY, max_position_embeddings=256, rms_norm_eps=1e-6)
    if architecture == "qwen2":
        return Qwen2Config(num_attention_heads=4, rope_theta=1e6, tie_word_embeddings=False, **shape)
    if architecture == "qwen3":
        return Qwen3Config(num_attention_heads=4, head_dim=64, rope_theta=1e6, tie_word_embeddings=False, **shape)
    # Of the eight wavelengths of a head one stays, one is blended and six are divided.
    rope = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=64, rope_theta=5e5)
    return LlamaConfig(num_attention_heads=4, rope_parameters=rope, tie_word_embeddings=True, **shape)


def random_model(architecture):
    config = configuration(architecture)
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
            else:
                parameter.normal_(0, 0.1)
    return model


def batch(number):
    generator = torch.Generator().manual_seed(number)
    ids = torch.randint(3, VOCABULARY, (ROWS, LENGTH), generator=generator)
    labels, mask = ids.clone(), torch.ones_like(ids)
    for row in range(ROWS):
        labels[row, : 2 + (row * 3 + number) % 9] = -100
        padding = (row * 2 + number) % 5
        if padding:
            ids[row, -padding:], labels[row, -padding:], mask[row, -padding:] = 0, -100, 0
    return dict(input_ids=ids, labels=labels, attention_mask=mask)


def targets(batches):
    return sum(int((b["labels"][:, 1:] != -100).sum()) for b in batches)


def run(model, b, scale):
    """Adds gradients of scale times the summed loss; returns the summed loss and the logits."""
    logits = model(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).logits
    loss = cross_entropy(logits[:, :-1].float().flatten(0, 1), b["labels"][:, 1:].flatten(), reduction="sum")
    (loss * scale).backward()
    return loss.detach(), logits.detach()


def load_base(folder, kind):
    options = dict(attn_implementation="eager", dtype=torch.bfloat16 if kind == "bf16" else torch.float32)
    if kind in ("nf4", "nf4_plain"):
        options |= dict(device_map="cpu", quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=kind == "nf4",
            bnb_4bit_compute_dtype=torch.float32))
    return AutoModelForCausalLM.from_pretrained(folder / "model", **options)


def load(folder, kind):
    return adapted_base(load_base(folder, kind), folder)


def adapted_base(base, folder):
    base.requires_grad_(False)
    return PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True).train()


def trained(model):
    return {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}


def quantized(weight, name):
    state = {name: weight.data.contiguous()}
    state |= {f"{name}.{key}": value.contiguous() for key, value in weight.quant_state.as_dict(packed=True).items()}
    return state


def numbers(model, b):
    loss, logits = run(model, b, 1 / targets([b]))
    out = {"logits": logits.float(), "loss": (loss / targets([b])).reshape(1)}
    return out | {"grad." + name: p.grad.float() for name, p in trained(model).items()}


def save(tensors, path):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def save_quantized(folder, first):
    load_base(folder, "nf4").save_pretrained(folder / "bitsandbytes")
    load_base(folder, "nf4_plain").save_pretrained(folder / "bitsandbytes_plain")
    save(numbers(load(folder, "nf4_plain"), first), folder / "bitsandbytes_plain.safetensors")


def save_merged(folder, first):
    out = {}
    for kind, prefix in (("f32", ""), ("bf16", "bf16.")):
        model = load(folder, kind).merge_and_unload()
        if kind == "f32":
            out["logits"] = model(input_ids=first["input_ids"], attention_mask=first["attention_mask"]).logits.detach()
        out |= {prefix + name: value for name, value in model.state_dict().items()
                if "layers.1." in name and "_proj." in name}
    save(out, folder / "merged.safetensors")


def save_awq(folder, first):
    """AutoAWQ's layout, and the same numbers as floats for the reference."""
    group, tensors = 32, {}
    base = load_base(folder, "f32")
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if "_proj.weight" not in name:
                parameter.copy_(parameter.half())
                tensors[name] = parameter.half()
                continue
            parts = awq.quantize(parameter.numpy(), group)
            parameter.copy_(torch.from_numpy(awq.dequantize(*parts, group)))
            for part, value in zip(("qweight", "qzeros", "scales"), parts):
                tensors[name.replace("weight", part)] = torch.from_numpy(value)
    (folder / "awq").mkdir(exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "awq" / "model.safetensors",
              metadata={"format": "pt"})
    config = json.loads((folder / "model" / "config.json").read_text()) | {"dtype": "float16"}
    config["quantization_config"] = dict(bits=4, group_size=group, quant_method="awq", version="gemm", zero_point=True,
                                         modules_to_not_convert=None)
    (folder / "awq" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    one = "model.layers.1.mlp.down_proj.weight"
    dequantized = {"dequantized." + one: dict(base.named_parameters())[one].detach().clone()}
    save(numbers(adapted_base(base, folder), first) | dequantized, folder / "awq.safetensors")


def nf4_weights(model):
    out = {}
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            out |= quantized(module.weight, name.replace(".base_layer", "") + ".weight")
    # 640 blocks: more than one block of maxima. Element i is (i * 2654435761 mod 2^32) / 2^32 - 0.5, cut to 24 bits.
    i = torch.arange(256 * 160, dtype=torch.int64)
    values = (((i * 2654435761) % 2**32) >> 8).float() / 2**24 - 0.5
    large = bnb.nn.Params4bit(values.reshape(256, 160), requires_grad=False, quant_type="nf4", compress_statistics=True)
    return out | quantized(large.to("cpu"), "large")


def formula(count, offset):
    """Element i is (j * 2654435761 mod 2^32) / 2^32 - 0.5 for j = i + offset, cut to 24 bits."""
    i = torch.arange(count, dtype=torch.int64) + offset
    return (((i * 2654435761) % 2**32) >> 8).float() / 2**24 - 0.5


def adamw_8bit():
    """Gradients of block b are scaled by 2^-b, so that the blocks' maxima differ; the last block is not full."""
    shapes = {"large": (16, 300), "small": (8, 100)}
    parameters = {name: torch.nn.Parameter(formula(rows * columns, 0).reshape(rows, columns))
                  for name, (rows, columns) in shapes.items()}
    optimizer = bnb.optim.AdamW8bit(parameters.values(), lr=1e-2, weight_decay=0.01)
    out = {}
    for step in range(1, 7):
        for parameter in parameters.values():
            count = parameter.numel()
            blocks = torch.arange(count) // 256
            parameter.grad = (formula(count, 7919 * step) * 2.0 ** -blocks.float()).reshape(parameter.shape)
        optimizer.step()
        if step in (1, 6):
            for name, parameter in parameters.items():
                state = optimizer.state[parameter]
                out[f"{step}.{name}"] = parameter.detach().clone()
                out |= {f"{step}.{name}.{key}": state[key].clone()
                        for key in ("state1", "state2", "absmax1", "absmax2") if key in state}
    large = optimizer.state[parameters["large"]]
    return out | {"qmap1": large["qmap1"].clone(), "qmap2": large["qmap2"].clone()}


def main():
    torch.set_num_threads(1)
    save_file(adamw_8bit(), Path(sys.argv[1]) / "adamw_8bit.safetensors")
    for architecture in sys.argv[2:] or ["qwen2", "qwen3", "llama"]:
        torch.manual_seed(20)
        references(Path(sys.argv[1]) / architecture, architecture)


def references(folder, architecture):
    model = random_model(architecture)
    model.save_pretrained(folder / "model")
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, bias="none",
                                               task_type="CAUSAL_LM", target_modules=PROJECTIONS,
                                               use_rslora=architecture == "qwen3"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)

    first = batch(0)
    save_file(first, folder / "batch.safetensors")
    for kind in ("f32", "nf4", "bf16"):
        model = load(folder, kind)
        save(numbers(model, first), folder / f"{kind}.safetensors")
        if kind == "nf4" and architecture == "qwen2":
            save_file(nf4_weights(model), folder / "nf4_weights.safetensors")

    model = AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="eager", dtype=torch.float32)
    loss, _ = run(model, first, 1 / targets([first]))
    kept = ("norm", "embed", "lm_head") if architecture != "qwen2" else ("",)
    out = {"loss": (loss / targets([first])).reshape(1)}
    out |= {"grad." + n: p.grad for n, p in model.named_parameters() if any(part in n for part in kept)}
    save(out, folder / "full.safetensors")
    if architecture == "llama":
        save_quantized(folder, first)
        save_merged(folder, first)
    if architecture == "qwen2":
        save_awq(folder, first)
        trajectory(folder)



def trajectory(folder):
    model = load(folder, "nf4")
    parameters = list(trained(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=PEAK, weight_decay=DECAY)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)
    steps, batches = [], {}
    for step in range(STEPS):
        numbers = [1 + step * MICRO_BATCHES + i for i in range(MICRO_BATCHES)]
        micro_batches = [batch(number) for number in numbers]
        count = targets(micro_batches)
        loss = sum(float(run(model, b, 1 / count)[0]) for b in micro_batches) / count
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        steps.append(dict(learning_rate=schedule.get_last_lr()[0], loss=loss, gradient_norm=norm))
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        batches |= {f"{n}.{key}": value for n, b in zip(numbers, micro_batches) for key, value in b.items()}
    save_file(batches, folder / "trajectory_batches.safetensors")
    (folder / "trajectory.json").write_text(json.dumps(dict(weight_decay=DECAY, micro_batches=MICRO_BATCHES, steps=steps),
                                                       indent=1) + "\n")
    save_file({name: p.detach().clone() for name, p in trained(model).items()}, folder / "trajectory.safetensors")


if __name__ == "__main__":
    main()

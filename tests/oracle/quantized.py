#!/usr/bin/env python3
"""Makes the reference numbers of quantized bases, under tests/data/oracle/quantized.

    pip install -r tests/oracle/requirements.txt compressed-tensors==0.20.1
    tests/oracle/quantized.py tests/data/oracle/quantized

A case is one small random Qwen2, whose linear layers are stored as a tool stores them, in the folder `model`, and
`expected.safetensors`: logits, loss and grad.<PEFT key> in f32 of transformers' model with the dequantized weights, and one of
those weights as `dequantized`. All cases share the folder `adapter` and `batch.safetensors`. What dequantizes:
  bitsandbytes_*  bitsandbytes itself
  compressed_*    compressed-tensors itself; of the map of groups, which its last versions lack, the equation below
  fp8             transformers, which loads the folder with `dequantize=True`
  gptq_*, awq_*   gptq.py and awq.py, statements of the formats
"""
import json
import sys
from pathlib import Path

import awq
import bitsandbytes.functional as bnb
import gptq
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, FineGrainedFP8Config, Qwen2Config

ROWS, LENGTH, VOCABULARY = 2, 12, 32
HEAD, SHOWN = "lm_head.weight", "model.layers.0.mlp.up_proj.weight"
CONFIG = Qwen2Config(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
                     vocab_size=VOCABULARY, max_position_embeddings=64, tie_word_embeddings=False, pad_token_id=0,
                     bos_token_id=1, eos_token_id=2)


def random_weights():
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_config(CONFIG).float()
    return {name: (torch.randn_like(p) * 0.1 + (1 if "norm" in name else 0)).half() for name, p in model.named_parameters()}


def linear(name):
    return "_proj.weight" in name


def bitsandbytes_case(kind, block, nested, storage, head):
    def layer(name, weight):
        if not (linear(name) or (head and name == HEAD)):
            return None
        codes, state = bnb.quantize_4bit(weight.float(), blocksize=block, compress_statistics=nested, quant_type=kind,
                                         quant_storage=storage)
        tensors = {name: codes} | {f"{name}.{key}": value for key, value in state.as_dict(packed=True).items()}
        return tensors, bnb.dequantize_4bit(codes, state).reshape(weight.shape)
    skipped = [] if head else ["lm_head"]
    return layer, dict(quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type=kind,
                       bnb_4bit_use_double_quant=nested, bnb_4bit_compute_dtype="float32", llm_int8_skip_modules=skipped,
                       bnb_4bit_quant_storage=str(storage).removeprefix("torch."))


def gptq_case(bits, group, desc_act, symmetric, version):
    def layer(name, weight):
        if not linear(name):
            return None
        inputs = torch.arange(weight.shape[1])
        g_idx = inputs // (group if group > 0 else weight.shape[1])
        if desc_act:
            g_idx = g_idx[torch.randperm(len(g_idx), generator=torch.Generator().manual_seed(5))]
        less_one = version == "gptq"
        tensors = gptq.quantize(weight.float(), bits, g_idx, symmetric, less_one)
        stem = name.removesuffix("weight")
        return {stem + key: value for key, value in tensors.items()}, gptq.dequantize(**tensors, bits=bits, less_one=less_one)
    return layer, dict(quant_method="gptq", bits=bits, group_size=group, desc_act=desc_act, sym=symmetric, lm_head=False,
                       checkpoint_format=version, true_sequential=True, damp_percent=0.1)


def gemv(weight, group):
    """AutoAWQ's gemv layout: output by output, nibbles in their order, rows of zero points filled up."""
    qweight, qzeros, scales = awq.quantize(weight.numpy(), group)
    dequantized = torch.from_numpy(awq.dequantize(qweight, qzeros, scales, group))
    codes, zeros, scales = (torch.from_numpy(x.copy()).t() for x in (awq.unpack(qweight), awq.unpack(qzeros), scales))
    words = -(-zeros.shape[1] // 8)
    words = -(-words // {32: 4, 64: 2}.get(group, 1)) * {32: 4, 64: 2}.get(group, 1)
    pad = torch.nn.functional.pad
    wide = (0, words * 8 - zeros.shape[1])
    parts = dict(qweight=gptq.pack(codes.t(), 4).t(), qzeros=gptq.pack(pad(zeros, wide).t(), 4).t(), scales=pad(scales, wide))
    return parts, dequantized


def awq_case(group):
    def layer(name, weight):
        if not linear(name):
            return None
        parts, dequantized = gemv(weight.float(), group)
        return {name.removesuffix("weight") + key: value for key, value in parts.items()}, dequantized
    return layer, dict(quant_method="awq", bits=4, group_size=group, version="gemv", zero_point=True)


def compressed_case(form, ignored=(), dynamic=False, g_idx=False, **arguments):
    arguments = QuantizationArgs(symmetric=arguments.pop("symmetric", True), **arguments)
    activations = QuantizationArgs(num_bits=8, type="float", strategy="token", dynamic=True) if dynamic else None
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments, input_activations=activations)
    compressor = BaseCompressor.get_value_from_registry(form)

    def layer(name, weight):
        if not linear(name) or any(part in name for part in ignored):
            return None
        weight, outputs = weight.float(), weight.shape[0]
        strategy = getattr(arguments.strategy, "value", arguments.strategy)
        order = torch.arange(weight.shape[1])
        if g_idx:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(5))
        ordered = weight[:, order]
        shape = {"group": (outputs, -1, arguments.group_size), "channel": (outputs, 1, -1), "tensor": (1, 1, -1)}[strategy]
        values = ordered.reshape(shape)
        scale, zero = calculate_qparams(values.amin(-1), values.amax(-1), arguments)
        scale = scale.half().reshape(1) if strategy == "tensor" else scale.half()
        state = dict(weight=ordered, weight_scale=scale.float(), weight_zero_point=zero)
        packed = compressor.compress(state, scheme)
        dequantized = compressor.decompress(packed, scheme)["weight"].float()
        packed["weight_scale"] = scale
        packed.pop("weight_zero_point", None) if arguments.symmetric else None
        if g_idx:
            # Column order[i] of W is column i of what was quantized, so the codes are put back and the groups named.
            codes = (packed["weight_packed"].unsqueeze(2) >> torch.arange(0, 32, 4)) & 15
            back = torch.argsort(order)
            packed["weight_packed"] = gptq.pack(codes.reshape(outputs, -1)[:, back].t(), 4).t().contiguous()
            packed["weight_g_idx"] = (back // arguments.group_size).int()
            dequantized = dequantized[:, back]
        stem = name.removesuffix("weight")
        return {stem + key: value for key, value in packed.items()}, dequantized

    described = dict(targets=["Linear"], weights=json.loads(arguments.model_dump_json()), output_activations=None,
                     input_activations=json.loads(activations.model_dump_json()) if activations else None)
    return layer, dict(quant_method="compressed-tensors", format=form, quantization_status="compressed", kv_cache_scheme=None,
                       config_groups={"group_0": described}, ignore=[HEAD.removesuffix(".weight"),
                                                                     *(f"re:.*{part}" for part in ignored)])


def fp8_case(down, across):
    def layer(name, weight):
        if not linear(name):
            return None
        rows, columns = weight.shape
        blocks = weight.float().reshape(rows // down, down, columns // across, across)
        scale = blocks.abs().amax((1, 3)) / 448
        codes = (blocks / scale[:, None, :, None]).reshape(rows, columns).to(torch.float8_e4m3fn)
        wide = scale.repeat_interleave(down, 0).repeat_interleave(across, 1)
        return {name: codes, name + "_scale_inv": scale}, codes.float() * wide
    return layer, dict(quant_method="fp8", activation_scheme="dynamic", weight_block_size=[down, across],
                       modules_to_not_convert=["lm_head"])


CASES = {
    "bitsandbytes_128_nested": bitsandbytes_case("nf4", 128, True, torch.bfloat16, False),
    "bitsandbytes_32": bitsandbytes_case("nf4", 32, False, torch.float16, True),
    "bitsandbytes_fp4": bitsandbytes_case("fp4", 64, True, torch.float32, False),
    "gptq": gptq_case(4, 32, True, False, "gptq"),
    "gptq_v2": gptq_case(4, -1, False, True, "gptq_v2"),
    "gptq_8": gptq_case(8, 64, False, False, "gptq"),
    "compressed_group": compressed_case("pack-quantized", num_bits=4, strategy="group", group_size=32),
    "compressed_channel": compressed_case("pack-quantized", ["down_proj"], num_bits=4, strategy="channel", symmetric=False),
    "compressed_g_idx": compressed_case("pack-quantized", g_idx=True, num_bits=4, strategy="group", group_size=32,
                                        symmetric=False),
    "compressed_fp8": compressed_case("float-quantized", dynamic=True, num_bits=8, type="float", strategy="channel"),
    "compressed_fp8_tensor": compressed_case("float-quantized", ["self_attn"], num_bits=8, type="float", strategy="tensor"),
    "fp8": fp8_case(32, 16),
    "awq_gemv": awq_case(32),
}


def batch():
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, VOCABULARY, (ROWS, LENGTH), generator=generator)
    labels, mask = ids.clone(), torch.ones_like(ids)
    labels[:, :3] = -100
    ids[1, -4:], labels[1, -4:], mask[1, -4:] = 0, -100, 0
    return dict(input_ids=ids, labels=labels, attention_mask=mask)


def save(tensors, path):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def model_of(weights):
    model = AutoModelForCausalLM.from_config(CONFIG, attn_implementation="eager").float()
    model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return model.requires_grad_(False)


def as_transformers_loads_it(folder, name):
    """The weights of a folder, where transformers can load it."""
    if name == "fp8":
        config = FineGrainedFP8Config(weight_block_size=(32, 16), dequantize=True, modules_to_not_convert=["lm_head"])
    elif name.startswith("compressed_fp8") or name in ("compressed_group", "compressed_channel"):
        config = CompressedTensorsConfig(run_compressed=False)
    else:
        return None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=config)
    return {key: value.float() for key, value in model.state_dict().items()}


def make(root, name):
    (folder := root / name / "model").mkdir(parents=True, exist_ok=True)
    layer, section = CASES[name]
    stored, dequantized = {}, {}
    for key, weight in random_weights().items():
        made = layer(key, weight)
        stored |= made[0] if made else {key: weight}
        dequantized[key] = made[1] if made else weight
    save(stored, folder / "model.safetensors")
    config = CONFIG.to_dict() | dict(architectures=["Qwen2ForCausalLM"], dtype="float16", quantization_config=section)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    if loaded := as_transformers_loads_it(folder, name):
        worst = max(float((loaded[key].float() - value.float()).norm() / value.float().norm()) for key, value in dequantized.items())
        print(f"{name}: transformers loads the same within {worst:.1e}")
    adapted = PeftModel.from_pretrained(model_of(dequantized), root / "adapter", is_trainable=True).train()
    b = batch()
    logits = adapted(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).logits
    loss = cross_entropy(logits[:, :-1].flatten(0, 1), b["labels"][:, 1:].flatten())
    loss.backward()
    out = {"logits": logits.detach(), "loss": loss.detach().reshape(1), "dequantized": dequantized[SHOWN][:8].float()}
    out |= {"grad." + key.replace(".default", ""): p.grad for key, p in adapted.named_parameters() if p.requires_grad}
    save(out, root / name / "expected.safetensors")


def main():
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    root.mkdir(exist_ok=True)
    save(batch(), root / "batch.safetensors")
    torch.manual_seed(3)
    lora = LoraConfig(r=2, lora_alpha=6, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=["q_proj", "down_proj"])
    adapted = get_peft_model(model_of(random_weights()), lora)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    adapted.save_pretrained(root / "adapter")
    (root / "adapter" / "README.md").unlink(missing_ok=True)
    for name in sys.argv[2:] or CASES:
        make(root, name)


if __name__ == "__main__":
    main()

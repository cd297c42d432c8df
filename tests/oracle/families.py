#!/usr/bin/env python3
"""Makes the reference numbers of model families, of configurations and of adapters, under tests/data/oracle/families.

    pip install -r tests/oracle/requirements.txt
    tests/oracle/families.py tests/data/oracle/families [CASE …]

A case is a small random model in transformers' own class for it, stored in bf16, with an adapter whose B is not zero:
  model, adapter          Hugging Face and PEFT folders, as `save_pretrained` writes them; what `edit` does to config.json
                          afterwards is what people's files leave out or add
  expected.safetensors    logits, loss and grad.<PEFT key> in f32 over the batch of batch.safetensors, in training mode (every
                          dropout of the base is zero, and of the adapter is left out); of some families full.<name>, the
                          gradients of norms, tables and fused layers where the base is trained without an adapter
  dropout.safetensors     of adapters with dropout: loss and grad.<PEFT key> with the trainer's own masks, which are a function
                          of (seed, micro-batch, block, layer, element), here of seed 3 and micro-batch 9
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

ROWS, LENGTH, VOCABULARY = 2, 20, 67
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPE = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=VOCABULARY, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=1e4)
LONG = dict(rope_type="longrope", original_max_position_embeddings=32, rope_theta=1e4,
            short_factor=[1.0, 1.1, 1.3, 1.5], long_factor=[1.0, 2.0, 3.0, 4.0])
# Of heads of 8 a half is rotary.
LONG_HALF = LONG | dict(partial_rotary_factor=0.5, short_factor=[1.0, 1.3], long_factor=[1.0, 3.0])
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
KINDS = ["sliding_attention", "full_attention", "sliding_attention"]


def without(*keys):
    def edit(config):
        for key in keys:
            config.pop(key, None)
    return edit


def with_keys(**keys):
    return lambda config: config.update(keys)


def relabelled(config):
    """A Llama with every bias, as InternLM3 calls it: transformers has no class of its own for that."""
    for key in ("attention_bias", "mlp_bias", "head_dim"):
        config.pop(key)
    rope = dict(type="dynamic", factor=6.0)
    config.update(model_type="internlm3", qkv_bias=True, bias=True, rope_theta=1e4, rope_scaling=rope)
    config.pop("rope_parameters")


def gemma_of_the_hub(config):
    """The keys of the published files, which say less and in other words."""
    for key in ("rope_parameters", "layer_types", "query_pre_attn_scalar", "hidden_activation", "tie_word_embeddings",
                "num_key_value_heads", "rms_norm_eps"):
        config.pop(key, None)
    config.update(rope_theta=5e4, rope_local_base_freq=1e3, rope_scaling=dict(rope_type="linear", factor=8.0),
                  sliding_window_pattern=2)


def phi_of_the_hub(config):
    rope = config.pop("rope_parameters")
    config["rope_scaling"] = dict(type="longrope", short_factor=rope["short_factor"], long_factor=rope["long_factor"])
    config.update(rope_theta=1e4, partial_rotary_factor=0.5)


def wrapped(text, vision, **extra):
    """A wrapper of a text model and of a very small one for images."""
    return dict(text_config=SHAPE | text, vision_config=vision, **extra)


TOWER = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4)
TEXT_ONLY = r"(?=.*language_model\.)(?:(?:.*\.)?(?:q_proj|v_proj|up_proj|down_proj))"
WRAPPERS = ["gemma3", "mistral3", "llava", "qwen2_5_vl"]


def flat(config):
    """As the published files of Qwen2.5-VL are."""
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text.pop("model_type")
    for key, value in text.items():
        config.setdefault(key, value)
    config.update(rope_theta=rope["rope_theta"], rope_scaling=dict(type="mrope", mrope_section=rope["mrope_section"]))


# name: (model_type, configuration, edit of config.json, adapter, edit of it after the numbers were made)
CASES = {
    # What configurations say.
    "llama_biases": ("llama", dict(attention_bias=True, mlp_bias=True), None, {}),
    "llama_no_key_value_heads": ("llama", dict(num_key_value_heads=4), without("num_key_value_heads"), {}),
    "qwen2_unused_window": ("qwen2", dict(use_sliding_window=True, sliding_window=8, max_window_layers=2),
                            without("layer_types"), {}),
    "qwen3_biases": ("qwen3", dict(attention_bias=True, head_dim=16), None, {}),
    "llama_yarn": ("llama", dict(rope_parameters=YARN), None, {}),
    "llama_yarn_all": ("llama", dict(rope_parameters=YARN | dict(beta_fast=8.0, beta_slow=2.0, attention_factor=1.3)),
                       None, {}),
    "llama_yarn_mscale": ("llama", dict(rope_parameters=YARN | dict(mscale=0.7, mscale_all_dim=1.4, truncate=False)),
                          None, {}),
    "llama_dynamic": ("llama", dict(rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=1e4)), None, {}),
    "llama_longrope": ("llama", dict(rope_parameters=LONG), None, {}),
    # Two tables in the file, and a config.json that says there is one: transformers 5 keeps both.
    "llama_two_tables": ("llama", dict(tie_word_embeddings=False), with_keys(tie_word_embeddings=True), {}),
    # Families.
    "mistral": ("mistral", dict(head_dim=16, sliding_window=None), None, {}),
    "mistral_window": ("mistral", dict(sliding_window=20), None, {}),
    "seed_oss": ("seed_oss", dict(head_dim=16, attention_dropout=0.0, residual_dropout=0.0), None, {}),
    "smollm3": ("smollm3", dict(num_hidden_layers=4, no_rope_layer_interval=2), None, {}),
    "internlm3": ("llama", dict(attention_bias=True, mlp_bias=True), None, {}, relabelled),
    "granite": ("granite", dict(embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.4,
                                logits_scaling=5.0, tie_word_embeddings=True), None, {}),
    "mistral_short_window": ("mistral", dict(sliding_window=7), None, {}),
    "phi3": ("phi3", dict(original_max_position_embeddings=64), None, dict(target_modules=FUSED)),
    "phi3_longrope": ("phi3", dict(rope_parameters=LONG_HALF, original_max_position_embeddings=32, sliding_window=9,
                                   tie_word_embeddings=True), phi_of_the_hub, dict(target_modules="all-linear")),
    "olmo2": ("olmo2", dict(attention_bias=True), None, {}),
    "olmo3": ("olmo3", dict(num_hidden_layers=3, sliding_window=6, layer_types=KINDS,
                            rope_parameters=dict(full_attention=YARN,
                                                 sliding_attention=dict(rope_type="default", rope_theta=1e4))), None, {}),
    "gemma3_text": ("gemma3_text", dict(
        num_hidden_layers=3, head_dim=16, sliding_window=7, layer_types=KINDS, query_pre_attn_scalar=20,
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=4.0, rope_theta=1e5),
                             sliding_attention=dict(rope_type="default", rope_theta=5e3))), None, {}),
    "gemma3_text_hub": ("gemma3_text", dict(num_key_value_heads=4, head_dim=8, sliding_window=7), gemma_of_the_hub, {}),
    # Wrappers.
    "gemma3": ("gemma3", wrapped(dict(model_type="gemma3_text", head_dim=8, sliding_window=7), TOWER,
                                 mm_tokens_per_image=4, image_token_index=66, boi_token_index=65, eoi_token_index=64),
               None, dict(target_modules=TEXT_ONLY)),
    "mistral3": ("mistral3", wrapped(dict(model_type="mistral", head_dim=8, sliding_window=None), TOWER | dict(
        model_type="pixtral", head_dim=8), tie_word_embeddings=False), None, dict(target_modules=TEXT_ONLY)),
    "llava": ("llava", wrapped(dict(model_type="llama", head_dim=8), TOWER | dict(
        model_type="clip_vision_model", projection_dim=8, vocab_size=67), image_token_index=66, vision_feature_layer=-1),
              None, dict(target_modules=TEXT_ONLY)),
    "qwen2_5_vl": ("qwen2_5_vl", wrapped(dict(rope_parameters=dict(rope_type="default", rope_theta=1e4,
                                                                   mrope_section=[1, 1, 2])),
                                         dict(depth=1, hidden_size=8, intermediate_size=8, num_heads=1, out_hidden_size=32,
                                              patch_size=4, fullatt_block_indexes=[0])),
                   flat, dict(target_modules=TEXT_ONLY)),
    # Adapters.
    "lora_layers": ("llama", dict(num_hidden_layers=3), None, dict(target_modules=["q_proj", "up_proj"],
                                                                layers_to_transform=[1])),
    "lora_patterns": ("llama", {}, None, dict(rank_pattern={"layers.1.self_attn.q_proj": 4, "^model.layers.0.mlp.*": 1},
                                              alpha_pattern={"o_proj": 7, "1.mlp.down_proj": 2}, use_rslora=True)),
    "lora_expression": ("llama", {}, None, dict(target_modules=r".*\.(0|1)\.(?!mlp).*\.(q|v|up)_proj",
                                                exclude_modules=["0.self_attn.v_proj"], task_type=None)),
    # Updates of the tables: of two, and of one that is both, with factors on embedding and logits.
    "lora_tables": ("llama", {}, None, dict(target_modules=["k_proj", "embed_tokens", "lm_head"], lora_dropout=0.2,
                                          rank_pattern={"lm_head": 3})),
    "lora_tied_tables": ("granite", dict(embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.4,
                                         logits_scaling=5.0, tie_word_embeddings=True), None,
                         dict(target_modules=["q_proj", "model.embed_tokens", "lm_head"], use_rslora=True)),
    "lora_tied_embedding": ("llama", dict(tie_word_embeddings=True), None,
                            dict(target_modules=".*(embed_tokens|up_proj)")),
    # Magnitudes, and biases of B.
    "dora": ("llama", dict(attention_bias=True), None, dict(use_dora=True, lora_dropout=0.2)),
    "dora_patterns": ("granite", dict(residual_multiplier=0.4), None,
                      dict(use_dora=True, use_rslora=True, target_modules=["q_proj", "o_proj", "down_proj"],
                           rank_pattern={"1.self_attn.q_proj": 3})),
    "lora_bias": ("llama", dict(attention_bias=True, mlp_bias=True), None, dict(lora_bias=True)),
    "lora_full_names": ("llama", {}, None, dict(target_modules=["model.layers.0.mlp.up_proj", "1.self_attn.k_proj"])),
}


SEED, MICRO_BATCH, DROPOUT = 3, 9, 1


def philox(counters, key):
    """Philox4x32-10 (Salmon et al. 2011) of many counters [n, 4]."""
    c = [counters[:, i].astype(np.uint64) for i in range(4)]
    low = np.uint64(0xFFFFFFFF)
    key = [np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32)]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        shift = np.uint64(32)
        c = [(b >> shift) ^ c[1] ^ key[0], b & low, (a >> shift) ^ c[3] ^ key[1], a & low]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, 1)


class Mask(torch.nn.Module):
    """Dropout with the trainer's mask of a layer: zero or 1 / (1 - p), element by element of the rows that it takes."""

    def __init__(self, p, layer, module, rows):
        super().__init__()
        self.p, self.place, self.rows = p, layer << 12 | module << 8 | DROPOUT, rows

    def forward(self, x):
        rows = torch.arange(x.shape[0] * x.shape[1]) if self.rows is None else self.rows
        count = len(rows) * x.shape[2]
        index = np.arange((count + 3) // 4)
        counters = np.stack([index, 0 * index, np.full_like(index, self.place), np.full_like(index, MICRO_BATCH)], 1)
        words = philox(counters, SEED).reshape(-1)[:count]
        kept = torch.tensor((words >= int(self.p * 2**32)) / (1 - self.p), dtype=x.dtype)
        mask = torch.ones(x.shape[0] * x.shape[1], x.shape[2])
        mask[rows] = kept.reshape(len(rows), -1)
        return x * mask.reshape(x.shape)


def set_dropout(adapted, make):
    for name, module in adapted.named_modules():
        dropouts = getattr(module, "lora_dropout", None)
        if dropouts is not None and "embed_tokens" not in name:
            dropouts["default"] = make(name)


def batch():
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, VOCABULARY, (ROWS, LENGTH), generator=generator)
    labels, mask = ids.clone(), torch.ones_like(ids)
    labels[:, :3] = -100
    ids[1, -4:], labels[1, -4:], mask[1, -4:] = 0, -100, 0
    return dict(input_ids=ids, labels=labels, attention_mask=mask)


def rewrite(path, edit):
    if edit:
        config = json.loads(path.read_text())
        edit(config)
        path.write_text(json.dumps(config, indent=2) + "\n")


FULL = ["phi3", "olmo2", "gemma3_text"]


def loss_of(model, b):
    logits = model(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).logits
    return logits, cross_entropy(logits[:, :-1].flatten(0, 1), b["labels"][:, 1:].flatten())


def numbers(adapted, path, full):
    """`full` is what stands in the file beside the loss and the gradients of an adapter; `None` is not even its logits."""
    adapted.zero_grad()
    logits, loss = loss_of(adapted, batch())
    loss.backward()
    out = {} if full is None else full | {"logits": logits.detach()}
    out["loss"] = loss.detach().reshape(1)
    for name, p in adapted.named_parameters():
        if p.requires_grad:
            out["grad." + name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")] = p.grad
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, path)


def full_gradients(model, b):
    model.requires_grad_(True).train()
    loss_of(model, b)[1].backward()
    kept = ("norm", "embed_tokens", "qkv_proj", "gate_up_proj")
    out = {"full." + name: p.grad.clone() for name, p in model.named_parameters() if any(part in name for part in kept)}
    model.zero_grad()
    return out


def make(folder, model_type, configuration, edit, adapter, edit_after=None):
    torch.manual_seed(3)
    auto = AutoModelForImageTextToText if model_type in WRAPPERS else AutoModelForCausalLM
    config = AutoConfig.for_model(model_type, **(configuration if model_type in WRAPPERS else SHAPE | configuration))
    model = auto.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            draw = torch.randn_like(parameter) * 0.1
            draw = draw + 1 if "norm" in name and model_type not in ("gemma3_text", "gemma3") else draw
            parameter.copy_(draw.bfloat16())
    model.bfloat16().save_pretrained(folder / "model")
    (folder / "model" / "generation_config.json").unlink(missing_ok=True)
    rewrite(folder / "model" / "config.json", edit)
    # What the edited file says is what transformers computes.
    model = auto.from_pretrained(folder / "model", attn_implementation="eager", dtype=torch.float32)
    full = full_gradients(model, batch()) if folder.name in FULL else {}
    model.requires_grad_(False)
    lora = dict(r=2, lora_alpha=6, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=PROJECTIONS)
    adapted = get_peft_model(model, LoraConfig(**(lora | adapter))).train()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "lora_embedding" in name:
                parameter.normal_(0, 0.1)
            elif "magnitude" in name:
                parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)

    p = adapted.peft_config["default"].lora_dropout
    set_dropout(adapted, lambda name: torch.nn.Identity())
    numbers(adapted, folder / "expected.safetensors", full)
    if p > 0:
        # The output layer sees only the rows that predict a target.
        predicting = torch.nn.functional.pad(batch()["labels"], (0, 1), value=-100)[:, 1:].flatten()
        blocks = config.num_hidden_layers

        def mask(name):
            if "lm_head" in name:
                return Mask(p, blocks, len(PROJECTIONS), (predicting != -100).nonzero().flatten())
            return Mask(p, int(name.split("layers.")[1].split(".")[0]), PROJECTIONS.index(name.split(".")[-1]), None)

        set_dropout(adapted, mask)
        numbers(adapted, folder / "dropout.safetensors", None)
    rewrite(folder / "model" / "config.json", edit_after)


def main():
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    root.mkdir(parents=True, exist_ok=True)
    save_file(batch(), root / "batch.safetensors")
    for name in sys.argv[2:] or CASES:
        make(root / name, *CASES[name])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""transformers' generate and llama.cpp on the CPU, for `cargo xtask bench generate` to be held against.

    bench_generate.py make DIR                               a random Qwen2 in bf16 (hidden 896, 8 layers)
    bench_generate.py run DIR TYPE BATCH PROMPT NEW ROUNDS    transformers: TYPE is bf16, or nf4 (bitsandbytes)
    bench_generate.py gguf DIR FILE                          the same weights for llama.cpp, linear layers in Q4_0
    bench_generate.py llama FILE BATCH PROMPT NEW ROUNDS      llama.cpp by its low-level interface, as llama-bench does

`run` and `llama` complete BATCH prompts of PROMPT tokens by NEW likeliest tokens each and print one JSON object: the least
seconds of some rounds up to the first token of each (`prefill_seconds`) and for all others (`decode_seconds`), and the
processor's seconds of the latter. Both compute in bf16 or what they take for 4 bits, with one thread for each processor.
"""
import argparse
import json
import os
import time
from pathlib import Path

THREADS = int(os.environ.get("HILORA_BENCH_THREADS", len(os.sched_getaffinity(0))))
VOCABULARY = 16_384


def prompts(batch, length, vocabulary):
    """As `generate_costs` makes them: no two begin alike."""
    return [[(i * i * 5 + i * 37 + row * 101 + 3) % vocabulary for i in range(length)] for row in range(batch)]


def make(folder):
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(1)
    config = Qwen2Config(hidden_size=896, intermediate_size=4864, num_hidden_layers=8, num_attention_heads=14,
                         num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=4096,
                         tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)


def least(rounds):
    """The least of each measure; the first round pays for what is set up once."""
    return {name: min(one[name] for one in rounds[1:] or rounds) for name in rounds[0]}


def run(folder, kind, batch, prompt, new, rounds):
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.set_num_threads(THREADS)
    quantization = None
    if kind == "nf4":
        quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                          bnb_4bit_compute_dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="sdpa",
                                                 device_map="cpu", quantization_config=quantization).eval()
    ids = torch.tensor(prompts(batch, prompt, model.config.vocab_size))
    # Nothing ends a completion early.
    model.generation_config.eos_token_id = None
    options = dict(attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, use_cache=True)

    def timed(tokens):
        started, busy = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            out = model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, **options)
        assert out.shape[1] == prompt + tokens, out.shape
        return time.perf_counter() - started, time.process_time() - busy

    measured = []
    for _ in range(rounds + 1):
        (one, one_busy), (all_, all_busy) = timed(1), timed(new)
        measured.append(dict(prefill_seconds=one, decode_seconds=all_ - one, decode_processor_seconds=all_busy - one_busy))
    print(json.dumps(least(measured)))


def gguf_file(folder, file):
    import gguf
    import numpy
    from gguf.quants import quantize

    config = json.loads((folder / "config.json").read_text())
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    rope = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer = gguf.GGUFWriter(file, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_freq_base(rope)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    stored = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(stored[:8], "little")
    for key, tensor in json.loads(stored[8:8 + length]).items():
        if key == "__metadata__":
            continue
        assert tensor["dtype"] == "BF16", (key, tensor)
        first, last = (8 + length + offset for offset in tensor["data_offsets"])
        bits = numpy.frombuffer(stored[first:last], numpy.uint16).astype(numpy.uint32) << 16
        values = bits.view(numpy.float32).reshape(tensor["shape"])
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            # As llama.cpp itself makes a file of the kind Q4_0: the table, which is also the output layer, in 8 bits.
            four, eight = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0
            kind = eight if name == "token_embd.weight" else four
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama(file, batch, prompt, new, rounds):
    import ctypes

    import llama_cpp as ll

    # C calls it as long as this function runs.
    quiet = ll.llama_log_callback(lambda *_: None)
    ll.llama_log_set(quiet, ctypes.c_void_p(0))
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(str(file).encode(), ll.llama_model_default_params())
    assert model, f"llama.cpp cannot load {file}"
    options = ll.llama_context_default_params()
    options.n_ctx = batch * (prompt + new)
    options.n_batch = options.n_ubatch = max(batch * prompt, 512)
    options.n_seq_max = batch
    options.n_threads = options.n_threads_batch = THREADS
    options.no_perf = True
    context = ll.llama_init_from_model(model, options)
    assert context, "llama.cpp makes no context"
    vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
    rows = prompts(batch, prompt, vocabulary)
    memory = ll.llama_get_memory(context)

    def decode(columns):
        """Tokens by (row, position, token, whether its logits are wanted)."""
        tokens = ll.llama_batch_init(len(columns), 0, 1)
        tokens.n_tokens = len(columns)
        for i, (row, position, token, wanted) in enumerate(columns):
            tokens.token[i], tokens.pos[i], tokens.n_seq_id[i], tokens.seq_id[i][0] = token, position, 1, row
            tokens.logits[i] = wanted
        assert ll.llama_decode(context, tokens) == 0
        ll.llama_synchronize(context)
        ll.llama_batch_free(tokens)

    measured = []
    for _ in range(rounds + 1):
        ll.llama_memory_clear(memory, True)
        started = time.perf_counter()
        decode([(row, i, token, i + 1 == prompt) for row, tokens in enumerate(rows) for i, token in enumerate(tokens)])
        prefill = time.perf_counter() - started
        started, busy = time.perf_counter(), time.process_time()
        # As llama-bench: any token, no sampling.
        for step in range(new - 1):
            decode([(row, prompt + step, (step * 7 + row) % vocabulary, True) for row in range(batch)])
        measured.append(dict(prefill_seconds=prefill, decode_seconds=time.perf_counter() - started,
                             decode_processor_seconds=time.process_time() - busy))
    size = ll.llama_model_size(model)
    print(json.dumps(dict(weight_bytes=size, **least(measured))))


def main():
    parser = argparse.ArgumentParser()
    tasks = parser.add_subparsers(dest="task", required=True)
    for name, words in [("make", ["folder"]), ("run", ["folder", "kind", "batch", "prompt", "new", "rounds"]),
                        ("gguf", ["folder", "file"]), ("llama", ["file", "batch", "prompt", "new", "rounds"])]:
        task = tasks.add_parser(name)
        for word in words:
            paths = word in ("folder", "file")
            task.add_argument(word, type=Path if paths else str if word == "kind" else int)
    options = vars(parser.parse_args())
    {"make": make, "run": run, "gguf": gguf_file, "llama": llama}[options.pop("task")](**options)


main()

"""Makes small tokenizers of the kinds that real ones are of, and what transformers makes of texts with them.

A text is a list of segments, as a formatter gives it. The tokens are those of the whole text, without special tokens
around it, and those of a trained segment are found as `apply_chat_template(return_assistant_tokens_mask=True)` finds them,
by `char_to_token`.

Usage: tokenization.py (transformers and tokenizers)
Writes tests/data/tokenization/: a tokenizer.json of each kind, and vectors.json.
"""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "tokenization"
CORPUS = [
    "user What is 2 + 2? assistant It is four. system Be brief, please.",
    "def add(a, b):\n    return a + b\n\n\nprint(add(2, 2))\n",
    "assistant\nIt is\n\nuser\nWhat\n    if x is None:\n        return\n",
    "Grüße aus Köln, naïve façade. 你好 世界\n",
] * 4
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
PATTERN = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)


def metaspace(scheme):
    def make():
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
        special = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
        return tokenizer, trainers.BpeTrainer(vocab_size=520, special_tokens=special, show_progress=False)

    return make


def prepended():
    """As Llama 2 and its kin: the mark is written by a normalizer, before each text between special tokens."""
    tokenizer, trainer = metaspace("never")()
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer, trainer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=160, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    return tokenizer, trainer


KINDS = {
    "byte_level": byte_level,
    "metaspace_always": metaspace("always"),
    "metaspace_first": metaspace("first"),
    "prepended": prepended,
    "unigram": unigram,
}


def segment(text, kind="content", trained=False):
    return {"text": text, "kind": kind, "trained": trained}


def control(text, trained=False):
    return segment(text, "control", trained)


def turns(*messages):
    """ChatML over (role, text)."""
    segments = []
    for role, text in messages:
        is_answer = role == "assistant"
        segments += [control(f"<|im_start|>{role}\n"), segment(text, trained=is_answer)]
        segments += [control("<|im_end|>", is_answer), control("\n")]
    return segments


TEXTS = {
    "one": turns(("user", "What is 2 + 2?"), ("assistant", "It is four.")),
    "two": turns(("system", "Be brief."), ("user", "a"), ("assistant", "It is"), ("user", "b"), ("assistant", "four")),
    "newlines": turns(("user", "\nWhat is 2 + 2?\n"), ("assistant", "\n\nIt is\n    four.\n")),
    "spaces": turns(("user", "  What  is"), ("assistant", " It is ")),
    "words": turns(("user", "Grüße 你好"), ("assistant", "naïve façade Köln aus")),
    "no markers": [control("user "), segment("What is"), control("\n\n"), segment(" It is four.", trained=True), control("</s>", True)],
    "within a word": [control("<s>sys"), segment("tem "), segment("assist"), segment("ant", trained=True), control("</s>")],
}


def expected(tokenizer, segments):
    text = "".join(part["text"] for part in segments)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    trained = [False] * len(encoded["input_ids"])
    place = 0
    for part in segments:
        end = place + len(part["text"])
        if part["trained"] and end > place:
            first, last = encoded.char_to_token(0, place), encoded.char_to_token(0, end - 1)
            for token in range(first, last + 1):
                trained[token] = True
        place = end
    return {"tokens": encoded["input_ids"], "trained": trained}


def main():
    DATA.mkdir(exist_ok=True)
    vectors = []
    for name, make in KINDS.items():
        tokenizer, trainer = make()
        tokenizer.train_from_iterator(CORPUS, trainer)
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
        tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
        path = DATA / f"{name}.json"
        path.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        loaded = PreTrainedTokenizerFast(tokenizer_file=str(path))
        for case, segments in TEXTS.items():
            vectors.append({"tokenizer": name, "case": case, "segments": segments, **expected(loaded, segments)})
    (DATA / "vectors.json").write_text(json.dumps(vectors, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

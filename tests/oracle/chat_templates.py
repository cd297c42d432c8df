"""Renders our conversations with chat templates as transformers does, and writes the SHA-256 of each rendering.

transformers compiles a chat template in a sandboxed Jinja2 environment with trimmed blocks, loop controls, a `tojson`
that keeps Unicode, `raise_exception` and `strftime_now`; the special tokens are variables. This script sets up the same
environment, so it needs Jinja2 alone. The date is fixed at 2024-01-01. A refusal is written as null.

Usage: chat_templates.py [REAL_DATA]
    REAL_DATA: the folder with `qwen2_tokenizer/tokenizer_config.*.json`; without it only our own templates are rendered.
Writes tests/data/chat_templates/renderings.json. The templates of other projects stay where they are.
"""

import datetime
import hashlib
import json
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "chat_templates"
SPECIAL_TOKENS = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def compiled(text):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = datetime.datetime(2024, 1, 1).strftime
    return environment.from_string(text)


def special_tokens(config):
    tokens = {}
    for name in SPECIAL_TOKENS:
        token = config.get(name)
        if token is not None:
            tokens[name] = token if isinstance(token, str) else token["content"]
    return tokens


def told(conversation):
    """The messages and the tools: definitions and arguments, which are kept as texts of JSON, are objects there."""
    messages = json.loads(json.dumps(conversation["messages"]))
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages, [json.loads(tool) for tool in conversation.get("tools", [])] or None


def rendering(template, tokens, conversation, add_generation_prompt):
    messages, tools = told(conversation)
    try:
        text = template.render(
            messages=messages, tools=tools, documents=None, add_generation_prompt=add_generation_prompt, **tokens
        )
    except jinja2.exceptions.TemplateError:
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def main():
    conversations = json.loads((DATA / "conversations.json").read_text())
    own = json.loads((DATA / "features.tokenizer_config.json").read_text())
    templates = {name: ((DATA / f"{name}.jinja").read_text(), own) for name in ("features", "tools")}
    if len(sys.argv) > 1:
        for path in sorted(pathlib.Path(sys.argv[1], "qwen2_tokenizer").glob("tokenizer_config.*.json")):
            config = json.loads(path.read_text())
            templates[path.name] = (config["chat_template"], config)
    renderings = {}
    for name, (text, config) in templates.items():
        template = compiled(text)
        tokens = special_tokens(config)
        renderings[name] = {
            case: [rendering(template, tokens, conversation, prompt) for prompt in (False, True)]
            for case, conversation in conversations.items()
        }
    (DATA / "renderings.json").write_text(json.dumps(renderings, indent=1) + "\n")


if __name__ == "__main__":
    main()

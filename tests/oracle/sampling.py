"""Writes tests/data/oracle/sampling/cases.json: what transformers' own logits processors leave of rows of logits.

Each case has the logits, the tokens that are known already, the options, and the probabilities of all tokens after the
processors in the order that `generate` puts them in.

    python tests/oracle/sampling.py
"""

import itertools
import json
import pathlib
import random

import torch
from transformers import GenerationConfig
from transformers.generation.utils import GenerationMixin


class Model(GenerationMixin):
    """As much of a model as the list of processors asks for."""

    config = type("Config", (), {"is_encoder_decoder": False})()


def processors(options):
    config = GenerationConfig(do_sample=True, num_beams=1, **options)
    return Model()._get_logits_processor(
        generation_config=config, input_ids_seq_length=4, encoder_input_ids=None, device="cpu", logits_processor=[]
    )


def main():
    numbers = random.Random(7)
    grid = itertools.product([0.4, 1.0, 1.7], [0, 5], [1.0, 0.9, 0.5], [0.0, 0.1], [1.0, 1.4])
    cases = []
    for temperature, top_k, top_p, min_p, penalty in grid:
        logits = [round(numbers.uniform(-5, 5), 3) for _ in range(24)]
        known = [numbers.randrange(24) for _ in range(6)]
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "repetition_penalty": penalty}
        if min_p > 0:
            options["min_p"] = min_p
        scores = processors(options)(torch.tensor([known]), torch.tensor([logits]))
        probabilities = torch.softmax(scores, dim=-1)[0].tolist()
        options["min_p"] = min_p
        rounded = [float(f"{probability:.6g}") for probability in probabilities]
        cases.append({"logits": logits, "known": known, "options": options, "probabilities": rounded})
    path = pathlib.Path(__file__).parent.parent / "data/oracle/sampling/cases.json"
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(len(cases), "cases")


main()

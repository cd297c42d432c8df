"""A formatter: a problem as ChatML turns, and the program of an answer out of its last block of code."""

from hilora_plugin import Example, Formatter, Message, Segment, Sequence, last_code_block

#: The token that ends a turn. It must be a special token of the base model.
END = "<|im_end|>"
#: What every conversation begins with.
INSTRUCTIONS = "Solve the problem with a program in Python."


class ChatFormatter(Formatter):
    def stop_sequences(self) -> list[str]:
        return [END]

    # Fill in here: what the model reads and learns. A prompt is the untrained beginning of the lesson, by itself.
    def lesson(self, specialist: str, example: Example) -> Sequence:
        reasoning = f"{example.reasoning}\n\n" if example.reasoning else ""
        answer = f"{reasoning}```python\n{example.solution.rstrip()}\n```"
        statement = example.problem.statement
        return Sequence(
            messages=[Message("system", INSTRUCTIONS), Message("user", statement), Message("assistant", answer)],
            # What somebody else wrote is no control text: a special token's text in it stays ordinary text.
            segments=[
                Segment(f"<|im_start|>system\n{INSTRUCTIONS}{END}\n<|im_start|>user\n", control=True),
                Segment(statement),
                Segment(f"{END}\n<|im_start|>assistant\n", control=True),
                Segment(answer).learned(),
                Segment(END, control=True).learned(),
            ],
        )

    # Fill in here: the program in what a model answered.
    def extract_solution(self, completion: str) -> str | None:
        return last_code_block(completion)

// A formatter: a problem as ChatML turns, and the program of an answer out of its last block of code.

import { content, control, defineFormatter, lastCodeBlock, trained } from "./hilora-plugin/index.js";

/** The token that ends a turn. It must be a special token of the base model. */
const END = "<|im_end|>";
/** What every conversation begins with. */
const INSTRUCTIONS = "Solve the problem with a program in Python.";

export const formatter = defineFormatter({
  stopSequences: [END],

  // Fill in here: what the model reads and learns. A prompt is the untrained beginning of the lesson, by itself.
  lesson(specialist, { problem, solution, reasoning }) {
    const thought = reasoning ? `${reasoning}\n\n` : "";
    const answer = `${thought}\`\`\`python\n${solution.trimEnd()}\n\`\`\``;
    return {
      messages: [
        { role: "system", content: INSTRUCTIONS },
        { role: "user", content: problem.statement },
        { role: "assistant", content: answer },
      ],
      // What somebody else wrote is `content`: a special token's text in it stays ordinary text.
      segments: [
        control(`<|im_start|>system\n${INSTRUCTIONS}${END}\n<|im_start|>user\n`),
        content(problem.statement),
        control(`${END}\n<|im_start|>assistant\n`),
        trained(content(answer)),
        trained(control(END)),
      ],
    };
  },

  // Fill in here: the program in what a model answered.
  extractSolution: (completion) => lastCodeBlock(completion),
});

// Makes a component's exports of a plugin. It needs no component: what it makes can be called by any JavaScript.

/** Says, in the interface's own way, that something cannot be done. Any other exception is a trap. */
export class Refused extends Error {}

/** The options cannot be used: which key, expected and got. */
export class WrongOptions extends Refused {}

/** An error of an interface: componentize-js takes its `payload` for the variant's value. */
class InterfaceError extends Error {
  constructor(tag, value) {
    super(tag);
    this.payload = { tag, val: value };
  }
}

/** The export of a classifier. It is asked about one problem at a time, so its answer cannot depend on the others. */
export function defineClassifier({ domains, classify }) {
  const one = (problem, index) => {
    try {
      const { domain, scores = [] } = classify(problem);
      return { domain, scores: scores.map(({ domain, score, signals = [] }) => ({ domain, score, signals })) };
    } catch (error) {
      if (error instanceof Refused) throw new InterfaceError("rejected", [index, error.message]);
      throw error;
    }
  };
  return {
    domains: () => domains.map(({ name, description = "" }) => ({ name, description })),
    classify: (problems) => problems.map(one),
  };
}

/** The domain with the highest score; of equal ones the first. `defaultDomain` where no score is above 0. */
export function best(scores, defaultDomain) {
  const above = scores.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score);
  return { domain: above.length > 0 ? above[0].domain : defaultDomain, scores: above };
}

/** The export of a checker. `actual` is handed on as bytes, `options` as an object. */
export function defineChecker({ check }) {
  return {
    check(input, expected, actual, options) {
      try {
        const why = check({ input, expected, actual, options: JSON.parse(options) });
        return why === null ? { tag: "accepted" } : { tag: "rejected", val: why };
      } catch (error) {
        if (error instanceof WrongOptions) throw new InterfaceError("options", error.message);
        if (error instanceof Refused) throw new InterfaceError("bad-test", error.message);
        throw error;
      }
    },
  };
}

/** A piece of a sequence in which special tokens are recognised. */
export function control(text) {
  return { text, kind: "control", trained: false };
}

/** A piece that somebody else wrote: a special token's text in it stays ordinary text. */
export function content(text) {
  return { text, kind: "content", trained: false };
}

/** The same piece, trained on. */
export function trained(segment) {
  return { ...segment, trained: true };
}

/** The export of a formatter of solved problems. A prompt is the untrained beginning of its lesson. */
export function defineFormatter({ stopSequences, lesson, extractSolution }) {
  const message = ({ role, content }) => ({
    role: { tag: role },
    content,
    toolCalls: [],
    trained: role === "assistant",
  });
  const each = (items, layOut) =>
    items.map((item, index) => {
      try {
        const { messages, segments } = layOut(item);
        return { messages: messages.map(message), segments };
      } catch (error) {
        if (error instanceof Refused) throw new InterfaceError("rejected", [index, error.message]);
        throw error;
      }
    });
  const prompt = (specialist, problem) => {
    const { messages, segments } = lesson(specialist, { problem, solution: "?", domain: "" });
    const beginning = segments.findIndex(({ trained }) => trained);
    const asked = messages.at(-1)?.role === "assistant" ? messages.slice(0, -1) : messages;
    return { messages: asked, segments: beginning < 0 ? segments : segments.slice(0, beginning) };
  };
  return {
    stopSequences: () => [...stopSequences],
    formatLessons: (specialist, lessons) =>
      each(lessons, ({ tag, val }) => {
        if (tag !== "solved") throw new Refused("expected a solved problem, which is all that this formatter knows");
        return lesson(specialist, val);
      }),
    formatPrompts: (specialist, problems) => each(problems, (problem) => prompt(specialist, problem)),
    extractSolution: (completion) => extractSolution(completion) ?? undefined,
  };
}

/** What stands in the last closed block of code, between a line of three backticks and the next; null where there
 * is none. */
export function lastCodeBlock(completion) {
  let opened = null;
  let found = null;
  for (const line of completion.split("\n")) {
    if (!line.trimStart().startsWith("```")) {
      opened?.push(line);
    } else if (opened === null) {
      opened = [];
    } else {
      found = opened.join("\n").replace(/[\r\n]+$/, "");
      opened = null;
    }
  }
  return found;
}

/** The options with defaults for those that are not given. A key that is not known is refused, as every plugin must, and so
 * is a value of another type than its default. */
export function knownOptions(options, known) {
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, key)) {
      throw new WrongOptions(`unknown key \`${key}\`, expected one of ${Object.keys(known).sort().join(", ")}`);
    }
    if (typeof value !== typeof known[key]) {
      throw new WrongOptions(`\`${key}\`: expected a ${typeof known[key]}, got ${JSON.stringify(value)}`);
    }
  }
  return { ...known, ...options };
}

/** The part of a problem that a model may see. */
export interface ProblemText {
  /** Unique within its dataset. */
  readonly id: string;
  /** A short name; may be empty. */
  readonly title: string;
  /** The statement, as a person reads it. */
  readonly statement: string;
  /** The dataset's own tags. */
  readonly tags: readonly string[];
  /** The dataset's own word for how hard it is. */
  readonly difficulty?: string;
}

/** A domain that a classifier may answer. */
export interface DomainInfo {
  /** Its name in snake case. */
  name: string;
  /** What belongs to it. */
  description?: string;
}

/** How strongly a problem belongs to a domain. */
export interface Score {
  /** One of the listed domains. */
  domain: string;
  /** Above 0; only the order has a meaning. */
  score: number;
  /** What was found. */
  signals?: string[];
}

/** The answer for one problem. */
export interface Classification {
  /** One of the listed domains. */
  domain: string;
  /** Every domain with a score above 0, the best first. */
  scores?: Score[];
}

/** Says, in the interface's own way, that something cannot be done. Any other exception is a trap. */
export class Refused extends Error {}

/** The options cannot be used: which key, expected and got. */
export class WrongOptions extends Refused {}

/** A component's export. */
export interface ClassifierExport {
  domains(): Required<DomainInfo>[];
  classify(problems: readonly ProblemText[]): { domain: string; scores: Required<Score>[] }[];
}

/** The export of a classifier, to be exported as `classifier`. It is asked about one problem at a time, so its answer cannot
 * depend on the others; keep no state. */
export function defineClassifier(plugin: {
  domains: readonly DomainInfo[];
  classify(problem: ProblemText): Classification;
}): ClassifierExport;

/** The domain with the highest score; of equal ones the first. `defaultDomain` where no score is above 0. */
export function best(scores: readonly Score[], defaultDomain: string): Classification;

/** What a checker is asked. */
export interface Question {
  /** What the program read. */
  readonly input: string;
  /** One right answer. */
  readonly expected: string;
  /** What the program wrote: any bytes. */
  readonly actual: Uint8Array;
  /** The problem's own options. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A component's export. */
export interface CheckerExport {
  check(
    input: string,
    expected: string,
    actual: Uint8Array,
    options: string,
  ): { tag: "accepted" } | { tag: "rejected"; val: string };
}

/** The export of a checker, to be exported as `checker`: null accepts, a text rejects and says why. Throw `Refused` if the
 * test cannot be used, and `WrongOptions` for an option that is not known (`knownOptions` does). */
export function defineChecker(plugin: { check(question: Question): string | null }): CheckerExport;

/** A piece of a sequence. In `control` text special tokens are recognised; in `content`, which somebody else wrote, they
 * stay ordinary text, so that no statement can forge a turn. */
export interface Segment {
  readonly text: string;
  readonly kind: "control" | "content";
  readonly trained: boolean;
}

/** A piece in which special tokens are recognised; not trained on. */
export function control(text: string): Segment;

/** A piece that somebody else wrote; not trained on. */
export function content(text: string): Segment;

/** The same piece, trained on. */
export function trained(segment: Segment): Segment;

/** A solved problem to learn from. */
export interface Example {
  readonly problem: ProblemText;
  readonly solution: string;
  /** The reasoning that leads to the solution; absent if nobody wrote one. */
  readonly reasoning?: string;
  readonly domain: string;
}

/** What a model is asked or learns: as chat messages, and as this formatter lays them out. */
export interface Sequence {
  messages: { role: "system" | "user" | "assistant"; content: string }[];
  segments: Segment[];
}

/** A component's export. */
export interface FormatterExport {
  stopSequences(): string[];
  formatLessons(specialist: string, lessons: readonly { tag: string; val: Example }[]): { segments: Segment[] }[];
  formatPrompts(specialist: string, problems: readonly ProblemText[]): { segments: Segment[] }[];
  extractSolution(completion: string): string | undefined;
}

/** The export of a formatter of solved problems, to be exported as `formatter`. A prompt is the untrained beginning of its
 * lesson, by itself. */
export function defineFormatter(plugin: {
  /** The texts at which a completion ends: each a single special token of the model. */
  stopSequences: readonly string[];
  /** The sequence to train on. Its last message is the assistant's, and something is trained on. */
  lesson(specialist: string, example: Example): Sequence;
  /** The program in a model's completion; null where there is none. */
  extractSolution(completion: string): string | null;
}): FormatterExport;

/** What stands in the last closed block of code, between a line of three backticks and the next; null where there
 * is none. */
export function lastCodeBlock(completion: string): string | null;

/** The options with defaults for those that are not given; refuses unknown keys and values of another type. */
export function knownOptions<T extends Record<string, unknown>>(options: Readonly<Record<string, unknown>>, known: T): T;

// Golden cases: what a plugin is asked and what it must answer, one JSON object a line; the same file that
// `hilora-host plugin test --vectors` reads. `docs/plugins.md` of hilora-host says what a case of each kind holds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** Holds a plugin's export against the cases of a file, and gives their number. */
export function golden(plugin, path) {
  let count = 0;
  readFileSync(path, "utf8").split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    const given = JSON.parse(line);
    const ask = plugin.classify ? classified : plugin.check ? checked : laidOut;
    const answer = ask(plugin, given);
    const expected = Object.fromEntries(Object.keys(answer).filter((key) => key in given).map((key) => [key, given[key]]));
    const got = Object.fromEntries(Object.keys(expected).map((key) => [key, answer[key]]));
    assert.notDeepEqual(expected, {}, `${path}, line ${index + 1}: the case names no answer`);
    assert.deepEqual(got, expected, `${path}, line ${index + 1}`);
    count += 1;
  });
  assert.notEqual(count, 0, `${path}: no case`);
  return count;
}

function classified(plugin, { problem }) {
  const [answer] = plugin.classify([{ id: "", title: "", statement: "", tags: [], ...problem }]);
  const known = plugin.domains().map(({ name }) => name);
  for (const domain of [answer.domain, ...answer.scores.map(({ domain }) => domain)]) {
    assert.ok(known.includes(domain), `the domain ${domain} is not listed`);
  }
  return answer;
}

function laidOut(plugin, { completion, specialist, problem, program = "?", reasoning }) {
  if (completion !== undefined) return { solution: plugin.extractSolution(completion) ?? null };
  const whole = { id: "", title: "", statement: "", tags: [], ...problem };
  const example = { problem: whole, solution: program, reasoning, domain: specialist };
  const [{ segments }] = plugin.formatLessons(specialist, [{ tag: "solved", val: example }]);
  const [prompt] = plugin.formatPrompts(specialist, [whole]);
  const beginning = segments.findIndex(({ trained }) => trained);
  assert.deepEqual(prompt.segments, segments.slice(0, beginning), "the prompt is the untrained beginning of the lesson");
  const text = (pieces) => pieces.map(({ text }) => text).join("");
  return { prompt: text(segments.slice(0, beginning)), answer: text(segments.slice(beginning)) };
}

function checked(plugin, { input, expected, actual, options = {} }) {
  try {
    const bytes = new TextEncoder().encode(actual);
    return { decision: plugin.check(input, expected, bytes, JSON.stringify(options)).tag };
  } catch (error) {
    if (error.payload === undefined) throw error;
    return { decision: error.payload.tag };
  }
}

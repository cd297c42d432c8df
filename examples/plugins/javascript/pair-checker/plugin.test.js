// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { golden } from "./hilora-plugin/testing.js";
import { checker } from "./plugin.js";

test("answers the golden cases", () => {
  assert.ok(golden(checker, "golden.jsonl") > 0);
});

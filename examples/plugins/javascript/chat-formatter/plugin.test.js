// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { golden } from "./hilora-plugin/testing.js";
import { formatter } from "./plugin.js";

test("answers the golden cases", () => {
  assert.ok(golden(formatter, "golden.jsonl") > 0);
});

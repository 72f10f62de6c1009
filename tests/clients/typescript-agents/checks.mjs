// The Claude Agent SDK for TypeScript: its plain chat, its tool call and its structured output.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSdkMcpServer, query, tool } from "@anthropic-ai/claude-agent-sdk";
import { z } from "zod";

const ADDRESS = process.env.ANTHROPIC_BASE_URL;
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "number" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};

export async function control(path, body) {
  const reply = await fetch(`${ADDRESS}/__${path}`, { method: "POST", body: JSON.stringify(body) });
  assert.ok(reply.ok, await reply.text());
}

// asks in a home of its own, without any of the tools that could touch this machine
async function ended(options = {}) {
  const home = mkdtempSync(join(tmpdir(), "agent-"));
  const env = { ...process.env, HOME: home, CLAUDE_CONFIG_DIR: home, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" };
  const asking = query({
    prompt: "What is the weather in Lisbon?",
    options: { model: "claude-haiku-4-5", maxTurns: 20, cwd: home, env, tools: [], ...options },
  });
  let result;
  for await (const message of asking) if (message.type === "result") result = message;
  rmSync(home, { recursive: true, force: true });
  assert.equal(result.subtype, "success", JSON.stringify(result));
  return result;
}

export async function check_it_chats() {
  assert.ok((await ended()).result.length);
}

export async function check_it_calls_a_tool() {
  const asked = [];
  const weather = tool("weather", "The weather of a city", { city: z.string() }, async ({ city }) => {
    asked.push(city);
    return { content: [{ type: "text", text: "sunny" }] };
  });
  const w = createSdkMcpServer({ name: "w", version: "1.0.0", tools: [weather] });
  await ended({ mcpServers: { w }, allowedTools: ["mcp__w__weather"] });
  assert.ok(asked.length && typeof asked[0] === "string");
}

export async function check_it_gets_an_object() {
  const { structured_output } = await ended({ outputFormat: { type: "json_schema", schema: SCHEMA } });
  assert.equal(typeof structured_output.city, "string");
}

// The official TypeScript SDK and Vercel's `ai`: all that an agent does with them, without a change.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const ADDRESS = process.env.ANTHROPIC_BASE_URL;
const MODEL = "claude-haiku-4-5";
const USER = [{ role: "user", content: "What is the weather in Lisbon, and why?" }];
const OPTIONS = { model: MODEL, max_tokens: 300, messages: USER };
const REPORT = z.object({ city: z.string(), degrees: z.number(), sky: z.enum(["clear", "cloudy"]), words: z.array(z.string()) });
const WEATHER = {
  name: "weather",
  description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
};
const client = new Anthropic({ maxRetries: 0 });
const vercel = createAnthropic({ baseURL: `${ADDRESS}/v1`, apiKey: "mock" })(MODEL);

export async function control(path, body) {
  const reply = await fetch(`${ADDRESS}/__${path}`, body === undefined ? {} : { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
  const text = await reply.text();
  assert.ok(reply.ok, text);
  return text;
}

async function sent(query = "") {
  const lines = (await control(`requests?${query}`)).split("\n");
  return lines.filter(Boolean).map((line) => JSON.parse(line));
}

async function all(pages) {
  const found = [];
  for await (const each of pages) found.push(each);
  return found;
}

export async function check_create() {
  const { data, request_id } = await client.messages.create(OPTIONS).withResponse();
  assert.equal(data.content[0].type, "text");
  assert.equal(data.stop_reason, "end_turn");
  assert.ok(data.usage.input_tokens > 0 && data.usage.output_tokens > 0);
  assert.equal(request_id, (await sent("tail=1"))[0].request_id);
}

export async function check_stream() {
  const whole = await client.messages.create(OPTIONS);
  const stream = client.messages.stream(OPTIONS);
  let text = "";
  stream.on("text", (part) => (text += part));
  const final = await stream.finalMessage();
  assert.equal(text, whole.content[0].text);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
}

export async function check_a_tool_that_is_forced() {
  const message = await client.messages.create({ ...OPTIONS, tools: [WEATHER], tool_choice: { type: "tool", name: "weather" } });
  const block = message.content.find((each) => each.type === "tool_use");
  assert.equal(message.stop_reason, "tool_use");
  assert.equal(typeof block.input.city, "string");
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: block.id, content: "sunny" }] };
  const messages = [...USER, { role: "assistant", content: message.content }, result];
  assert.ok((await client.messages.create({ ...OPTIONS, messages, tools: [WEATHER] })).content.length);
}

export async function check_structured_output() {
  const message = await client.messages.parse({ ...OPTIONS, output_config: { format: zodOutputFormat(REPORT) } });
  REPORT.parse(message.parsed_output);
}

export async function check_the_tool_runner() {
  const asked = [];
  const weather = betaZodTool({
    name: "weather",
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    run: ({ city }) => (asked.push(city), "sunny"),
  });
  const last = await client.beta.messages.toolRunner({ ...OPTIONS, tools: [weather], max_iterations: 20 });
  assert.equal(last.stop_reason, "end_turn");
  const rounds = (await sent("endpoint=messages")).length - 1;
  assert.ok(asked.length >= rounds && rounds >= 1);
}

export async function check_count_tokens() {
  const counted = await client.messages.countTokens({ model: MODEL, messages: USER });
  assert.equal(counted.input_tokens, (await client.messages.create(OPTIONS)).usage.input_tokens);
}

export async function check_models() {
  const listed = await all(client.models.list({ limit: 3 }));
  assert.ok(listed.length > 3);
  assert.deepEqual({ ...(await client.models.retrieve(listed[0].id)) }, { ...listed[0] });
}

export async function check_batches() {
  const requests = [...Array(20).keys()].map((number) => ({ custom_id: `q${number}`, params: OPTIONS }));
  const batch = await client.messages.batches.create({ requests });
  assert.equal(batch.processing_status, "in_progress");
  const ended = await client.messages.batches.retrieve(batch.id);
  assert.equal(ended.request_counts.succeeded, 20);
  const results = await all(await client.messages.batches.results(batch.id));
  assert.deepEqual(new Set(results.map((line) => line.custom_id)), new Set(requests.map((each) => each.custom_id)));
  assert.deepEqual((await all(client.messages.batches.list())).map((each) => each.id), [batch.id]);
  await client.messages.batches.delete(batch.id);
}

export async function check_files() {
  const made = await client.files.upload({ file: await toFile(Buffer.from("hello"), "a.txt", { type: "text/plain" }) });
  assert.equal((await client.files.retrieveMetadata(made.id)).size_bytes, 5);
  await control("files?filename=b.bin", "of a tool");
  const [newest] = await all(client.files.list());
  assert.equal(await (await client.files.download(newest.id)).text(), "of a tool");
  assert.equal((await client.files.delete(made.id)).id, made.id);
}

export async function check_each_error_has_its_class() {
  const classes = {
    400: Anthropic.BadRequestError,
    401: Anthropic.AuthenticationError,
    403: Anthropic.PermissionDeniedError,
    404: Anthropic.NotFoundError,
    409: Anthropic.ConflictError,
    422: Anthropic.UnprocessableEntityError,
    429: Anthropic.RateLimitError,
    500: Anthropic.InternalServerError,
    529: Anthropic.InternalServerError,
    reset: Anthropic.APIConnectionError,
    close: Anthropic.APIConnectionError,
  };
  for (const [fault, wanted] of Object.entries(classes)) {
    await control("faults", { script: [fault] });
    await assert.rejects(client.messages.create(OPTIONS), (error) => error instanceof wanted, `after ${fault}`);
  }
}

export async function check_it_tries_again() {
  await control("faults", { script: ["529", { fault: "429", retry_after: "0" }, "500", "reset"] });
  const trying = new Anthropic({ maxRetries: 4 });
  assert.ok((await trying.messages.create(OPTIONS)).content.length);
  assert.equal((await sent("endpoint=messages")).length, 5);
}

export async function check_a_stream_that_breaks_is_an_error() {
  await control("faults", { script: ["stream-error"] });
  await assert.rejects(client.messages.stream(OPTIONS).finalMessage(), Anthropic.APIError);
}

// what the types of the SDK require is there, the keys that may be null too

function required(module, name) {
  const text = readFileSync(new URL(`node_modules/@anthropic-ai/sdk/resources/${module}.d.ts`, import.meta.url), "utf8");
  const body = text.split(`export interface ${name} {\n`)[1].split("\n}\n")[0];
  return [...body.matchAll(/^    (\w+): /gm)].map((match) => match[1]);
}

function holds(value, module, name) {
  const keys = required(module, name);
  assert.ok(keys.length, name);
  assert.deepEqual(keys.filter((key) => !(key in value)), [], `${name} lacks keys`);
}

export async function check_no_key_is_missing() {
  const thinking = { ...OPTIONS, model: "claude-sonnet-5", max_tokens: 2000, thinking: { type: "adaptive", display: "summarized" } };
  const forced = { ...OPTIONS, tools: [WEATHER], tool_choice: { type: "any" } };
  for (const [beta, prefix, module] of [[client, "", "messages/messages"], [client.beta, "Beta", "beta/messages/messages"]]) {
    const [said, thought, called] = [await beta.messages.create(OPTIONS), await beta.messages.create(thinking), await beta.messages.create(forced)];
    for (const message of [said, thought, called]) holds(message, module, `${prefix}Message`);
    holds(said.usage, module, `${prefix}Usage`);
    holds(said.usage.cache_creation, module, `${prefix}CacheCreation`);
    holds(said.content[0], module, `${prefix}TextBlock`);
    holds(thought.content[0], module, `${prefix}ThinkingBlock`);
    holds(called.content.find((each) => each.type === "tool_use"), module, `${prefix}ToolUseBlock`);
    const events = await all(await beta.messages.create({ ...OPTIONS, stream: true }));
    const found = Object.fromEntries(events.map((event) => [event.type, event]));
    holds(found.message_start.message, module, `${prefix}Message`);
    holds(found.message_delta, module, `${prefix}RawMessageDeltaEvent`);
    holds(found.message_delta.usage, module, `${prefix}MessageDeltaUsage`);
    const batch = await beta.messages.batches.create({ requests: [{ custom_id: "a", params: OPTIONS }] });
    holds(batch, prefix ? "beta/messages/batches" : "messages/batches", `${prefix}MessageBatch`);
    const file = await beta.files.upload({ file: await toFile(Buffer.from("x"), "a.txt") });
    holds(file, prefix ? "beta/files" : "files", `${prefix}FileMetadata`);
    for (const model of await all(beta.models.list())) holds(model, prefix ? "beta/models" : "models", `${prefix}ModelInfo`);
  }
}

// Vercel's `ai`

export async function check_vercel_chats() {
  const { text, usage } = await generateText({ model: vercel, prompt: "Why is the sea salty?" });
  assert.ok(text.length && usage.inputTokens > 0);
}

export async function check_vercel_streams() {
  const { textStream } = streamText({ model: vercel, prompt: "Why is the sea salty?" });
  assert.ok((await all(textStream)).join("").length);
}

export async function check_vercel_calls_a_tool() {
  const asked = [];
  const weather = tool({ description: "The weather", inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => (asked.push(city), "sunny") });
  const { steps } = await generateText({ model: vercel, prompt: "The weather?", tools: { weather }, toolChoice: "required", stopWhen: stepCountIs(2) });
  assert.ok(steps.length && asked.length && typeof asked[0] === "string");
}

export async function check_vercel_gets_an_object() {
  const { object } = await generateObject({ model: vercel, schema: REPORT, prompt: "The weather?" });
  REPORT.parse(object);
}

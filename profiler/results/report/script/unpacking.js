// The data in the blocks of the file, and what a line of the logs says.

/** The bytes of a block: two in each character of a large file, base64 in others. */
function bytesOf(block) {
  const text = block.textContent;
  if (document.characterSet === "UTF-16LE") return bytesOfCharacters(text, Number(block.dataset.bytes));
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const packed = atob(text);
  const bytes = new Uint8Array(packed.length);
  for (let at = 0; at < packed.length; at++) bytes[at] = packed.charCodeAt(at);
  return bytes;
}

/** What cannot stand in HTML was escaped: see packing.py. */
function bytesOfCharacters(text, count) {
  const bytes = new Uint8Array(count + 1);
  let place = 0;
  for (let at = 0; at < text.length; at++) {
    let unit = text.charCodeAt(at);
    if (unit === 0xe000) {
      unit = text.charCodeAt(++at);
      if (unit < 0x100) unit -= 0x10;
      else if (unit < 0xe000) unit += 0xd700;
    }
    bytes[place++] = unit & 0xff;
    bytes[place++] = unit >> 8;
  }
  return bytes.subarray(0, count);
}

async function unpacked(block) {
  const stream = new Blob([bytesOf(block)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/** A block of columns as rows: what was asked and what came back, a pair for each run, null where it has no such item. */
async function rowsOf(block) {
  const runs = (await unpacked(block)).map(({ count, absent, asked, got }) => {
    const [requests, records] = [linesOf(asked, count), linesOf(got, count)];
    const pairs = requests.map((request, at) => [request, records[at]]);
    for (const at of absent) pairs[at] = null;
    return pairs;
  });
  return runs[0].map((_, at) => runs.map((pairs) => pairs[at]));
}

function linesOf({ all, each, lacking }, count) {
  const lines = Array.from({ length: count }, () => ({ ...all }));
  for (const [key, values] of Object.entries(each)) {
    const gaps = new Set(lacking[key]);
    values.forEach((value, at) => gaps.has(at) || (lines[at][key] = value));
  }
  return lines;
}

let F; // facts: everything but the dialogues
let C; // columns: a place in each for every row
let textBlocks = [];
const recent = new Map(); // the blocks of texts that were looked at last

async function block(number) {
  const found = recent.get(number) ?? rowsOf(textBlocks[number]);
  recent.delete(number);
  recent.set(number, found);
  if (recent.size > 6) recent.delete(recent.keys().next().value);
  return found;
}

async function pairsOf(row) {
  return (await block(Math.floor(row / F.rows_a_block)))[row % F.rows_a_block];
}

function textOf(content) {
  if (typeof content === "string") return content;
  return Array.isArray(content) ? content.map(blockInWords).join("\n") : "";
}

function blockInWords(block) {
  if (typeof block !== "object" || block === null) return "[unknown]";
  const kind = block.type ?? "unknown";
  if ("text" in block) return String(block.text);
  if (kind === "tool_use") return callInWords(block);
  if (kind === "tool_result") return `[result of ${block.tool_use_id}] ${textOf(block.content)}`.trimEnd();
  const about = block.source?.url || block.source?.file_id || block.source?.media_type;
  return about ? `[${kind}: ${about}]` : `[${kind}]`;
}

const callInWords = (call) => `[calls ${call.name} ${JSON.stringify(call.input)}]`;

/** The replies as they are shown: the last one with the tools that it calls. */
function repliesInWords(record) {
  const calls = (record.tool_calls ?? []).map(callInWords);
  const replies = repliesOf(record);
  return calls.length ? [...replies.slice(0, -1), [replies.at(-1), ...calls].filter(Boolean).join("\n")] : replies;
}

function repliesOf(record) {
  if (record.replies?.length) return record.replies;
  return typeof record.completion === "string" ? [record.completion] : [];
}

function questionOf(request) {
  const prompt = request.prompt ?? {};
  const said = (prompt.messages ?? []).filter((each) => each.role === "user").map((each) => each.content);
  return textOf((said.length ? said : (prompt.turns ?? [prompt.user])).at(-1));
}

function askedOf(request, record) {
  const prompt = request.prompt ?? {};
  const said = prompt.system ? [["system", textOf(prompt.system)]] : [];
  for (const each of prompt.messages ?? []) said.push([each.role, textOf(each.content)]);
  const replies = repliesOf(record);
  (prompt.turns ?? []).forEach((turn, at) => {
    said.push(["user", textOf(turn)]);
    if (at < prompt.turns.length - 1 && replies[at] !== undefined) said.push(["assistant", replies[at]]);
  });
  if (prompt.user !== undefined) said.push(["user", textOf(prompt.user)]);
  return said;
}

const answerOf = (record) => repliesInWords(record).at(-1) ?? null;

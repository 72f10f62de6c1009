// Filter, search and sort.

let view = new Uint32Array(0);
let filters = [];
let query = "";
let order = null; // {field, down}
const folded = []; // of each block: its texts in small letters, and where each row begins

const OPERATORS = {
  text: { contains: (value, wanted) => fold(value).includes(fold(wanted)) },
  choice: { is: (value, wanted) => value === wanted, "is not": (value, wanted) => value !== wanted },
  flag: { is: (value, wanted) => String(value ?? "missing") === wanted },
  number: {
    "≥": (value, wanted) => value >= wanted,
    "≤": (value, wanted) => value <= wanted,
    "=": (value, wanted) => Number(value) === wanted,
    "is missing": (value) => value === null,
  },
};

function fold(text) {
  return String(text).toLowerCase().replace(/[‘’]/g, "'").replace(/[“”]/g, '"').replace(/[–—]/g, "-");
}

function passes(filter) {
  const test = OPERATORS[filter.field.kind][filter.operator];
  const { field, value } = filter;
  if (field.many) return (row) => field.many(row).includes(value) === (filter.operator === "is");
  if (field.kind === "number")
    return (row) =>
      filter.operator === "is missing" ? field.of(row) === null : field.of(row) !== null && test(Number(field.of(row)), Number(value));
  return (row) => test(field.of(row), value);
}

const RAREST_FIRST = "zqjxkvbywgpfmucdlhrsnioate ";
const rarity = (letter) => (RAREST_FIRST.includes(letter) ? RAREST_FIRST.indexOf(letter) : 5);

/** Which rows have the query in their id, questions or answers, as far as these are unpacked. */
function search(wanted) {
  const hits = new Uint8Array(C.ids.length);
  // Browsers look for the first letter and then compare, so the part from the rarest letter on is looked for.
  let skipped = 0;
  for (let at = 1; at < wanted.length - 1; at++) if (rarity(wanted[at]) < rarity(wanted[skipped])) skipped = at;
  const part = wanted.slice(skipped);
  for (const { text, starts, rows } of [...folded.flat(), ...idsFolded()]) {
    let place = 0;
    let at = text.indexOf(part);
    while (at >= 0) {
      const begin = at - skipped;
      if (!text.startsWith(wanted, begin)) {
        at = text.indexOf(part, at + 1);
        continue;
      }
      while (place + 1 < starts.length && starts[place + 1] <= begin) place++;
      hits[rows[place]] = 1;
      if (++place >= starts.length) break;
      at = text.indexOf(part, starts[place] + skipped);
    }
  }
  return hits;
}

/** Texts as one long text each for plain and other characters: a text without others takes half the memory and time. */
function joined(texts, first) {
  const kinds = [
    { texts: [], rows: [] },
    { texts: [], rows: [] },
  ];
  texts.forEach((text, at) => {
    const kind = kinds[/^[\u0000-\u00ff]*$/.test(text) ? 0 : 1];
    kind.texts.push(text);
    kind.rows.push(first + at);
  });
  return kinds
    .filter((kind) => kind.rows.length)
    .map(({ texts: each, rows }) => {
      const starts = new Uint32Array(each.length);
      for (let at = 1; at < each.length; at++) starts[at] = starts[at - 1] + each[at - 1].length + 1;
      return { text: each.join("\u0000"), starts, rows };
    });
}

let foldedIds = null;
function idsFolded() {
  foldedIds ??= joined(C.ids.map(fold), 0);
  return foldedIds;
}

function look() {
  const began = performance.now();
  const tests = filters.map(passes);
  const hits = query ? search(fold(query)) : null;
  const rows = [];
  for (let row = 0; row < C.ids.length; row++) if ((!hits || hits[row]) && tests.every((test) => test(row))) rows.push(row);
  if (order) sort(rows);
  view = Uint32Array.from(rows);
  const took = performance.now() - began;
  document.documentElement.dataset.searchMs = took.toFixed(1);
  const whole =
    query && F.texts && folded.length < textBlocks.length ? ` · texts searched so far: ${percent(folded.length / textBlocks.length)}` : "";
  byId("found").textContent = `${grouped.format(view.length)} of ${grouped.format(C.ids.length)} dialogues${whole}`;
  byId("scroller").scrollTop = 0;
  draw();
}

function sort(rows) {
  const { field, down } = order;
  const key = field.rank ?? field.of;
  const keys = new Map(rows.map((row) => [row, key(row)]));
  const sign = down ? -1 : 1;
  rows.sort((left, right) => {
    const [a, b] = [keys.get(left), keys.get(right)];
    if (a === b) return left - right;
    if (a === null || a === undefined) return 1; // what is missing stays below, either way
    if (b === null || b === undefined) return -1;
    return (a < b ? -1 : 1) * sign;
  });
}

/** Unpacks the texts one block after the other, and lets the browser breathe in between. */
async function readTexts() {
  for (let number = 0; number < textBlocks.length; number++) {
    const rows = await rowsOf(textBlocks[number]);
    const texts = rows.map((pairs) =>
      fold(
        pairs
          .filter(Boolean)
          .map(([request, record]) => [...askedOf(request, record).map(([, text]) => text), ...repliesInWords(record).slice(-1)].join("\n"))
          .join("\n"),
      ),
    );
    folded.push(joined(texts, number * F.rows_a_block));
    if (query && (number % 20 === 19 || number === textBlocks.length - 1)) look();
    await new Promise((resume) => setTimeout(resume));
  }
}

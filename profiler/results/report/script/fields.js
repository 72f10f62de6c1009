// Fields of dialogues: what the table can show, filter and sort by.

let fields = [];
const letter = (run) => String.fromCharCode(65 + run);
const marked = (run) => el("span", { class: `letter run-${run % 5}` }, letter(run));

function makeFields() {
  const several = C.runs.length > 1;
  const prefix = (run) => (several ? `${letter(run)} ` : "");
  fields = [{ key: "id", label: "dialogue", kind: "text", of: (row) => C.ids[row], width: 170 }];
  if (C.repeats) fields.push({ key: "repeat", label: "repeat", kind: "number", of: (row) => C.repeats[row], width: 80 });
  C.change.forEach((column, at) =>
    fields.push({
      key: `change-${at + 1}`,
      label: several && C.runs.length > 2 ? `${letter(at + 1)} change` : "change",
      kind: "choice",
      choices: C.changes,
      of: (row) => C.changes[column[row]],
      rank: (row) => column[row] || 99,
      width: 130,
    }),
  );
  C.runs.forEach((run, at) => {
    const errors = F.runs[at].errors.map(errorLabel);
    fields.push({
      key: `type-${at}`,
      label: `${prefix(at)}type`,
      kind: "choice",
      choices: C.types,
      of: (row) => C.types[run.type[row]] ?? null,
      width: 100,
    });
    Object.entries(run.scores).forEach(([name, column], place) =>
      fields.push({
        key: `${name}-${at}`,
        label: prefix(at) + name,
        kind: column.some((each) => typeof each === "number") ? "number" : "flag",
        of: (row) => column[row],
        width: 120,
        hidden: place >= 4 || (several && name === "completion_rate"),
      }),
    );
    if (errors.length)
      fields.push({
        key: `error-${at}`,
        label: `${prefix(at)}error`,
        kind: "choice",
        choices: errors,
        of: (row) => errors[run.error[row]] ?? null,
        width: 200,
        hidden: true,
      });
    fields.push({
      key: `failed-${at}`,
      label: `${prefix(at)}failure`,
      kind: "flag",
      of: (row) => (run.type[row] < 0 ? null : run.failed[row] === 1),
      width: 90,
      hidden: true,
    });
  });
  if (F.texts) {
    fields.push({
      key: "question",
      label: "question",
      kind: "snippet",
      snippet: (pairs) => questionOf(pairs.find(Boolean)[0]),
      width: 300,
    });
    C.runs.forEach((_, at) =>
      fields.push({
        key: `answer-${at}`,
        label: `${prefix(at)}answer`,
        kind: "snippet",
        snippet: (pairs) => (pairs[at] && answerOf(pairs[at][1])) ?? "",
        width: 300,
      }),
    );
  }
  if (C.tag_sets.some((tags) => tags.length)) {
    const names = [...new Set(C.tag_sets.flat())].sort();
    fields.push({
      key: "tags",
      label: "tags",
      kind: "choice",
      choices: names,
      many: (row) => C.tag_sets[C.tags[row]],
      of: (row) => C.tag_sets[C.tags[row]].join(", "),
      width: 150,
    });
  }
  C.runs.forEach((run, at) =>
    Object.entries(run.measures).forEach(([name, column]) =>
      fields.push({
        key: `${name}-${at}`,
        label: prefix(at) + name,
        kind: "number",
        of: (row) => column[row],
        width: 110,
        hidden: name === "input_tokens" || name === "attempts",
      }),
    ),
  );
}

const errorLabel = (group) => [group.kind, group.status, group.message].filter((part) => part !== null && part !== "").join(" · ");
const failedAt = (row) => C.runs.some((run) => run.failed[row] === 1);

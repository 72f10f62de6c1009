// Runs every check, each on a server that is as new, and prints how each ended.

import * as checks from "./checks.mjs";

const ended = {};
for (const [name, check] of Object.entries(checks)) {
  if (!name.startsWith("check_")) continue;
  await checks.control("reset", {});
  try {
    await check();
    ended[name] = null;
  } catch (error) {
    ended[name] = `${error.stack ?? error}\n${JSON.stringify(error.cause ?? null)}`;
  }
}
console.log(`\n${JSON.stringify(ended)}`);

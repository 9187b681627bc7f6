// Verifies signed messages with the Standard Webhooks library for JavaScript.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// The library is in a folder of its own, not beside this file.
const require = createRequire(join(process.argv[3], "package.json"));
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const messages = JSON.parse(readFileSync(process.argv[2], "utf-8"));
let wrong = 0;
for (const message of messages) {
  let valid = true;
  try {
    new Webhook(message.secret).verify(message.body, message.headers);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    valid = false;
  }
  if (valid !== message.valid) {
    wrong += 1;
    console.error(`${message.name}: valid is ${valid}`);
  }
}
console.log(`JavaScript: ${messages.length} messages, ${wrong} judged wrongly`);
process.exit(wrong || messages.length === 0 ? 1 : 0);

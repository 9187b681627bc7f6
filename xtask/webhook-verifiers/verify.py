"""Verifies signed messages with the Standard Webhooks library for Python."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

with open(sys.argv[1], encoding="utf-8") as file:
    messages = json.load(file)

wrong = 0
for message in messages:
    try:
        Webhook(message["secret"]).verify(message["body"], message["headers"])
        valid = True
    except WebhookVerificationError:
        valid = False
    if valid != message["valid"]:
        wrong += 1
        print(f"{message['name']}: valid is {valid}", file=sys.stderr)
print(f"Python: {len(messages)} messages, {wrong} judged wrongly")
sys.exit(1 if wrong or not messages else 0)

// Rules: a draft is made, tried, activated and undone; two people edit one.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, open, press, signIn, signedIn, tabTo, world } from "./support.mjs";

after(close);

const rules = `/schools/${world.stored}/rules`;
const LATE = "input[name='am.late']";

/** The page of the only group's rules. */
async function openGroup(page) {
  await page.goto(rules);
  await page.getByRole("link", { name: "Pupils" }).click();
}

test("by the keyboard: change a time, save a draft, try it, activate it, and undo it", async () => {
  const { page, said } = await open();
  await signIn(page, world.users.set, rules);
  await tabTo(page, /^Pupils$/);
  await press(page, "Enter", "**/rules/groups/*");
  await tabTo(page, LATE);
  await page.keyboard.press("Control+A");
  await page.keyboard.type("nine");
  await press(page, "Enter", "**/rules/groups/*");
  // What is wrong is told at its field, and kept.
  assert.equal(await page.locator(LATE).inputValue(), "nine");
  assert.equal(await page.locator(LATE).getAttribute("aria-invalid"), "true");
  await tabTo(page, LATE);
  await page.keyboard.press("Control+A");
  await page.keyboard.type("09:10");
  await press(page, "Enter", "**/rules/groups/*");
  assert.match(await page.getByRole("status").first().innerText(), /Saved as a draft/);
  assert.equal(await page.locator(LATE).inputValue(), "09:10");
  assert.match(await page.locator("ol.bands").innerText(), /09:10/, "the day is drawn anew");

  await tabTo(page, /^Try one event$/);
  await press(page, "Enter", "**/one");
  await page.locator("#time").fill("09:05");
  await page.locator("#date").fill(world.date);
  await tabTo(page, /^Decide$/);
  await press(page, "Enter", "**/one?*");
  const [active, draft] = await page.locator("section .two > div").allInnerTexts();
  assert.match(active, /\bL\b/);
  assert.notEqual(draft, active);

  await page.goto(rules);
  await tabTo(page, /^Try it on last week$/);
  await press(page, "Enter", "**/try");
  await tabTo(page, /^Activate version \d+ now$/);
  await press(page, "Enter", "**/rules?*");
  assert.match(await page.getByRole("status").first().innerText(), /Activated/);
  await openGroup(page);
  assert.match(await page.locator("main").innerText(), /These rules count now\./);
  assert.equal(await page.locator(LATE).inputValue(), "09:10");

  await page.goto(rules);
  await tabTo(page, /^History$/);
  await press(page, "Enter", "**/history");
  await tabTo(page, /^Go back to this …$/);
  await press(page, "Enter");
  await tabTo(page, /^Go back to version \d+$/);
  await press(page, "Enter", "**/rules?*");
  assert.match(await page.getByRole("status").first().innerText(), /The earlier rules count again\./);
  await openGroup(page);
  assert.equal(await page.locator(LATE).inputValue(), "09:00");
  assert.deepEqual(said, []);
});

test("of two who edit one draft, the second sees what the first changed, and keeps what was typed", async () => {
  const first = (await signedIn(world.users.set)).page;
  const second = (await signedIn(world.users.admin, { javaScriptEnabled: false })).page;
  const save = (page) => page.getByRole("button", { name: /^Save as a draft/ }).click();
  await openGroup(first);
  await openGroup(second);
  await first.locator(LATE).fill("09:06");
  await save(first);
  assert.match(await first.getByRole("status").first().innerText(), /Saved as a draft/);

  await second.locator("input[name=closes]").fill("15:45");
  await save(second);
  const conflict = await second.getByRole("alert").innerText();
  assert.match(conflict, /Nothing of yours was saved\./);
  assert.match(conflict, /09:06/, "what the first changed");
  assert.ok(conflict.includes(world.users.set), "who changed it");
  assert.equal(await second.locator("input[name=closes]").inputValue(), "15:45");

  await second.locator(LATE).fill("09:06");
  await save(second);
  assert.match(await second.getByRole("status").first().innerText(), /Saved as a draft/);
  await openGroup(first);
  assert.equal(await first.locator(LATE).inputValue(), "09:06");
  assert.equal(await first.locator("input[name=closes]").inputValue(), "15:45");
});

test("rules in the settings file are shown, and nothing pretends to save them", async () => {
  const { page } = await signedIn(world.users.admin);
  await page.goto(`/schools/${world.school}/rules`);
  assert.match(await page.locator("main").innerText(), /kept in the settings file/);
  await page.getByRole("link", { name: "Pupils" }).click();
  assert.ok(await page.locator(LATE).isDisabled());
  assert.equal(await page.locator("main button").count(), 0);
});

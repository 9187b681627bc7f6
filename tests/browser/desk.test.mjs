// The front desk of a school of two thousand.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, open, press, seen, signIn, signedIn, tabTo, world } from "./support.mjs";

after(close);

const desk = `/schools/${world.school}/desk`;

/** Signs somebody in from the page of the person, by the keyboard, up to the mark that it would make. */
async function showTheMark(page, time) {
  await page.locator("#time").fill(time);
  await page.locator("#date").fill(world.date);
  await tabTo(page, /^Show the mark$/);
  await press(page, "Enter", "**/desk/student/*");
  assert.match(await page.locator("section.why").innerText(), /This mark is written/);
}

test("by the keyboard: three letters find a pupil among 2,000, who is signed in, and out of it again", async () => {
  const { page, said } = await open();
  await signIn(page, world.users.tend, desk);
  // Nothing need be reached for: the field has the focus, and takes what an English keyboard has.
  await page.keyboard.type("oni");
  await press(page, "Enter", "**/desk?q=oni");
  const found = page.locator("ul.people a");
  const names = await found.locator("bdi").allInnerTexts();
  assert.ok(names.includes(world.accented), names.join(", "));
  assert.ok(names.length <= 20);
  await tabTo(page, new RegExp(world.accented));
  await press(page, "Enter", "**/desk/student/*");
  assert.equal(await page.locator("h1").innerText(), world.accented);

  await showTheMark(page, "09:05");
  assert.equal(await page.locator("section.why .code").innerText(), "L");
  // The button that does it has the focus.
  assert.equal(await page.evaluate(() => document.activeElement.className), "main");
  await press(page, "Enter", "**/desk/events/*");
  // It is decided after it was taken in; a person looks again.
  await seen(page, /^In .* 09:05 L$/m);

  await tabTo(page, /^This was wrong …/);
  await press(page, "Enter", "**/correct");
  await tabTo(page, /^Why was it wrong\?/);
  await page.keyboard.type("another pupil of that name");
  await press(page, "Enter", "**/desk/**");
  await seen(page, /It is taken back\./);
  assert.deepEqual(said, []);
});

test("without scripts, the same way leads to the same mark", async () => {
  const { page } = await signedIn(world.users.tend, { javaScriptEnabled: false });
  await page.goto(`${desk}?q=oni`);
  await page.getByRole("link", { name: world.accented }).click();
  await page.getByLabel("Time").fill("09:25");
  await page.getByLabel("Day", { exact: true }).fill(world.date);
  await page.getByRole("button", { name: "Show the mark" }).click();
  assert.equal(await page.locator("section.why .code").innerText(), "U");
  await page.getByRole("link", { name: "Not now" }).click();
  assert.equal(await page.locator("section.why").count(), 0);
});

test("a search says how many there are beyond those it shows, and when there is nobody", async () => {
  const { page } = await signedIn(world.users.tend);
  await page.goto(`${desk}?q=a`);
  assert.match(await page.getByRole("status").first().innerText(), /^The first 20 of \d+; type more/);
  assert.equal(await page.locator("ul.people li").count(), 20);
  await page.goto(`${desk}?q=qqqq`);
  assert.match(await page.getByRole("status").first().innerText(), /Nobody at the school is found by “qqqq”\./);
});

// The office's morning: what needs somebody, what is new, and what each role may do.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, focused, open, post, press, signIn, signedIn, tabTo, world } from "./support.mjs";

after(close);

const today = `/schools/${world.school}/today`;
const day = `${today}?date=${world.date}`;

test("by the keyboard: sign in, see what needs somebody, look at what one button does, and do it", async () => {
  const { page, said } = await open();
  await signIn(page, world.users.tend, day);
  assert.equal(new URL(page.url()).pathname, today);
  // The first stop of each page leads past the navigation.
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the content");
  await press(page, "Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");

  await tabTo(page, /^Show 3: /);
  await press(page, "Enter", "**/problems**");
  await tabTo(page, /^Write all again …$/);
  await press(page, "Enter", "**/retry*");
  const preview = await page.locator("main").innerText();
  assert.match(preview, /Writes 3 marks again\./);
  assert.equal(await page.locator("tbody tr").count(), 3, "each pupil is named before");
  await tabTo(page, /^Why/);
  await page.keyboard.type("the register is open again");
  await press(page, "Enter", "**/problems?*");
  assert.match(await page.getByRole("status").first().innerText(), /3 marks are on the way again\./);
  assert.deepEqual(said, []);
});

test("what has happened since appears without asking, is told, and leaves the focus where it is", async () => {
  const { page, said } = await signedIn(world.users.look);
  await page.goto(today);
  const find = page.getByRole("searchbox");
  await find.focus();
  await page.keyboard.type("Hal");
  await page.evaluate(() => (globalThis.stays = true));
  const [pupil] = world.pupils;
  await post(world.school, [{ id: "live-0", person: pupil, kind: "sign_in", at: new Date().toISOString() }]);
  const link = page.locator(`#latest a[href*="/people/${pupil}"]`);
  await link.waitFor();
  // The page is the same one, and so is what was typed.
  assert.equal(await page.evaluate(() => globalThis.stays), true);
  assert.equal(await find.inputValue(), "Hal");
  assert.ok(await find.evaluate((field) => field === document.activeElement));
  await page.waitForFunction(() => document.getElementById("news").textContent.trim() !== "");

  // A link in a part that is replaced keeps the focus too.
  await link.focus();
  await post(world.school, [{ id: "live-1", person: world.pupils[1], kind: "sign_in", at: new Date().toISOString() }]);
  await page.locator(`#latest a[href*="/people/${world.pupils[1]}"]`).waitFor();
  assert.match(await page.evaluate(() => document.activeElement.href), new RegExp(`/people/${pupil}`));
  assert.deepEqual(said, []);
});

test("who may only look sees no button that changes something, and typed addresses refuse", async () => {
  const { page, said } = await signedIn(world.users.look);
  for (const path of [day, `/schools/${world.school}/problems`, `/schools/${world.stored}/rules`, `/schools/${world.stored}/groups`]) {
    const response = await page.goto(path);
    assert.equal(response.status(), 200, path);
    const forms = await page.locator("main form[method=post]").count();
    assert.equal(forms, 0, `${path} has a form`);
    const links = await page.locator("main a.button").evaluateAll((all) => all.map((link) => link.innerText));
    assert.deepEqual(links.filter((words) => words.endsWith("…")), [], path);
  }
  assert.deepEqual(said, []);
  for (const [path, status] of [
    [`/schools/${world.school}/desk`, 403],
    [`/connections/users/new`, 403],
    [`/schools/none-of-these/today`, 404],
    [`/nowhere`, 404],
  ]) {
    const response = await page.goto(path);
    assert.equal(response.status(), status, path);
    assert.equal(await page.getByRole("link", { name: "To the first page" }).count(), 1, path);
  }
});

test("a school where nothing has happened and nobody is known says so on each page", async () => {
  const { page, said } = await signedIn(world.users.admin);
  const base = `/schools/${world.empty}`;
  for (const [path, words] of [
    [`${base}/today`, /people have not been read yet/],
    [`${base}/today`, /Nobody has signed in or out yet\./],
    [`${base}/problems`, /Nothing needs you\./],
    [`${base}/people?q=amy`, /people have not been read yet/],
    [`${base}/desk?q=amy`, /people have not been read yet/],
    [`${base}/groups`, /Pupils/],
    [`${base}/rules`, /kept in the settings file/],
    [`${base}/events`, /There are none of these on this day\./],
  ]) {
    const response = await page.goto(path);
    assert.equal(response.status(), 200, path);
    assert.match(await page.locator("main").innerText(), words, path);
  }
  assert.deepEqual(said, []);
});

test("names, answers and what the MIS says stay text", async () => {
  const { page, said } = await signedIn(world.users.admin);
  const base = `/schools/${world.school}`;
  for (const [path, words] of [
    [`${base}/people?q=bo`, world.tagged],
    [`${base}/desk?q=bo`, world.tagged],
    [`${base}/people?q=${encodeURIComponent("<i>x</i>")}`, "<i>x</i>"],
    [`${base}/events?date=${world.date}`, world.tagged],
  ]) {
    await page.goto(path);
    const main = page.locator("main");
    assert.ok((await main.innerText()).includes(words), `${path}: ${words}`);
    assert.equal(await page.locator("main b:has-text('Bo'), main i, main img").count(), 0, path);
  }
  await page.goto(`${base}/people?q=bo`);
  await page.getByRole("link", { name: world.tagged }).click();
  assert.ok((await page.title()).includes(world.tagged));
  assert.ok((await page.locator("h1").innerText()).includes(world.tagged));
  assert.deepEqual(said, []);
});

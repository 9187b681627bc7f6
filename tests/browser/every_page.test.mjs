// Every page that links lead to: policy, console, and barriers at three widths, in light and dark.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { barriers, close, cutOff, open, signedIn, world } from "./support.mjs";

after(close);

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const WIDTHS = [320, 768, 1440];
/** Of pages that differ only in whom or which day they show, so many are looked at. */
const ALIKE = 2;

/** The shape of an address: without ids, values of filters and parts of the page. */
function shape(address) {
  const url = new URL(address);
  const path = url.pathname.replace(/\/(people|schools|events|groups|rules|keys|endpoints|users|syncs)\/[^/]+/g, "/$1/*");
  return `${path}?${[...url.searchParams.keys()].sort()}`;
}

/** The pages that a user reaches by links, in the order of their distance. */
async function* reached(page, starts) {
  const queue = starts.map((start) => new URL(start, world.address).href);
  const seen = new Set(queue);
  const alike = new Map();
  while (queue.length > 0) {
    const address = queue.shift();
    const count = alike.get(shape(address)) ?? 0;
    if (count >= ALIKE) continue;
    alike.set(shape(address), count + 1);
    const response = await page.goto(address);
    yield { address, response };
    const links = await page.locator("a[href]").evaluateAll((all) => all.map((link) => link.href));
    for (const link of links) {
      const next = link.split("#")[0];
      // The reference of the API has a style of its own.
      const elsewhere = !next.startsWith(world.address) || /\/(docs|problems|openapi\.json)$/.test(new URL(next).pathname);
      if (elsewhere && !new URL(next).pathname.startsWith("/schools/")) continue;
      if (seen.has(next)) continue;
      seen.add(next);
      queue.push(next);
    }
  }
}

const starts = [
  "/",
  `/schools/${world.school}/today?date=${world.date}`,
  `/schools/${world.school}/people?q=a`,
  `/schools/${world.empty}/today`,
];

test("every page has the policy, says nothing to the console, and has no barrier", async (t) => {
  const { page, said } = await signedIn(world.users.admin);
  const found = [];
  let pages = 0;
  for await (const { address, response } of reached(page, starts)) {
    pages += 1;
    if (response.status() !== 200) found.push(`${address}: ${response.status()}`);
    const policy = response.headers()["content-security-policy"];
    if (policy !== POLICY) found.push(`${address}: policy ${policy}`);
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      const over = await cutOff(page);
      if (over) found.push(`${address} at ${width}: ${over}`);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        for (const barrier of await barriers(page)) found.push(`${address} at ${width}, ${colorScheme}: ${barrier}`);
      }
    }
  }
  t.diagnostic(`${pages} pages`);
  assert.deepEqual(found, []);
  assert.deepEqual(said, []);
  assert.ok(pages >= 8, `only ${pages} pages were reached`);
});

test("every page works without scripts", async (t) => {
  const { page } = await signedIn(world.users.admin, { javaScriptEnabled: false });
  let pages = 0;
  for await (const { address, response } of reached(page, starts)) {
    assert.equal(response.status(), 200, address);
    assert.ok((await page.locator("main").innerText()).trim().length > 0, address);
    pages += 1;
  }
  t.diagnostic(`${pages} pages`);
});

test("without signing in, every page leads to the sign-in", async () => {
  const { page, said } = await open();
  for (const start of starts) {
    await page.goto(start);
    assert.equal(new URL(page.url()).pathname, "/sign-in", start);
    assert.deepEqual(await barriers(page), []);
  }
  assert.deepEqual(said, []);
});

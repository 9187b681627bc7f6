// What the browser tests share. They run by `cargo test -p markback-tests --test pages`, which starts a service for them.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

/** What the test program says about the service: address, users, schools, the school day. */
export const world = JSON.parse(process.env.MARKBACK_PAGES);

const require = createRequire(`${process.env.MARKBACK_BROWSER_TOOLS}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: process.env.MARKBACK_CHROMIUM,
  args: [
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
  // Chromium refuses to run as root in its sandbox; on other accounts it keeps it.
  chromiumSandbox: process.getuid() !== 0,
});

/** Ends the browser, after all tests of a file. */
export const close = () => browser.close();

/** A window of its own, without cookies. What its pages write to the console is in `said`. */
export async function open(options = {}) {
  const context = await browser.newContext({ baseURL: world.address, ...options });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(`${page.url()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`${page.url()}: ${error}`));
  return { context, page, said };
}

/** Signs a user in, by the keyboard alone. */
export async function signIn(page, user, from = "/") {
  await page.goto(from);
  await page.locator("input[name=name]").focus();
  await page.keyboard.type(user);
  await page.keyboard.press("Tab");
  await page.keyboard.type(world.password);
  await Promise.all([page.waitForURL((url) => url.pathname !== "/sign-in"), page.keyboard.press("Enter")]);
}

/** A window in which this user is signed in. */
export async function signedIn(user, options = {}) {
  const window = await open(options);
  await signIn(window.page, user);
  return window;
}

/** What axe finds on a page that somebody cannot get past: serious and critical findings, in words. */
export async function barriers(page) {
  // Not as a script of the page: its policy forbids those of others.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.target} ${node.html.slice(0, 160)}`));
}

/** What makes a page wider than its window, in words; empty if it is not. */
export const cutOff = (page) =>
  page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.scrollingElement;
    if (scrollWidth <= clientWidth) return "";
    const over = (element) => element.getBoundingClientRect().right - clientWidth;
    const [widest] = [...document.body.querySelectorAll("*")].sort((a, b) => over(b) - over(a));
    return `${scrollWidth - clientWidth} pixels are cut off: ${widest.outerHTML.slice(0, 160)}`;
  });

/** What a screen reader calls the focused element, roughly: its label, or its text without line breaks. */
export const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    const words = element.labels?.[0]?.textContent ?? element.getAttribute("aria-label") ?? element.textContent;
    return words.replace(/\s+/g, " ").trim();
  });

/** Presses Tab until the focus is on an element with such words, or on one that a selector describes. */
export async function tabTo(page, wanted) {
  const passed = [];
  for (let stops = 0; stops < 150; stops += 1) {
    await page.keyboard.press("Tab");
    const words = await focused(page);
    const reached =
      typeof wanted === "string"
        ? await page.evaluate((selector) => document.activeElement.matches(selector), wanted)
        : wanted.test(words);
    if (reached) return;
    passed.push(words.slice(0, 40));
  }
  throw new Error(`Tab does not lead to ${wanted} on ${page.url()}, only to: ${passed.join(" | ")}`);
}

/** Presses a key. With the pattern of an address, waits for the page that this leads to. */
export async function press(page, key, leadsTo) {
  if (!leadsTo) return page.keyboard.press(key);
  await Promise.all([page.waitForEvent("load"), page.keyboard.press(key)]);
  await page.waitForURL(leadsTo);
}

/** Sends events to a school through the API. */
export async function post(school, events) {
  const response = await fetch(`${world.address}/v1/schools/${school}/events`, {
    method: "POST",
    headers: { Authorization: `Bearer ${world.key}`, "Content-Type": "application/json" },
    body: JSON.stringify(events),
  });
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
}

/** Loads the page again until its main part says this; a minute at most. */
export async function seen(page, words) {
  const until = Date.now() + 60_000;
  for (;;) {
    const text = await page.locator("main").innerText();
    if (words.test(text)) return;
    assert.ok(Date.now() < until, `${words} is not said: ${text}`);
    await page.waitForTimeout(250);
    await page.reload();
  }
}

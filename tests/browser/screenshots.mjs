// The screenshots of the README: `.ci/pages screenshots`. They show the demo, which plays the same day each time; only its
// clock goes on, so times like "Updated 12:31" may differ by a minute.

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const [program, folder] = process.argv.slice(2);
/** In pixels. */
const SIZE = { width: 1200, height: 800 };
/** Of at most 100. */
const QUALITY = 80;
/** In bytes. The pictures are in the repository, in each of their versions. */
const LARGEST = 80_000;

const demo = spawn(program, ["demo", "--stay", "--format", "json"], { stdio: ["ignore", "pipe", "inherit"] });
try {
  const { stay, schools } = await told(demo);
  process.env.MARKBACK_PAGES = JSON.stringify({ address: stay.address, password: stay.password });
  const { close, signedIn } = await import("./support.mjs");
  try {
    // Without scripts: nothing moves while the picture is taken.
    const window = await signedIn(stay.user, { javaScriptEnabled: false, viewport: SIZE, locale: "en-GB" });
    await takeAll(window, `/schools/${schools[0].id}`);
  } finally {
    await close();
  }
} finally {
  demo.kill("SIGTERM");
}

/** What the demo says when its morning is over: one JSON document, after which it keeps running. */
async function told({ stdout }) {
  let text = "";
  for await (const part of stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    text += part;
    try {
      return JSON.parse(text);
    } catch {
      // The rest is still to come.
    }
  }
  throw new Error("the demo ended before its morning was over");
}

async function takeAll({ context, page }, school) {
  const devtools = await context.newCDPSession(page);
  const take = async (name) => {
    await page.waitForLoadState();
    const { data } = await devtools.send("Page.captureScreenshot", { format: "webp", quality: QUALITY });
    const picture = Buffer.from(data, "base64");
    if (picture.length > LARGEST) throw new Error(`${name}.webp has ${picture.length} bytes; at most ${LARGEST} are allowed`);
    writeFileSync(`${folder}/${name}.webp`, picture);
    console.log(`${name}.webp: ${picture.length} bytes`);
  };
  await page.goto(`${school}/today`);
  await take("today");
  await page.locator("#latest a[href*='/people/']").first().click();
  await take("person");
  await page.goto(`${school}/desk?q=wri`);
  await page.locator("main a[href*='/desk/student/']").first().click();
  await page.locator("main button.main").click();
  await page.locator("#expected").waitFor();
  await take("desk");
  await page.goto(`${school}/rules`);
  await page.locator("main a[href*='/rules/groups/']").first().click();
  await take("rules");
}

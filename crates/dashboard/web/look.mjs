// Looks at the page with a headless browser: `node look.mjs ADDRESS FOLDER`. Writes a picture per width and
// theme, and prints what it found as JSON, one line per look. A test judges; this only looks.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [address, folder] = process.argv.slice(2);
const LOOKS = [
  { width: 1280, height: 900, colorScheme: "light" },
  { width: 1280, height: 900, colorScheme: "dark" },
  { width: 360, height: 740, colorScheme: "light" },
  { width: 360, height: 740, colorScheme: "dark" },
];
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Share of the strips' pixels that are painted. */
function painted() {
  const strips = [...document.querySelectorAll("canvas.strip")];
  let [all, set] = [0, 0];
  for (const strip of strips) {
    const pixels = strip.getContext("2d").getImageData(0, 0, strip.width, strip.height).data;
    for (let at = 3; at < pixels.length; at += 4) {
      all += 1;
      if (pixels[at] > 0) set += 1;
    }
  }
  return { strips: strips.length, share: all ? set / all : 0 };
}

const text = (page, selector) => page.locator(selector).first().innerText();
const count = (page, selector) => page.locator(selector).count();

/** Elements that stick out of the window to the right without a scrolling parent. */
function sticksOut() {
  return document.documentElement.scrollWidth > document.documentElement.clientWidth;
}

async function why(page) {
  await page.locator("#leases button").first().focus();
  await page.keyboard.press("Enter");
  await page.locator("dialog dd").first().waitFor();
  const inAddress = new URL(page.url()).searchParams.has("why");
  const words = await text(page, "dialog");
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  return { inAddress, words };
}

/** The panel of an app, and from there why. */
async function app(page) {
  await page.locator("#apps tbody button", { hasText: "group:/bed/encode" }).click();
  const words = await text(page, "dialog");
  await page.locator("dialog").getByRole("button", { name: /^Why/ }).first().click();
  await page.locator("dialog").nth(1).locator("dd").first().waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog").nth(1).waitFor({ state: "detached" });
  await page.keyboard.press("Escape");
  await page.locator("dialog").first().waitFor({ state: "detached" });
  return words;
}

async function sortByName(page) {
  await page.getByRole("button", { name: "App", exact: true }).click();
  const names = await page.locator("#apps tbody .name").allInnerTexts();
  await page.getByLabel("Find an app").fill("web");
  const found = await page.locator("#apps tbody .name").allInnerTexts();
  await page.getByLabel("Find an app").fill("");
  await page.getByRole("button", { name: "CPU cores" }).click();
  return { names, found };
}

const viewNow = async (page, address) => (await page.request.get(`${address}api/v1/view`)).json();
/** From now on `view` is the answer. A page that leaves while its request is answered is no error of anybody. */
const answerWith = (page, view) =>
  page.route("**/api/v1/view", (route) => route.fulfill({ json: view }).catch(() => {}));

/** The page of a daemon that has seen nothing yet: which sections say so. */
async function emptied(page, address) {
  const view = await viewNow(page, address);
  for (const name of Object.keys(view)) if (Array.isArray(view[name])) view[name] = [];
  const plan = { ...view.plan, leases: [], advice: [], shifts: [], recompiles: [] };
  const map = { ...view.map, rows: [] };
  await answerWith(page, { ...view, map, plan, apps_total: 0, now: { sparks: view.now.sparks } });
  await page.goto(address);
  await page.locator("main .empty").nth(5).waitFor();
  const words = await page.locator("main .empty").allInnerTexts();
  await page.unrouteAll({ behavior: "ignoreErrors" });
  return words;
}

/** A daemon that answers with the same snapshot for a quarter of a minute, by a clock that is moved by hand. */
async function frozen(page, address) {
  await page.clock.install();
  await answerWith(page, await viewNow(page, address));
  await page.goto(address);
  await page.locator("main").waitFor();
  for (let second = 0; second < 16; second += 2) await page.clock.runFor(2_000);
  await page.getByText("its loop has not turned").waitFor();
  const word = await text(page, ".health");
  await page.unrouteAll({ behavior: "ignoreErrors" });
  return word;
}

async function look(browser, { width, height, colorScheme }) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1 });
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("requestfailed", (request) => errors.push(`${request.url()} failed`));
  await page.goto(address);
  await page.locator(".map .row:not(.head)").first().waitFor();
  await page.locator(".uplot canvas").nth(1).waitFor();
  const seen = {
    width,
    colorScheme,
    health: await text(page, ".health"),
    heat: await page.evaluate(painted),
    units: await count(page, ".map .row:not(.head)"),
    cells: await count(page, ".map .row:not(.head) .cell"),
    apps: await count(page, "#apps tbody tr"),
    leases: await count(page, "#leases tbody tr"),
    variants: await count(page, "#variants tbody tr"),
    skill: await count(page, "#skill tbody tr"),
    bars: await count(page, ".lane .bar"),
    ground: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    sticksOut: await page.evaluate(sticksOut),
  };
  await page.screenshot({ path: join(folder, `page-${width}-${colorScheme}.png`), fullPage: true });
  seen.why = await why(page);
  seen.app = await app(page);
  seen.sort = await sortByName(page);
  await page.locator(".doctor summary").click();
  await page.locator(".doctor .absent").waitFor();
  seen.doctor = await text(page, ".doctor");
  await page.getByLabel("Time shown").selectOption("10m");
  seen.address = page.url();
  // The errors until here are the page's own; the next ones are made.
  seen.errors = [...errors];
  seen.empty = await emptied(page, address);
  seen.frozen = await frozen(page, address);
  await page.route("**/api/**", (route) => route.abort().catch(() => {}));
  await page.clock.runFor(3_000);
  await page.getByText("does not answer").waitFor();
  seen.trouble = await text(page, ".trouble");
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await context.close();
  return seen;
}

const profile = mkdtempSync(join(tmpdir(), "tidegate-look-"));
const browser = await chromium.launch({
  executablePath: process.env.TIDEGATE_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [...ARGUMENTS, `--crash-dumps-dir=${profile}`],
});
try {
  for (const wanted of LOOKS) console.log(JSON.stringify(await look(browser, wanted)));
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}

// A business completes the signup page: every way in which the popup can end, and a page that pretends to be Meta's.
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [ready, executablePath, folder] = process.argv.slice(2);
const { gateway, api_key, number } = JSON.parse(readFileSync(ready, "utf8"));
const headers = { authorization: `Bearer ${api_key}`, "content-type": "application/json" };
const api = async (method, path, body) => {
  const answer = await fetch(gateway + path, { method, headers, body: body && JSON.stringify(body) });
  return answer.json();
};

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext();

async function opened() {
  const started = await api("POST", "/v1/onboardings", { app: "sandbox", link_days: 1 });
  const page = await context.newPage();
  await page.goto(gateway + started.link.path);
  await page.waitForSelector("#connect:not([disabled])");
  return { started, page };
}

async function through(page, choose) {
  const [popup] = await Promise.all([page.waitForEvent("popup"), page.click("#connect")]);
  await popup.waitForSelector("#account option", { state: "attached" });
  await choose(popup);
}

// The button closes its own window, sometimes before the browser reports that the click is done.
async function leave(popup, end) {
  const closed = popup.waitForEvent("close");
  await popup.click(`[data-end=${end}]`).catch((error) => {
    if (!error.message.includes("has been closed")) throw error;
  });
  await closed;
}

const says = (page, words) => page.waitForFunction(
  (wanted) => document.getElementById("state").textContent.includes(wanted), words, { timeout: 60_000 });
const state = (started) => api("GET", `/v1/onboardings/${started.id}`);

const ends = [
  ["new", "FINISH", "is connected", "connected"],
  ["new", "FINISH_ONLY_WABA", "is connected", "connected"],
  ["phone", "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", "is connected", "connected"],
  ["new", "FINISH_GRANT_ONLY_API_ACCESS", "is connected", "connected"],
  ["new", "CODE", "is connected", "connected"],
  ["new", "CANCEL", "cancelled at PHONE_NUMBER_SETUP", "cancelled"],
  ["new", "REPORT", "reported error 524126", "cancelled"],
  ["new", "LATE", "One step failed", "failed"],
];
for (const [make, end, words, status] of ends) {
  const { started, page } = await opened();
  await through(page, async (popup) => {
    const before = await popup.locator("#account option").count();
    await popup.click(`#${make}`);
    await popup.waitForFunction((known) => document.querySelectorAll("#account option").length > known, before);
    await leave(popup, end);
  });
  await says(page, words);
  const shown = await state(started);
  assert.equal(shown.status, status, JSON.stringify(shown));
  await page.screenshot({ path: `${folder}/${end}.png` });
  console.log(`signup page: ${end} -> ${shown.status}, ${shown.shape ?? "no shape"}`);
  await page.close();
}

// After a cancelled popup the same page can try again.
{
  const { started, page } = await opened();
  await through(page, (popup) => leave(popup, "CANCEL"));
  await says(page, "You can try again");
  await through(page, async (popup) => {
    const before = await popup.locator("#account option").count();
    await popup.click("#new");
    await popup.waitForFunction((known) => document.querySelectorAll("#account option").length > known, before);
    await leave(popup, "FINISH");
  });
  await says(page, "is connected");
  assert.equal((await state(started)).status, "connected");
  console.log("signup page: left, then finished -> connected");
}

// Messages from other origins are ignored.
{
  const { page } = await opened();
  const trusted = await page.evaluate(() => [
    "https://www.facebook.com", "https://web.facebook.com", "https://facebook.com", "https://evilfacebook.com",
    "https://facebook.com.evil.example", "http://www.facebook.com", "https://evil.example/facebook.com", "null", "",
  ].filter(isMeta));
  assert.deepEqual(trusted, ["https://www.facebook.com", "https://web.facebook.com", "https://facebook.com"]);
  console.log("signup page: 3 origins of Meta's are heard, 6 others are not");
}

// In a browser, a page of a foreign origin cannot finish a signup.
{
  const { started, page } = await opened();
  await page.goto("data:text/html,<title>foreign</title>");
  const refused = await page.evaluate(async ([url]) => {
    try { return (await fetch(url, { method: "POST", body: "{}" })).status; } catch { return "blocked"; }
  }, [`${gateway}/v1/onboardings/${started.id}/finish`]);
  assert.equal(refused, "blocked");
  console.log("signup page: a foreign page is blocked");
}
assert.ok(number.phone_number_id);
await browser.close();

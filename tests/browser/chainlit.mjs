// A customer's way through Chainlit's own page, behind the gateway:
//
//   node chainlit.mjs URL ALICE BOB STRANGER
//
// The last three are what the website's cookie says: two customers, and one whose proof
// does not hold.
//
// Prints "revoke INTERACTION" where a login has to end, and goes on when a line comes
// back: whoever runs this tells the gateway.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { launch, step } from "./chromium.mjs";

const [url, alice, bob, stranger] = process.argv.slice(2);
const FORGED = { "X-Customer-Id": "alice" };
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const browser = await launch();
try {
  step("without a proof there is no chat");
  await refused(await open());

  step("nor by a header that the browser sends itself");
  await refused(await open({ headers: FORGED }));

  step("nor by a proof that somebody else signed");
  await refused(await open({ proof: stranger }));

  await talk();
  await follow();
  console.log("done");
} finally {
  await browser.close();
}
process.exit(0);

// Alice's chat, from the first message to a login that ended.
async function talk() {
  step("the customer of the website is known to the bot, on a WebSocket");
  const { context, page } = await open({ proof: alice });
  const heard = overhear(page);
  await page.goto(url);
  await say(page, "good morning");
  await answer(page, "You are alice, and said good morning");
  assert.match(heard.join("\n"), /You are alice, and said good morning/);

  step("an upload arrives");
  const stored = page.waitForResponse((response) => response.url().includes("/project/file"));
  const note = { name: "note.txt", mimeType: "text/plain", buffer: Buffer.alloc(200_000, "a") };
  await page.locator("input[type=file]").first().setInputFiles(note);
  assert.equal((await stored).status(), 200);
  await page.getByText("note.txt").waitFor();
  await say(page, "with a note");
  await answer(page, "You are alice, and said with a note");

  step("after a revocation the socket is closed; the proof holds, so a new one opens by itself");
  await revoke(context);
  await closed(page, 1);
  await say(page, "good evening");
  await answer(page, "You are alice, and said good evening");

  step("without a proof it is closed for good, and the page says so");
  await context.clearCookies({ name: "site" });
  await revoke(context);
  await closed(page, 2);
  await page.getByText("Could not reach the server").waitFor();
  await page.locator("#chat-input").fill("anybody there?");
  assert.ok(await page.locator("#chat-submit").isDisabled());

  step("Chainlit's own cookie opens nothing");
  assert.ok((await context.cookies()).some((cookie) => cookie.name === "access_token"));
  for (const path of ["/user", "/project/settings", "/ws/socket.io/?EIO=4&transport=polling"]) {
    assert.equal(await page.evaluate(async (path) => (await fetch(path)).status, path), 401, path);
  }
  await refused({ context, page });
  await context.close();
}

// Bob, where alice was before.
async function follow() {
  step("a header that the browser sends does not count beside a proof");
  const { context, page } = await open({ proof: bob, headers: FORGED });
  await page.goto(url);
  await say(page, "good morning");
  await answer(page, "You are bob, and said good morning");

  step("who logs in after somebody else does not go on as that one");
  await visit(context, alice);
  await page.reload();
  await say(page, "good evening");
  await answer(page, "Please log in again");
  assert.equal(await page.getByText("and said good evening").count(), 0);

  step("the website's logout takes Chainlit's cookie along, and all is well");
  await context.clearCookies({ name: "access_token" });
  await page.goto(url);
  await say(page, "good night");
  await answer(page, "You are alice, and said good night");
  await context.close();
}

// A browser, of somebody with this proof, that sends these headers.
async function open({ proof, headers } = {}) {
  const context = await browser.newContext({ extraHTTPHeaders: headers });
  // Fonts and styles from elsewhere are not to be had here.
  await context.route((to) => !to.href.startsWith(url), (route) => route.abort());
  // The page's own sockets, and what they were told at their end.
  await context.addInitScript(() => {
    const closes = (globalThis.closes = []);
    globalThis.WebSocket = class extends WebSocket {
      constructor(...where) {
        super(...where);
        this.addEventListener("close", ({ code, reason }) => closes.push({ code, reason }));
      }
    };
  });
  if (proof) await visit(context, proof);
  return { context, page: await context.newPage() };
}

// What the website does at a login.
async function visit(context, proof) {
  await context.addCookies([{ name: "site", value: proof, url, httpOnly: true }]);
}

// The page opens, asks who the customer is, is told 401, and shows no chat.
async function refused({ page }) {
  const asked = page.waitForResponse((response) => response.url().endsWith("/auth/header"));
  await page.goto(url);
  assert.equal((await asked).status(), 401);
  await page.getByText("Login to access the app").waitFor();
  await page.getByText("Unable to sign in").waitFor();
  assert.equal(await page.locator("#chat-input").count(), 0);
  const socket = "/ws/socket.io/?EIO=4&transport=polling";
  assert.equal(await page.evaluate(async (socket) => (await fetch(socket)).status, socket), 401);
}

// The button waits until the page is connected.
async function say(page, message) {
  await page.locator("#chat-input").fill(message);
  await page.locator("#chat-submit").click();
}

async function answer(page, text) {
  await page.getByText(text, { exact: true }).waitFor();
}

// What comes on the page's sockets.
function overhear(page) {
  const heard = [];
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => heard.push(String(payload))));
  return heard;
}

async function revoke(context) {
  const cookies = await context.cookies();
  console.log("revoke " + cookies.find((cookie) => cookie.name === "X-Chainlit-Session-id").value);
  await lines.next();
}

// The page's sockets so far have been closed by the gateway. A patience shorter than
// socket.io's, which finds a dead connection by itself.
async function closed(page, count) {
  await page.waitForFunction((count) => closes.length >= count, count, { timeout: 15_000 });
  const told = { code: 4401, reason: "please log in again" };
  assert.deepEqual(await page.evaluate(() => closes), Array(count).fill(told));
}

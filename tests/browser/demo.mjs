// A newcomer's way through the demo, in a real browser: node demo.mjs URL
// Or the login at other places than the website's page: node demo.mjs URL ldap oidc
//
// Prints "advance SECONDS" where time has to pass, and goes on when a line comes
// back: whoever runs this moves the demo's clock.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { launch, step } from "./chromium.mjs";

const [url, ...places] = process.argv.slice(2);
// The other ways in which the bot answers, and what the page says of them.
const WIRE = { Webhook: /gets 202/, WebSocket: /One socket/, SSE: /server-sent events/ };
const SECRET = "1,204.30";
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const browser = await launch();
try {
  for (const place of places) {
    const context = await browser.newContext();
    await playAt(place, await context.newPage());
    await context.close();
  }
  if (places.length === 0) await play(await browser.newPage());
  for (const way of places.length === 0 ? Object.keys(WIRE) : []) {
    const context = await browser.newContext();
    await playOn(way, await context.newPage());
    await context.close();
  }
  console.log("done");
} finally {
  await browser.close();
}
process.exit(0);

async function play(page) {
  const complaints = listen(page);

  step("the page opens, and the customer is unknown");
  await page.goto(url);
  await page.getByText("Welcome. Say hello").first().waitFor();
  assert.match(await page.locator("#authentication-timeout").textContent(), /1 minute/);
  assert.match(await page.locator("#token-ttl").textContent(), /2 minutes/);
  await mark(page, false);

  step("hello is answered");
  await say(page, "hello");
  await chat(page, "Hello! I do not know who you are.");

  step("a statement is withheld, and a login link comes in its place");
  const link = page.locator("#chat .login a");
  await withheld(page);
  await mark(page, false);

  step("a wrong password shows the form again");
  await link.click();
  await logIn(page, "alice", "looking-glass");
  await page.getByRole("alert").waitFor();

  step("the right one brings the customer back, and the question is answered without asking again");
  await logIn(page, "alice", "wonderland");
  await chat(page, SECRET);
  assert.equal(page.url(), url, "nothing of the login stays in the address bar");
  assert.equal(await page.locator("#chat .customer-line").count(), 2, "the customer asked once");
  await mark(page, true);
  assert.equal(await page.locator("#who").textContent(), "Alice");

  step("an authenticated customer is not stopped");
  await say(page, "statement");
  await page.locator("#chat .bot-line", { hasText: SECRET }).nth(1).waitFor();

  step("when the login's time is over, the check mark goes and the statement is withheld again");
  await advance(61);
  await mark(page, false);
  await withheld(page);
  await mark(page, false);

  step("cancelling leaves everything as it was");
  await link.click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await chat(page, "You cancelled the login.");
  assert.equal(page.url(), url);
  await mark(page, false);

  step("a customer who is logged in to the website opens the chat with the check mark");
  await page.getByRole("link", { name: "Log in", exact: true }).first().click();
  await logIn(page, "alice", "wonderland");
  await page.getByText("Logged in to the website as Alice").waitFor();
  await chat(page, "Welcome, Alice.");
  await mark(page, true);
  await say(page, "statement");
  await chat(page, SECRET);
  assert.equal(await link.count(), 0);

  step("the end of the chat takes the check mark away");
  await page.getByRole("button", { name: "End chat" }).click();
  await mark(page, false);
  await page.getByRole("button", { name: "New chat" }).click();
  await mark(page, true);

  step("so does the logout");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByText("Not logged in to the website").waitFor();
  await chat(page, "Welcome. Say hello");
  await mark(page, false);
  await withheld(page);

  assert.deepEqual(complaints, []);
}

// The same flow on another way.
async function playOn(way, page) {
  const complaints = listen(page);
  const overheard = overhear(page);

  step(way + ": a fresh chat, and a line that says what happens");
  await page.goto(url);
  await chat(page, "Welcome. Say hello");
  await say(page, "hello");
  await chat(page, "Hello! I do not know who you are.");
  await page.locator("label", { hasText: way }).click();
  await page.locator("#wire", { hasText: WIRE[way] }).waitFor();
  await chat(page, "Welcome. Say hello");
  assert.equal(await page.locator("#chat li").count(), 1);

  step(way + ": hello is answered, a statement is withheld");
  await say(page, "hello");
  await chat(page, "Hello! I do not know who you are.");
  await say(page, "statement");
  const link = page.locator("#chat .login a");
  await link.waitFor();
  await mark(page, false);
  assert.doesNotMatch(await overheard(), /balance|whose to show/);

  step(way + ": after the login the answer arrives by itself");
  if (way === "WebSocket") {
    const opened = page.waitForEvent("popup");
    await link.click();
    const popup = await opened;
    const closed = popup.waitForEvent("close");
    await logIn(popup, "alice", "wonderland");
    await closed;
  } else {
    await link.click();
    await logIn(page, "alice", "wonderland");
  }
  await chat(page, SECRET);
  await mark(page, true);
  assert.equal(page.url(), url);
  assert.equal(await link.count(), 0, "the link has done its work");
  assert.equal(await page.locator("#chat .customer-line").count(), 2, "the customer asked once");

  step(way + ": until the login's time is over");
  await say(page, "statement");
  await page.locator("#chat .bot-line", { hasText: SECRET }).nth(1).waitFor();
  await advance(61);
  await mark(page, false);
  await say(page, "statement");
  await link.waitFor();

  step(way + ": a login that is cancelled is told of in the chat");
  const opened = way === "WebSocket" ? page.waitForEvent("popup") : page;
  await link.click();
  await (await opened).getByRole("button", { name: "Cancel" }).click();
  await chat(page, "You cancelled the login.");
  await mark(page, false);
  assert.equal(await link.count(), 0);

  assert.deepEqual(complaints, []);
}

// The same flow, with the login at another place, and by a webhook, too.
async function playAt(place, page) {
  step(place + ": the switch is there to be chosen");
  await page.goto(url);
  await chat(page, "Welcome. Say hello");
  await page.locator("label", { has: page.locator(`[name=login][value=${place}]`) }).click();
  await page.locator("#wire", { hasText: { ldap: /LDAP/, oidc: /OpenID/ }[place] }).waitFor();

  for (const way of ["HTTP", "Webhook"]) {
    step(`${place}, ${way}: a statement is withheld`);
    if (way !== "HTTP") await page.locator("label", { hasText: way }).click();
    await chat(page, "Welcome. Say hello");
    await say(page, "statement");
    await page.locator("#chat .login a").click();

    step(`${place}, ${way}: after the login the answer arrives by itself`);
    const known = place === "oidc" && way !== "HTTP";
    if (place === "ldap") {
      await page.locator("[name=username]").fill("alice");
      await page.locator("[name=password]").fill("wonderland");
      await page.locator("button.main").click();
    } else if (!known) {
      await page.locator("[name=login]").fill("alice");
      await page.locator("[name=password]").fill("any");
      await page.locator("[type=submit]").click();
      await page.getByRole("button", { name: "Continue" }).click();
    }
    await chat(page, SECRET);
    assert.equal(page.url(), url);
    await mark(page, true);
    assert.equal(await page.locator("#who").textContent(), "Alice");
  }
}

// Everything that comes to the customer, up to a challenge; what the agent sees is
// left out.
function overhear(page) {
  const heard = [];
  const hear = (text) => heard.push(String(text));
  page.on("response", (response) => {
    if (!response.url().includes("/agent/")) response.text().then(hear, () => {});
  });
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => hear(payload)));
  return async () => {
    for (let tries = 0; !heard.join().includes("login_url"); tries += 1) {
      assert.ok(tries < 300, "the challenge was not heard");
      await page.waitForTimeout(100);
    }
    return heard.join("\n");
  };
}

// Everything that should not be: complaints of the console, requests that leave the demo.
function listen(page) {
  const complaints = [];
  page.on("console", (message) => {
    // A wrong password.
    const expected = /status of 403/.test(message.text());
    if (message.type() === "error" && !expected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complaints.push("left the demo: " + request.url());
  });
  return complaints;
}

async function say(page, message) {
  await page.getByLabel("Your message").fill(message);
  await page.getByRole("button", { name: "Send" }).click();
}

// Asks for the statement, and gets a login link and no word of the bot's.
async function withheld(page) {
  const answer = page.waitForResponse((response) => response.url().endsWith("/webhooks/rest/webhook"));
  await say(page, "statement");
  const text = await (await answer).text();
  assert.match(text, /login_url/);
  assert.doesNotMatch(text, /balance|whose to show/);
  await page.locator("#chat .login a").waitFor();
}

async function logIn(page, name, password) {
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

async function chat(page, text) {
  await page.locator("#chat li", { hasText: text }).last().waitFor();
}

async function mark(page, there) {
  await page.locator(`#customer[data-authenticated="${there}"]`).waitFor();
}

async function advance(seconds) {
  console.log("advance " + seconds);
  await lines.next();
}

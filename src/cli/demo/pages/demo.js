// The customer's chat and the agent's desk. Everything that came from somewhere
// is shown as text, never as HTML.
"use strict";

const KEY = "chat";
const website = document.body.dataset.customer;
const at = (id) => document.getElementById(id);

// What this tab remembers while the customer is away at the login page.
let chat = remembered();
let waiting = 0;

start();
setInterval(watch, 1000);

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = at("message").value.trim();
  at("message").value = "";
  if (message) say(message);
});
for (const button of document.querySelectorAll("[data-say]")) {
  button.addEventListener("click", () => say(button.dataset.say));
}
// A request that ends because the page does is no news.
addEventListener("pagehide", () => { waiting += 1; });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
at("end").addEventListener("click", end);
at("new").addEventListener("click", async () => { await end(); await open(); });
at("logout")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  await end();
  event.target.submit();
});

async function start() {
  if (chat && chat.website !== website) await end();
  if (!chat || chat.website !== website) await open();
  else draw();
  if (chat.continue) resume(chat.continue);
  watch();
}

async function open() {
  chat = { id: null, website, lines: [], ended: false, continue: null };
  draw();
  const answer = await send("/chat/open", {});
  if (!answer.ok) return add({ note: "The chat could not be opened. " + answer.problem });
  chat.id = answer.body.conversation;
  for (const message of answer.body.messages) add({ text: message.text });
  watch();
}

async function say(message) {
  if (!chat.id || chat.ended) await open();
  add({ mine: true, text: message });
  const answer = await send("/webhooks/rest/webhook", { sender: chat.id, message });
  if (!answer.ok) return add({ note: answer.problem });
  for (const reply of answer.body) receive(reply);
  watch();
}

async function end() {
  if (!chat?.id || chat.ended) return;
  chat.ended = true;
  chat.continue = null;
  waiting += 1;
  settleLinks();
  await send("/chat/end", { sender: chat.id });
  add({ note: "The chat has ended." });
  watch();
}

// One message of the bot's, or the login link that chatgate put in its place.
function receive(reply) {
  const link = reply.custom?.login_url;
  if (!link) return add({ text: reply.text });
  settleLinks();
  add({ text: reply.text.replace(link, "").trim(), link });
  chat.continue = reply.custom.continue_url;
  save();
  resume(chat.continue);
}

// Waits at the `continue` URL for the answer to the question that was held back.
async function resume(url) {
  const turn = ++waiting;
  while (turn === waiting && url === chat.continue) {
    const answer = await send(url);
    if (turn !== waiting || url !== chat.continue) return;
    if (answer.pending || answer.unreachable) {
      await pause(1000);
      continue;
    }
    chat.continue = null;
    settleLinks();
    if (answer.ok) {
      add({ note: "You are logged in. Here is what you asked for:" });
      for (const reply of answer.body) receive(reply);
    } else {
      add({ note: answer.problem });
    }
    watch();
  }
}

async function watch() {
  if (!chat?.id || document.hidden) return;
  const view = await send("/agent/conversations/" + encodeURIComponent(chat.id));
  if (!view.ok) return;
  const { authenticated, seconds_left: left, customer, lines, ended } = view.body;
  at("customer").dataset.authenticated = authenticated;
  at("who").textContent = authenticated ? customer.name : "Unknown customer";
  put(at("standing"), authenticated ? "authenticated" : ended ? "the chat has ended" : "not authenticated");
  at("clock").hidden = !authenticated;
  at("left").max = view.body.seconds_in_all;
  at("left").value = left;
  at("seconds").textContent = left + " s left";
  at("told").textContent = customer ? JSON.stringify({ metadata: customer.told }, null, 2) : "nothing: the customer is anonymous";
  const shown = JSON.stringify(lines);
  if (at("desk").dataset.shown === shown) return;
  at("desk").dataset.shown = shown;
  at("desk").replaceChildren(...lines.map((line) => {
    const label = line.from === "bot"
      ? (line.private ? "Bot · marked private" : "Bot")
      : (line.verified ? "✓ " + line.verified : "Unknown customer");
    const kind = (line.from === "bot" ? "bot-line" : "customer-line") + (line.private ? " private" : "");
    return item(kind, label, line.text);
  }));
  at("desk").scrollTop = at("desk").scrollHeight;
}

// One exchange: `ok` with a body, `pending`, or the problem in words.
async function send(url, body) {
  try {
    const response = await fetch(url, body === undefined ? { cache: "no-store" } : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      keepalive: true,
    });
    if (response.status === 202 || response.status === 204) return { pending: true };
    const answer = await response.json();
    if (response.ok) return { ok: true, body: answer };
    return { problem: answer.error?.message || "That did not work (" + response.status + ")." };
  } catch {
    return { unreachable: true, problem: "The demo does not answer." };
  }
}

function add(line) {
  chat.lines.push(line);
  save();
  draw();
}

// Only the newest login link works; older ones say so.
function settleLinks() {
  for (const line of chat.lines) if (line.link) line.link = "";
  save();
  draw();
}

function draw() {
  at("chat").replaceChildren(...chat.lines.map((line) => {
    if (line.note) return item("note", "", line.note);
    if (line.link === undefined) return item(line.mine ? "customer-line" : "bot-line", line.mine ? "You" : "Bot", line.text);
    const shown = item("login", "Bot", line.text);
    shown.append(document.createElement("br"), line.link ? button(line.link) : "(This link is no longer needed.)");
    return shown;
  }));
  at("chat").scrollTop = at("chat").scrollHeight;
  at("end").disabled = !chat.id || chat.ended;
}

function item(kind, label, text) {
  const line = document.createElement("li");
  line.className = kind;
  if (label) {
    const name = document.createElement("span");
    name.className = "label";
    name.textContent = label;
    line.append(name);
  }
  line.append(text);
  return line;
}

function button(link) {
  const anchor = document.createElement("a");
  anchor.className = "button";
  anchor.textContent = "Log in";
  if (/^https?:\/\//.test(link)) anchor.href = link;
  return anchor;
}

// A status is announced when it changes, so it is touched only then.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function save() {
  sessionStorage.setItem(KEY, JSON.stringify(chat));
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

// The customer's chat and the agent's desk. Everything that came from somewhere
// is shown as text, never as HTML.
"use strict";

const KEY = "chat";
// The name of the window in which the login opens when the page has to stay.
const WINDOW = "login";
// How a message goes, and what happens on the wire.
const WAYS = {
  http: {
    path: "/webhooks/rest/webhook",
    wire: "The page posts your message; the bot’s answer is the answer to that request. After the login the page fetches the next one.",
  },
  webhook: {
    path: "/webhooks/callback/webhook",
    wire: "The page posts your message and gets 202. The bot’s answer is a request of its own to the website, and chatgate judges that. After the login another one comes.",
  },
  websocket: {
    wire: "One socket stays open; each thing said is a message on it, and judged. The login opens a window of its own, and the answer is pushed on the same socket.",
  },
  sse: {
    path: "/webhooks/stream/webhook",
    wire: "The page posts your message; the answer streams in as server-sent events, each judged by itself. The open words come, the private ones wait for the login.",
  },
};
// Where customers log in, and what the paths of that channel begin with.
const LOGINS = {
  web: { prefix: "", place: "The login is a page of the website’s, which signs what it says." },
  ldap: { prefix: "/ldap", place: "The login is chatgate’s own page: names and passwords are those of an LDAP server." },
  oidc: { prefix: "/oidc", place: "The login is at an OpenID provider, which here takes any password." },
};
const website = document.body.dataset.customer;
const at = (id) => document.getElementById(id);

// What this tab remembers while the customer is away at the login page.
let chat = remembered();
let waiting = 0;
let socket = null;
let wanted = null;
let collecting = false;
let leaving = false;

if (window.name === WINDOW) dismiss();
else start();

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = at("message").value.trim();
  at("message").value = "";
  if (message) say(message);
});
for (const button of document.querySelectorAll("[data-say]")) {
  button.addEventListener("click", () => say(button.dataset.say));
}
for (const choice of document.querySelectorAll("[name=way]")) {
  choice.addEventListener("change", () => change(choice.value, chat.login));
}
for (const choice of document.querySelectorAll("[name=login]")) {
  choice.addEventListener("change", () => change(chat.way, choice.value));
}
// A request that ends because the page does is no news.
addEventListener("pagehide", () => { waiting += 1; leaving = true; });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
at("end").addEventListener("click", end);
at("new").addEventListener("click", () => change(chat.way, chat.login));
at("logout")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  await end();
  event.target.submit();
});

async function start() {
  setInterval(watch, 1000);
  setInterval(collect, 500);
  if (chat && chat.website !== website) await end();
  if (!chat || chat.website !== website) await open(chat?.way, chat?.login);
  else draw();
  if (chat.continue) resume(chat.continue);
  if (chat.way === "websocket" && !chat.ended) connect();
  watch();
}

// The login is over, and the chat waits in the window that opened this one.
function dismiss() {
  const note = document.createElement("p");
  note.className = "notice";
  note.textContent = "Back to the chat: you may close this window.";
  document.querySelector("main").replaceChildren(note);
  window.close();
}

// A new chat; the latest choice counts.
async function change(way, login) {
  const choice = wanted = { way, login };
  await end();
  if (wanted === choice) await open(way, login);
}

async function open(way, login) {
  const here = chat = { id: null, way: WAYS[way] ? way : "http", login: offered(login) ? login : "web", website, lines: [], ended: false, continue: null };
  draw();
  const answer = await send(path("/chat/open"), {});
  if (here !== chat) return;
  if (!answer.ok) return add({ note: "The chat could not be opened. " + answer.problem });
  if (chat.way === "webhook") {
    const { body } = await send("/client/inbox", { conversation: answer.body.conversation });
    if (here !== chat) return;
    chat.inbox = body?.inbox;
    chat.seen = 0;
  }
  chat.id = answer.body.conversation;
  for (const message of answer.body.messages) add({ text: message.text });
  if (chat.way === "websocket") connect();
  watch();
}

async function say(message) {
  if (!chat.id || chat.ended) await open(chat.way, chat.login);
  const here = chat;
  if (!here.id) return;
  add({ mine: true, text: message });
  if (here.way === "websocket") return talk(message);
  const answer = await send(path(WAYS[here.way].path), { sender: here.id, message });
  if (here !== chat) return;
  if (answer.problem) return add({ note: answer.problem });
  if (answer.ok) await hear(answer.body);
  watch();
}

async function end() {
  if (!chat?.id || chat.ended) return;
  const here = chat;
  here.ended = true;
  here.continue = null;
  waiting += 1;
  settleLinks();
  socket?.close();
  socket = null;
  await send(LOGINS[here.login].prefix + "/chat/end", { sender: here.id });
  if (here !== chat) return;
  add({ note: "The chat has ended." });
  watch();
}

// Says something on the socket, which is opened again if it has closed.
function talk(message) {
  const to = connect();
  const text = JSON.stringify({ message });
  if (to.readyState === WebSocket.OPEN) return to.send(text);
  to.addEventListener("open", () => to.send(text));
  to.addEventListener("error", () => add({ note: "The socket could not be opened." }));
}

function connect() {
  if (socket && socket.readyState <= WebSocket.OPEN) return socket;
  const here = chat;
  const url = new URL(path("/chat/" + encodeURIComponent(chat.id) + "/socket"), location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.addEventListener("message", async (event) => {
    if (here !== chat) return;
    await hear(JSON.parse(event.data));
    watch();
  });
  return socket;
}

// Picks up what the bot sent to the website.
async function collect() {
  if (!chat?.inbox || chat.ended || collecting) return;
  const here = chat;
  collecting = true;
  const answer = await send("/client/inbox/" + here.inbox + "?after=" + here.seen);
  collecting = false;
  if (here !== chat || !answer.ok || leaving) return;
  for (const message of answer.body) {
    chat.seen += 1;
    await hear(message);
  }
  if (answer.body.length > 0) watch();
}

// What the bot says in one message, or in several that make one answer.
async function hear(body) {
  const here = chat;
  if (Array.isArray(body)) {
    for (const reply of body) receive(reply);
    return;
  }
  let line = null;
  try {
    for await (const list of body) {
      if (here !== chat) return;
      if (Array.isArray(list)) for (const reply of list) line = receive(reply, line);
      else add({ note: list.error?.message || "That did not work." });
    }
  } catch {
    if (here === chat && !leaving) add({ note: "The stream broke off." });
  }
}

// One message of the bot's, or the login link that chatgate put in its place. Gives
// the line that more of the same answer goes on.
function receive(reply, line) {
  const { login_url: link, continue_url: later, logged_in, login_ended } = reply.custom ?? {};
  if (link) {
    settleLinks();
    add({ text: reply.text.replace(link, "").trim(), link });
    if (later) {
      chat.continue = later;
      save();
      resume(later);
    }
    return null;
  }
  if (login_ended) {
    settleLinks();
    add({ note: reply.text });
    return null;
  }
  // What was private and may be read now: the link has done its work.
  if (reply.custom && chat.lines.some((line) => line.link)) {
    settleLinks();
    add({ note: "You are logged in. Here is what you asked for:" });
  }
  if (logged_in) return null;
  if (!line) {
    line = { text: reply.text };
    add(line);
    return line;
  }
  line.text += reply.text;
  save();
  draw();
  return line;
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
      const ended = answer.body?.[0]?.custom?.login_ended;
      if (!ended) add({ note: "You are logged in. Here is what you asked for:" });
      await hear(answer.body);
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
    if (response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      return { ok: true, body: events(response.body) };
    }
    const answer = await response.json();
    if (response.ok) return { ok: true, body: answer };
    return { problem: answer.error?.message || "That did not work (" + response.status + ")." };
  } catch {
    return { unreachable: true, problem: "The demo does not answer." };
  }
}

// The data of server-sent events, each as soon as it is there.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + value).replaceAll("\r\n", "\n");
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(5)).join("\n"));
    }
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
  document.querySelector(`[name=way][value=${chat.way}]`).checked = true;
  document.querySelector(`[name=login][value=${chat.login}]`).checked = true;
  put(at("wire"), WAYS[chat.way].wire + " " + LOGINS[chat.login].place);
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
  if (chat.way === "websocket") {
    // Away from this page, the socket would close.
    anchor.target = WINDOW;
    anchor.rel = "opener";
  }
  return anchor;
}

// A status is announced when it changes, so it is touched only then.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function remembered() {
  try {
    const chat = JSON.parse(sessionStorage.getItem(KEY));
    return WAYS[chat?.way] && offered(chat.login) ? chat : null;
  } catch {
    return null;
  }
}

// Whether customers can log in there.
function offered(login) {
  return Boolean(LOGINS[login]) && !document.querySelector(`[name=login][value=${login}]`).disabled;
}

// A path on the channel of this chat.
function path(rest) {
  return LOGINS[chat.login].prefix + rest;
}

function save() {
  sessionStorage.setItem(KEY, JSON.stringify(chat));
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

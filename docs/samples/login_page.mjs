// What a login page does for chatgate, with Node's standard library alone (18 or newer).
//
//   const login = checkLoginUrl(rawQuery);                        // before anything else
//   …                                                             // the customer logs in
//   await postReturn(login, { outcome: "success", subject: "alice" }); // server to server, or
//   browserReturn(login, { outcome: "success", sub: "alice" });   // the URL to redirect to

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { argv, env } from "node:process";
import { pathToFileURL } from "node:url";

// One or two keys, separated by a blank; the first one signs, all verify.
const keys = env.CHATGATE_KEYS.split(" ").map((key) =>
  Buffer.from(key.replace("whsec_", ""), "base64"),
);

/** The parameters of a login URL; throws unless chatgate made it. */
export function checkLoginUrl(rawQuery) {
  const [, signed, signature] = /^(.*)&signature=([^&]*)$/s.exec(rawQuery) ?? [];
  const right = keys.some((key) => {
    const expected = Buffer.from(sign(key, `login-url:${signed}`, "hex"));
    const given = Buffer.from(signature ?? "");
    return expected.length === given.length && timingSafeEqual(expected, given);
  });
  if (!right) throw new Error("not a login URL of ours");
  return Object.fromEntries(new URLSearchParams(signed));
}

/** Tells chatgate how the login ended; throws when it refuses. */
export async function postReturn({ callback, token, channel }, result) {
  const body = JSON.stringify({ token, channel, ...result });
  const id = `msg_${randomBytes(12).toString("hex")}`;
  const now = seconds();
  const answer = await fetch(callback, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": `${now}`,
      "webhook-signature": `v1,${sign(keys[0], `${id}.${now}.${body}`, "base64")}`,
    },
    body,
    redirect: "error",
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** The URL to redirect the customer's browser to. */
export function browserReturn({ callback, token, channel }, result) {
  const iat = seconds();
  const payload = { token, channel, ...result, iat, exp: iat + 120 };
  const message = [{ alg: "HS256", typ: "JWT" }, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${callback}&return=${message}.${sign(keys[0], message, "base64url")}`;
}

function sign(key, message, encoding) {
  return createHmac("sha256", key).update(message).digest(encoding);
}

function seconds() {
  return Math.floor(Date.now() / 1000);
}

// login_page.mjs check|post|browser RAW_QUERY [OUTCOME [SUBJECT]]
if (import.meta.url === pathToFileURL(argv[1]).href) {
  const [action, query, outcome, subject] = argv.slice(2);
  const login = checkLoginUrl(query);
  if (action === "post") console.log(await postReturn(login, { outcome, subject }));
  if (action === "browser") console.log(browserReturn(login, { outcome, sub: subject }));
}

// Writes fuzz/seeds again, by node (20 or later) and the program zstd: node fuzz/seeds.mjs
//
// An input begins with what its target takes for itself, byte by byte (see there), and
// the rest is what somebody could have sent.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

const home = new URL("seeds/", import.meta.url);
rmSync(home, { recursive: true, force: true });

const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(typeof part === "number" ? [part] : part)));
const zstd = (text) => execFileSync("zstd", ["--quiet", "--stdout", "-"], { input: text });
const BOM = "\ufeff";

function seeds(target, inputs) {
  mkdirSync(new URL(target, home), { recursive: true });
  for (const [name, input] of Object.entries(inputs)) {
    writeFileSync(new URL(`${target}/${name}`, home), input);
  }
}

const json = {
  object: '{"sender":"s1","message":"good morning","metadata":{"customer":"alice","n":-1.5e3}}',
  flagged: '[{"recipient_id":"s1","text":"Please log in","a":{"flag":true}},{"a":{"flag":"yes"}}]',
  escaped: '{"\\u0061":{"\\u0066lag":"yes","fl\\u0061g":1},"A\\/\\"":"\\ud83d\\ude00 \\n"}',
  duplicate: '{"a":{"flag":"theirs"},"a":{"flag":"yes","flag":false},"\\u0061":null}',
  nested: '{"a":[[[{"a":{"b":{"flag":[]}}}]]],"b":[{},[],"",0,true,null]}',
  surrogate: '{"a":{"flag":"\\ud83d"},"b":"\\udc00\\ud800"}',
  marked: BOM + ' {"a":{"flag":"yes"}} \r\n',
  large: '{"a":{"flag":1e400},"n":123456789012345678901234567890}',
};
seeds("json", json);
seeds("edit", { ...json, absent: '{"a":{}}', other: '{"a":"no object"}', empty: "{}" });

seeds("target", {
  plain: "/webhooks/rest/webhook",
  query: "a=1&b=%20x+y&a=%00;c=d&&=",
  escaped: "/chats/%E2%82%AC/%41%zz",
  twice: "/chats/%252e%252e/%255c",
  dots: "/a/../b/./c//d",
  encoded: "/a/%2e%2E/b%2Fc%5Cd;v=1#e",
  broken: "/a/%c0%ae/%ff/%e2%82",
});

seeds("select", {
  query: "a=s1&b=2&%61=s1\n\n",
  cookies: "x=1\na=s1; b=\"two\"\n a = s2;;a\n\n",
  json: "a\na=\n\n" + '{"b":[{"a":"s1"},{"\\u0061":7}]}',
  duplicate: "a=&a\n\n" + '{"a":"s1","a":"s2"}',
  form: "\n\na=s1&b=%zz&a=%73%31+",
  all: 'a=s1\na=s1; a="s1"\n\n{"a":"s1"}',
});

const multipart = (...parts) => parts.map((part) => `--b\r\n${part}\r\n`).join("") + "--b--\r\n";
const field = (name, value, more = "") => `Content-Disposition: form-data; name=${name}${more}\r\n\r\n${value}`;
seeds("form", {
  form: bytes(5, "a.b=theirs&c=d&a%2Eb=x+y&e"),
  brackets: bytes(9, "a[b]=theirs&A[B]=1&a%5Bb%5D=2;a[b][]=3&&=&a"),
  multipart: bytes(30, multipart(field('"a.b"', "theirs"), field('"c"', "d"))),
  file: bytes(80, multipart(field('"f"', "\u0000\u0001--b-\r\n--", '; filename="a.txt"\r\nContent-Type: text/plain'), field("a[b]", "x"))),
  extended: bytes(44, multipart(field("\"x\"", "1", "; name*=UTF-8''a%2Eb"), field('"a\\.b"', "2"))),
  around: bytes(12, "before\r\n" + multipart(field('"c"', "d")).replace("--b\r\n", "--b \t\r\n") + "after\r\n--b"),
  torn: bytes(60, multipart(field('"c"', "d"), field('"a.b"', "theirs")).slice(0, -9)),
  boundary: bytes(0, 'multipart/form-data; boundary="a b\\"c"; charset=utf-8'),
});

// Format (events, lines, records), cap, size of the chunks.
seeds("stream", {
  events: bytes(0, 255, 7, 'data: {"text":"Hello"}\n\nid: 1\nevent: end\ndata: {"flag":true}\n\n'),
  several: bytes(0, 255, 3, BOM + ': comment\r\ndata:{"a":\r\ndata: 1}\r\nretry: 10\r\n\r\ndata\r\rdata: [DONE]\n\n'),
  over: bytes(0, 16, 5, 'data: {"text":"longer than that cap"}\n\ndata: {}\n\n'),
  unfinished: bytes(0, 255, 2, 'data: 1\n\ndata: {"text":"torn'),
  lines: bytes(1, 255, 4, '{"response":"Hel"}\r\n{"response":"lo"}\n\n{"done":true}'),
  long: bytes(1, 8, 3, '{"response":"Hello"}\n{}\n'),
  records: bytes(2, 255, 6, '\x1e{"n":1}\n\x1e[2]\n\x1e\x1e{"torn":'),
  mixed: bytes(2, 12, 1, 'before\x1e{"text":"Hello there"}\n\x1enull\n'),
});

// A frame whose payload is shorter than 64 KiB; a mask makes it the client's.
function frame(first, payload, mask) {
  const data = Buffer.from(payload);
  const flag = mask ? 0x80 : 0;
  const length = data.length < 126 ? [flag | data.length] : [flag | 126, data.length >> 8, data.length & 255];
  const masked = mask ? data.map((byte, at) => byte ^ mask[at % 4]) : data;
  return bytes(first, length, mask ?? [], masked);
}
const MASK = [0x37, 0xfa, 0x21, 0x3d];
const ours = (first, payload) => frame(first, payload, MASK);
// Size of the chunks less one, whether the client speaks.
seeds("websocket", {
  text: bytes(4, 0, frame(0x81, '{"text":"Hello"}'), frame(0x81, "")),
  masked: bytes(2, 1, ours(0x81, '{"message":"statement"}'), ours(0x82, [0, 255, 1])),
  fragments: bytes(6, 0, frame(0x01, '{"te'), frame(0x89, "ping"), frame(0x00, 'xt":"Hel'), frame(0x80, 'lo"}')),
  over: bytes(9, 0, frame(0x81, "x".repeat(200)), frame(0x01, "y".repeat(50)), frame(0x80, "z".repeat(50))),
  close: bytes(0, 1, ours(0x8a, "pong"), ours(0x88, bytes(3, 232, "bye")), ours(0x81, "late")),
  character: bytes(1, 0, frame(0x01, [0xe2, 0x82]), frame(0x80, [0xac]), frame(0x81, [0xc0, 0xae])),
  reserved: bytes(3, 0, frame(0xc1, "packed"), frame(0x83, "?"), frame(0x09, "torn")),
  unmasked: bytes(3, 1, frame(0x81, "from a client")),
});

// Coding (gzip, deflate, br, zstd), size of the chunks less one.
const text = '{"response":"Hello, Alice"}\n'.repeat(4);
const [gzip, zlib, brotli, standard] = [gzipSync, deflateSync, brotliCompressSync, zstd].map((pack) => pack(text));
seeds("unpack", {
  gzip: bytes(0, 9, gzip),
  members: bytes(0, 6, gzip, gzipSync("and more\n"), gzipSync("")),
  behind: bytes(0, 12, gzip, "not packed"),
  torn: bytes(0, 20, gzip.subarray(0, -6)),
  bomb: bytes(0, 255, gzipSync(Buffer.alloc(200_000))),
  deflate: bytes(1, 4, zlib),
  brotli: bytes(2, 7, brotli),
  "brotli-behind": bytes(2, 3, brotli, "x"),
  zstd: bytes(3, 5, standard),
  frames: bytes(3, 8, standard, zstd("and more\n")),
});

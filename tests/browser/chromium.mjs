// Chromium, as the scripts beside this one drive it.

import { chromium } from "playwright-core";

// What a headless one without a sandbox takes, and nothing that calls home.
export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

export function step(what) {
  console.log("# " + what);
}

import { defineConfig } from "@playwright/test";
import { existsSync } from "node:fs";

const browsers = ["/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"];
const executablePath = process.env["CHROMIUM"] ?? browsers.find(existsSync);
if (executablePath === undefined) throw new Error("Chromium is not here: install it, or name it in CHROMIUM.");

export default defineConfig({
  testMatch: process.env["REPLICAS"] ? "replicas.ts" : "*.spec.ts",
  outputDir: "results",
  workers: 1,
  retries: 0,
  // A machine that builds meanwhile stands still for seconds: whatever lasts is waited for longer than that.
  timeout: 120_000,
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: "list",
  use: {
    // In containers neither root nor anybody else can make the namespaces of the sandbox, and all pages are ours.
    launchOptions: { executablePath, args: ["--no-sandbox"] },
    // Of an API that asks who somebody is: make dashboard-replicas.
    ...(process.env["ACCEPT_TOKEN"] && { extraHTTPHeaders: { Authorization: `Bearer ${process.env["ACCEPT_TOKEN"]}` } }),
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
  },
});

// Runs the unit tests, src/**/*.test.ts, with node's own runner, which knows no TypeScript: each is bundled first.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const tests = (await readdir("src", { recursive: true })).filter((name) => /\.test\.tsx?$/.test(name));
const outdir = await mkdtemp(join(tmpdir(), "telltale-web-"));
try {
  await build({
    entryPoints: tests.map((name) => join("src", name)),
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const files = (await readdir(outdir, { recursive: true })).filter((name) => name.endsWith(".mjs"));
  const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files.map((name) => join(outdir, name))], { stdio: "inherit" });
  process.exitCode = run.status ?? 1;
} finally {
  await rm(outdir, { recursive: true });
}

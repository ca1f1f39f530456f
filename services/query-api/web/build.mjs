// Builds the dashboard into dist/: scripts and styles with names that change with their content, each compressed, and
// the page that loads them. It fails when a visitor of all pages would load more than LIMIT.
import { build } from "esbuild";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const LIMIT = 90 * 1024; // bytes of all script and style, in gzip

for (const name of await readdir("dist")) {
  if (name !== ".gitignore") await rm(`dist/${name}`, { recursive: true });
}
const { metafile } = await build({
  entryPoints: { main: "src/main.tsx", style: "src/style.css", icon: "src/icon.svg" },
  outdir: "dist/assets",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  bundle: true,
  splitting: true, // a page is loaded when somebody opens it
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

let total = 0;
for (const path of Object.keys(metafile.outputs).sort()) {
  const zipped = gzipSync(await readFile(path), { level: 9 });
  if (/\.(js|css)$/.test(path)) {
    total += zipped.length;
    console.log(`${String(zipped.length).padStart(6)}  ${path}`);
  }
  // The program has it compressed only: it unpacks it for the rare client that does not take gzip.
  await writeFile(`${path}.gz`, zipped);
  await rm(path);
}
console.log(`${String(total).padStart(6)}  bytes of script and style in gzip, of ${LIMIT}`);
if (total > LIMIT) throw new Error("The dashboard has become too large.");

const built = (source) => {
  const found = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === source || source in output.inputs);
  return found[0].replace(/^dist/, "");
};
const main = built("src/main.tsx");
const needed = metafile.outputs[`dist${main}`].imports.filter((i) => i.kind === "import-statement").map((i) => i.path.replace(/^dist/, ""));
const page = (await readFile("src/index.html", "utf8"))
  .replace("{main}", main)
  .replace("{style}", built("src/style.css"))
  .replace("{icon}", built("src/icon.svg"))
  .replace("{preloads}", needed.map((path) => `<link rel="modulepreload" href="${path}">`).join("\n  "));
await writeFile("dist/index.html", page);

// Builds the page: types from the API's document, one script, one style sheet, no source maps, no hashes.
// `node build.mjs` writes ../dist and src/api.ts; `node build.mjs FOLDER` writes everything to FOLDER,
// where a test compares it with what is committed. The same input gives the same bytes.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const elsewhere = process.argv[2];
const dist = elsewhere ?? join(here, "../dist");
const types = elsewhere ? join(elsewhere, "api.ts") : join(here, "src/api.ts");

/** The TypeScript type of one JSON schema. */
function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.oneOf) return schema.oneOf.map(typeOf).join(" | ");
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  const kinds = [schema.type ?? "unknown"].flat();
  return kinds.map((kind) => typeOfKind(kind, schema)).join(" | ");
}

function typeOfKind(kind, schema) {
  switch (kind) {
    case "integer":
      return "number";
    case "array": {
      const item = typeOf(schema.items);
      return item.includes("|") ? `(${item})[]` : `${item}[]`;
    }
    case "object":
      return schema.additionalProperties
        ? `{ [name: string]: ${typeOf(schema.additionalProperties)} }`
        : "{ [name: string]: unknown }";
    default:
      return kind;
  }
}

const comment = (schema, indent) =>
  schema.description ? `${indent}/** ${schema.description.replace(/\s+/g, " ")} */\n` : "";

function declare([name, schema]) {
  if (!schema.properties) return `${comment(schema, "")}export type ${name} = ${typeOf(schema)};\n`;
  const required = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(
    ([key, value]) =>
      `${comment(value, "  ")}  ${key}${required.has(key) ? "" : "?"}: ${typeOf(value)};\n`,
  );
  return `${comment(schema, "")}export interface ${name} {\n${lines.join("")}}\n`;
}

function generateTypes() {
  const document = JSON.parse(readFileSync(join(here, "../openapi.json"), "utf8"));
  const schemas = Object.entries(document.components.schemas);
  const head = "// Generated from ../openapi.json by build.mjs; do not edit.\n\n";
  return head + schemas.map(declare).join("\n");
}

mkdirSync(dist, { recursive: true });
writeFileSync(types, generateTypes());
await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.tsx" },
  outdir: dist,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
});
for (const name of ["index.html", "icon.svg"]) copyFileSync(join(here, "src", name), join(dist, name));

// Reads an AsyncAPI document on standard input, prints what the official parser finds wrong, ends with 1 if anything is.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const errors = diagnostics.filter((one) => one.severity === 0);
for (const error of errors) console.error(`${error.path.join(".")}: ${error.message}`);
if (errors.length > 0 || document === undefined) process.exit(1);
console.log([...document.allMessages()].length);

// Runs the page's preprocessing on images from stdin: node preprocess_cases.mjs preprocess.js < cases
// Each case is a line of JSON; base64 in, base64 out, the normalized floats after the pixels.
import { readFileSync } from "node:fs";

const source = readFileSync(process.argv[2]).toString("base64");
const { crop, normalize, rounded } = await import(`data:text/javascript;base64,${source}`);
const base64 = (array) => Buffer.from(array.buffer).toString("base64");

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const { data, width, height, config } = JSON.parse(line);
  const pixels = crop(Buffer.from(data, "base64"), width, height, config);
  console.log(JSON.stringify([base64(rounded(pixels)), base64(normalize(pixels, config))]));
}

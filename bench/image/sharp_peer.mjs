// sharp as a contender: node sharp_peer.mjs FOLDER SECONDS OUTPUT_FOLDER|- QUALITY [SIDE] [mozjpeg], see contender.cc.
// Its own defaults: optimised Huffman codes, 4:2:0 (4:4:4 at quality 100, where pixels are compared), shrink-on-load.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";

const [folder, seconds, output, quality, ...rest] = process.argv.slice(2);
const mozjpeg = rest.includes("mozjpeg");
const side = Number(rest.find((word) => word !== "mozjpeg") ?? 0);
sharp.concurrency(1);
sharp.cache(false);

const options = { quality: Number(quality), mozjpeg, chromaSubsampling: quality === "100" ? "4:4:4" : "4:2:0" };
function convert(source) {
  const picture = side > 0 ? sharp(source).resize(side, side, { fit: "inside" }) : sharp(source);
  return picture.jpeg(options).toBuffer();
}

// User and system time of all threads, in microseconds.
function cpuTime() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const names = readdirSync(folder).sort();
const sources = names.map((name) => readFileSync(join(folder, name)));
let bytes = 0;
if (output !== "-") mkdirSync(output, { recursive: true });
for (const [index, source] of sources.entries()) {
  const file = await convert(source);
  bytes += file.length;
  if (output !== "-") writeFileSync(join(output, names[index]), file);
}
let pictures = 0;
const start = cpuTime();
while (cpuTime() - start < Number(seconds) * 1e6) {
  for (const source of sources) await convert(source);
  pictures += sources.length;
}
const cpuMs = pictures === 0 ? 0 : (cpuTime() - start) / 1e3 / pictures;
console.log(JSON.stringify({ pictures: sources.length, cpu_ms: cpuMs, bytes: bytes / sources.length, version: sharp.versions }));

// sharp as a contender: node sharp_peer.mjs FOLDER SECONDS OUTPUT_FOLDER|- QUALITY SIDE FORMAT, see contender.cc.
// SIDE 0 keeps the size; FORMAT is jpeg, mozjpeg, webp, avif or png. Its own defaults: optimised Huffman codes, 4:2:0 (4:4:4 at
// quality 100, where pixels are compared), shrink-on-load; but AVIF, whose own effort takes 6 s a picture, is asked for little effort.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";

const [folder, seconds, output, quality, side, form] = process.argv.slice(2);
sharp.concurrency(1);
sharp.cache(false);

function encoded(picture) {
  if (form === "png") return picture.png();
  if (form === "webp") return picture.webp({ quality: Number(quality) });
  if (form === "avif") return picture.avif({ quality: Number(quality), effort: 1, chromaSubsampling: "4:2:0" });
  const chromaSubsampling = quality === "100" ? "4:4:4" : "4:2:0";
  return picture.jpeg({ quality: Number(quality), mozjpeg: form === "mozjpeg", chromaSubsampling });
}

function convert(source) {
  const picture = sharp(source);
  return encoded(side === "0" ? picture : picture.resize(Number(side), Number(side), { fit: "inside" })).toBuffer();
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
console.log(JSON.stringify({ pictures: sources.length, cpu_ms: cpuMs, bytes: bytes / sources.length }));

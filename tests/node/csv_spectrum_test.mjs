// P36: the acid tests of npm's csv-spectrum, read by Pixmill's reader.
//
// usage: node csv_spectrum_test.mjs CSV_DUMP
import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import spectrum from "csv-spectrum";

// In 2.0.0 one answer does not belong to its file: an object instead of a list, with another telephone number.
function corrected(name, answer) {
  return name === "location_coordinates" ? [{ ...answer, "Contact Phone Number": "2095257564" }] : answer;
}

const program = process.argv[2];

function read(csv, skipSpaces, pieceBytes) {
  const head = Buffer.from(`44 ${skipSpaces} ${pieceBytes} ${csv.length}\n`);
  return JSON.parse(execFileSync(program, { input: Buffer.concat([head, csv]), maxBuffer: 64 << 20 }).toString());
}

function asObjects({ records, error }) {
  if (error !== undefined) return { error };
  const [header, ...rows] = records;
  return rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i] ?? ""])));
}

spectrum((problem, cases) => {
  if (problem) throw problem;
  let passed = 0;
  let failed = 0;
  for (const { name, csv, json } of cases) {
    const want = corrected(name, JSON.parse(json.toString()));
    for (const skipSpaces of [0, 1]) {
      for (const pieceBytes of [1, 65536]) {
        const got = asObjects(read(csv, skipSpaces, pieceBytes));
        if (isDeepStrictEqual(got, want)) {
          passed += 1;
        } else {
          failed += 1;
          console.log(`${name}: ${JSON.stringify(got)} is not ${JSON.stringify(want)}`);
        }
      }
    }
  }
  console.log(`csv-spectrum: ${passed} passed, ${failed} failed (${cases.length} files)`);
  process.exit(failed === 0 && cases.length >= 10 ? 0 : 1);
});

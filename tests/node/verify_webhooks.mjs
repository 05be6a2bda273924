// Verifies webhook deliveries with the reference implementation of Standard Webhooks. Reads one JSON object per line from
// standard input: {secret, headers, body (base64)}; prints {"verified": n, "refused": n} after every delivery has verified and
// every tampered copy of it has been refused, else the reason, with exit code 1.
import { Webhook } from "standardwebhooks";

const input = [];
for await (const chunk of process.stdin) input.push(chunk);
const deliveries = Buffer.concat(input).toString("utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));

function tamperings({ secret, headers, body }) {
  const changed = Buffer.from(body);
  changed[changed.length >> 1] ^= 1;
  const other = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  const later = String(Number(headers["webhook-timestamp"]) + 1);
  return {
    "a changed byte": { secret, headers, body: changed },
    "a byte more": { secret, headers, body: Buffer.concat([body, Buffer.from(" ")]) },
    "another secret": { secret: other, headers, body },
    "another id": { secret, headers: { ...headers, "webhook-id": `${headers["webhook-id"]}x` }, body },
    "another time": { secret, headers: { ...headers, "webhook-timestamp": later }, body },
  };
}

let refused = 0;
for (const [index, delivery] of deliveries.entries()) {
  const genuine = { ...delivery, body: Buffer.from(delivery.body, "base64") };
  try {
    new Webhook(genuine.secret).verify(genuine.body.toString("utf8"), genuine.headers);
  } catch (error) {
    console.log(`delivery ${index}: ${error.message}`);
    process.exit(1);
  }
  for (const [what, { secret, headers, body }] of Object.entries(tamperings(genuine))) {
    try {
      new Webhook(secret).verify(body.toString("latin1"), headers);
    } catch {
      refused += 1;
      continue;
    }
    console.log(`delivery ${index}: ${what} was accepted`);
    process.exit(1);
  }
}
console.log(JSON.stringify({ verified: deliveries.length, refused }));

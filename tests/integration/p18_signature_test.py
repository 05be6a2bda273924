"""P18: the npm package `standardwebhooks` verifies every delivery and refuses every tampered one."""

import base64
import json
import pathlib
import subprocess

from support import case, pixmill, webhook_receiver

VERIFIER = pathlib.Path(__file__).resolve().parents[1] / "node" / "verify_webhooks.mjs"
NAMES = ["Plain", "Ünïcödé ✓ 漢字", "<script>alert(1)</script>", "\"quoted\" & 'apostrophe'", "tab\there", "=SUM(A1)", "back\\slash"]


class P18(case.Case):
    def test_the_reference_implementation_verifies_every_delivery(self):
        origin, secret = self.origin(), webhook_receiver.new_secret(b"p18")
        receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        server = self.use(pixmill.Server(self.folder / "data", "--webhook-secret", secret))
        count = 0
        for name in NAMES:
            quoted = '"' + name.replace('"', '""') + '"'
            urls = [f"{origin.url}/pic/{count}", f"{origin.url}/status/404/{count}"]
            server.upload(pixmill.table(urls, products=[quoted] * 2), webhook_url=receiver.url)
            count += 1
        for kind in ("/pic/ok", "/status/404/all", "/lying/all"):
            answer = server.post("/v1/jobs", {"webhook_url": receiver.url, "name": "über ✓"},
                                 {"file": ("t.csv", f"url\n{origin.url}{kind}\n".encode())})
            self.assertIn(answer.status, (201, 202), answer)
            count += 1
        deliveries = receiver.wait_for(count)
        self.assertEqual({None}, {delivery.problem for delivery in deliveries})
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        lines = [json.dumps({"secret": secret, "headers": {n: d.headers[n] for n in names}, "body": base64.b64encode(d.body).decode()})
                 for d in deliveries]
        done = subprocess.run(["node", VERIFIER], input="\n".join(lines), capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertEqual({"verified": count, "refused": 5 * count}, json.loads(done.stdout))

    def test_the_secret_is_made_once_kept_sealed_and_shown_on_request(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        shown = pixmill.run_command("webhooks", "secret", "--data", server.data)
        self.assertEqual(0, shown.returncode, shown.stderr)
        secret = shown.stdout.strip()
        self.assertRegex(secret, r"^whsec_[A-Za-z0-9+/]{32,}=*$")
        self.assertEqual(0o600, (server.data / "master.key").stat().st_mode & 0o777)
        for path in server.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(secret.removeprefix("whsec_").encode(), path.read_bytes(), path)
        self.assertNotIn(secret, server.log_text())
        receiver = self.use(webhook_receiver.WebhookReceiver(secret))
        origin = self.origin()
        server.kill()
        server.start()
        server.upload(pixmill.table([f"{origin.url}/pic/1"]), webhook_url=receiver.url)
        self.assertIsNone(receiver.wait_for(1)[0].problem)


case.main()

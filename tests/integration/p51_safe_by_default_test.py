"""P51: safe by default: it listens on this machine alone, and elsewhere only when told that nobody needs a key."""

import pathlib
import re

from support import case, pixmill


def listening_addresses(pid):
    """Local addresses (hexadecimal, as /proc shows them) of the process's listening sockets."""
    inodes = set()
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.match(r"socket:\[(\d+)\]", str(descriptor.readlink()))
        except OSError:
            continue
        if match:
            inodes.add(match.group(1))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                found.add(words[1].split(":")[0])
    return found


class P51(case.Case):
    def test_it_listens_on_the_loopback_alone(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        self.assertEqual({"0100007F"}, listening_addresses(server.pid))

    def test_another_address_is_refused_without_keys(self):
        for host in ("0.0.0.0", "::", "192.0.2.1"):
            done = pixmill.run_command("serve", "--host", host, "--port", "0", "--data", self.folder / "d")
            self.assertEqual(2, done.returncode, done.stderr)
            self.assertIn("--no-auth", done.stderr)
        self.assertFalse((self.folder / "d").exists())

    def test_every_address_is_refused_without_one_for_links(self):
        for host in ("0.0.0.0", "::"):
            done = pixmill.run_command("serve", "--host", host, "--no-auth", "--port", "0", "--data", self.folder / "d")
            self.assertEqual(2, done.returncode, done.stderr)
            self.assertIn("PUBLIC_BASE_URL", done.stderr)
        self.assertFalse((self.folder / "d").exists())

    def test_no_auth_is_the_way_to_say_it(self):
        server = self.use(pixmill.Server(self.folder / "data", "--host", "0.0.0.0", "--no-auth",
                                         env={"PUBLIC_BASE_URL": "http://images.example"}, start=False))
        server.start(ready=False)
        self.assertEqual({"00000000"}, listening_addresses(server.pid))
        server.connect_to("127.0.0.1")
        self.assertEqual(200, server.get("/healthz").status)
        job_id = server.upload(pixmill.table(["http://127.0.0.1:1/x.jpg"]))
        links = [line for line in server.get(f"/v1/jobs/{job_id}").text.split('"') if line.startswith("http")]
        self.assertTrue(links)
        for link in links:
            self.assertTrue(link.startswith("http://images.example/"), link)

    def test_addresses_that_are_not_public_are_not_fetched_by_default(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data", allow=None))
        urls = [f"{origin.url}/pic/1", f"http://localhost:{origin.port}/pic/2", f"http://2130706433:{origin.port}/pic/3"]
        body = "".join(f"{url}\n" for url in urls)
        answer = server.post("/v1/jobs", fields={"skip_invalid": "true"}, files={"file": ("t.csv", f"url\n{body}".encode())})
        self.assertIn(answer.status, (201, 202), answer)
        job = server.wait_final(answer.json["id"])
        self.assertEqual(0, job["succeeded"], job)
        self.assertEqual({"blocked_address"}, {pixmill.code_of(item) for item in server.items(job["id"])})
        self.assertEqual(0, origin.total)

    def test_a_webhook_to_such_an_address_is_not_sent(self):
        origin = self.origin()
        server = self.use(pixmill.Server(self.folder / "data", allow=None))
        answer = server.post("/v1/jobs", fields={"webhook_url": f"{origin.url}/hook"},
                             files={"file": ("t.csv", b"url\nhttp://192.0.2.1/x.jpg\n")})
        self.assertIn(answer.status, (400, 422), answer)
        self.assertEqual(0, origin.total)


case.main()

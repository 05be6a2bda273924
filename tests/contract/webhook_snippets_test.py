"""docs/WEBHOOKS.md is true: its functions judge a real delivery as they should, in every language that this machine runs."""

import base64
import collections
import hashlib
import hmac
import json
import pathlib
import re
import shutil
import subprocess

from support import case, pixmill, webhook_receiver

DOCUMENT = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "WEBHOOKS.md").read_text(encoding="utf-8")
SECRET = webhook_receiver.new_secret(b"snippets")

# What a function of the document is asked, by a program of its language: reads lines of secret, id, timestamp, signatures and base64
# of the body, separated by tabs; prints 1 or 0 for each. `%s` is where the function goes.
PYTHON = """%s
import sys
for line in sys.stdin:
    *said, body = line.rstrip("\\n").split("\\t")
    print(int(verify(*said, base64.b64decode(body))))
"""
JAVASCRIPT = """%s
import { readFileSync } from "node:fs";
for (const line of readFileSync(0, "utf8").split("\\n").filter(Boolean)) {
  const [secret, id, timestamp, signatures, body] = line.split("\\t");
  console.log(verify(secret, id, timestamp, signatures, Buffer.from(body, "base64")) ? 1 : 0);
}
"""
GO = """package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"example/webhooks"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\\t")
		body, _ := base64.StdEncoding.DecodeString(f[4])
		if webhooks.Verify(f[0], f[1], f[2], f[3], body) {
			fmt.Println(1)
		} else {
			fmt.Println(0)
		}
	}
}
"""
PHP = """<?php
%s
while (($line = fgets(STDIN)) !== false) {
    [$secret, $id, $timestamp, $signatures, $body] = explode("\\t", rtrim($line, "\\n"));
    echo verify($secret, $id, $timestamp, $signatures, base64_decode($body)) ? 1 : 0, "\\n";
}
"""
JAVA = """import java.io.*;
import java.util.Base64;

final class Main {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line; (line = lines.readLine()) != null;) {
            String[] f = line.split("\\t", -1);
            System.out.println(Webhooks.verify(f[0], f[1], f[2], f[3], Base64.getDecoder().decode(f[4])) ? 1 : 0);
        }
    }
}
"""
GO_SETTINGS = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod"}

# tools: what must be on the machine; files: name and program; build and run: commands in the files' folder.
Language = collections.namedtuple("Language", "tools files build run")
LANGUAGES = {
    "python": Language(["/usr/bin/python3"], {"verify.py": PYTHON}, [], ["/usr/bin/python3", "verify.py"]),
    "javascript": Language(["node"], {"verify.mjs": JAVASCRIPT}, [], ["node", "verify.mjs"]),
    "go": Language(["go"], {"webhooks/webhooks.go": "%s", "main.go": GO, "go.mod": "module example\n\ngo 1.19\n"},
                   ["go", "build", "-o", "verify", "."], ["./verify"]),
    "php": Language(["php"], {"verify.php": PHP}, [], ["php", "verify.php"]),
    "java": Language(["java", "javac"], {"Webhooks.java": "%s", "Main.java": JAVA}, ["javac", "Main.java", "Webhooks.java"],
                     ["java", "-cp", ".", "Main"]),
}


def snippets():
    return dict(re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))


def signature(key, event_id, timestamp, body):
    return "v1," + base64.b64encode(hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()).decode()


def cases_of(delivery):
    """{what it is: (whether it is to be accepted, (secret, id, timestamp, signatures, body))}"""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    event_id, timestamp, good = (delivery.headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))
    body, sent = delivery.body, int(timestamp)
    changed = body.replace(b'"failed":0', b'"failed":1')
    other = webhook_receiver.new_secret(b"another")

    def signed(at, with_key=key):
        return event_id, str(at), signature(with_key, event_id, at, body), body

    refused = {
        "a changed body": (SECRET, event_id, timestamp, good, changed),
        "a byte more": (SECRET, event_id, timestamp, good, body + b"\n"),
        "the wrong secret": (other, event_id, timestamp, good, body),
        "another id": (SECRET, event_id + "0", timestamp, good, body),
        "another time": (SECRET, event_id, str(sent + 1), good, body),
        "an old timestamp, signed": (SECRET, *signed(sent - 310)),
        "a timestamp of next week, signed": (SECRET, *signed(sent + 7 * 86400)),
        "a timestamp beyond all numbers, signed": (SECRET, *signed("9" * 30)),
        "a timestamp that is no number, signed": (SECRET, *signed(f"{sent}s")),
        "no timestamp": (SECRET, event_id, "", good, body),
        "no signature": (SECRET, event_id, timestamp, "", body),
        "a signature of another version": (SECRET, event_id, timestamp, "v2" + good.removeprefix("v1"), body),
        "a signature without its version": (SECRET, event_id, timestamp, good.removeprefix("v1,"), body),
        "half a signature": (SECRET, event_id, timestamp, good[:-20], body),
        "no secret, signed with an empty key": ("", *signed(sent, b"")),
        "a secret without a key, signed with an empty key": ("whsec_", *signed(sent, b"")),
    }
    accepted = {
        "as it came": (SECRET, event_id, timestamp, good, body),
        "its signature behind two others": (SECRET, event_id, timestamp, f"v1a,AAAA {signature(b'x' * 32, event_id, sent, body)} {good}", body),
        "two minutes old": (SECRET, *signed(sent - 120)),
    }
    return {**{what: (False, said) for what, said in refused.items()}, **{what: (True, said) for what, said in accepted.items()}}


def shape(document):
    """The keys of a JSON document, below each other."""
    return {key: shape(value) for key, value in document.items()} if isinstance(document, dict) else None


class WebhookSnippets(case.Case):
    def setUp(self):
        super().setUp()
        self.pictures = self.origin()
        self.receiver = self.use(webhook_receiver.WebhookReceiver(SECRET))
        self.server = self.use(pixmill.Server(self.folder / "data", "--webhook-secret", SECRET))

    def delivery(self):
        """A new one, just sent."""
        before = len(self.receiver.deliveries)
        answer = self.server.post("/v1/jobs", {"webhook_url": self.receiver.url, "name": "Ünïcödé ✓"},
                                  {"file": ("t.csv", f"url\n{self.pictures.url}/pic/1\n".encode())})
        self.assertEqual(201, answer.status, answer)
        delivery = self.receiver.wait_for(before + 1)[before]
        self.assertIsNone(delivery.problem)
        return delivery

    def program(self, name, language):
        """Writes, and where need be builds, the program that asks the document's function."""
        folder = self.folder / name
        for file, text in language.files.items():
            self.write(f"{name}/{file}", text.replace("%s", snippets()[name]))
        self.settings = pixmill.environment(GO_SETTINGS if name == "go" else {})
        if language.build:
            built = subprocess.run(language.build, cwd=folder, env=self.settings, capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(0, built.returncode, built.stdout + built.stderr)
        return folder

    def judge(self, folder, language, cases):
        """{what: whether it was accepted}"""
        lines = ["\t".join((*said[:4], base64.b64encode(said[4]).decode())) for _, said in cases.values()]
        done = subprocess.run(language.run, cwd=folder, env=self.settings, input="\n".join(lines) + "\n", capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        verdicts = done.stdout.split()
        self.assertEqual(len(cases), len(verdicts), done.stdout)
        return {what: verdict == "1" for what, verdict in zip(cases, verdicts)}

    def test_every_function_judges_a_real_delivery(self):
        self.assertEqual(set(LANGUAGES), set(snippets()) - {"json"})
        ran, absent = [], []
        for name, language in LANGUAGES.items():
            if not all(shutil.which(tool) for tool in language.tools):
                absent.append(name)
                continue
            with self.subTest(name):
                folder = self.program(name, language)
                cases = cases_of(self.delivery())
                self.assertEqual({what: wanted for what, (wanted, _) in cases.items()}, self.judge(folder, language, cases))
                ran.append(name)
        print(f"ran: {', '.join(ran)}; not on this machine: {', '.join(absent) or 'none'}", flush=True)
        self.assertLessEqual({"python", "javascript"}, set(ran))

    def test_the_test_signs_as_the_server_does(self):
        delivery = self.delivery()
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        self.assertEqual(delivery.headers["webhook-signature"],
                         signature(key, delivery.headers["webhook-id"], delivery.headers["webhook-timestamp"], delivery.body))

    def test_what_is_sent_is_what_is_said(self):
        delivery = self.delivery()
        for header in re.findall(r"^\| `([\w-]+)` \| .* \|$", DOCUMENT.split("## What to answer")[0], re.MULTILINE):
            self.assertIn(header.lower(), delivery.headers)
        self.assertEqual("application/json", delivery.headers["content-type"])
        self.assertRegex(delivery.headers["user-agent"], r"^Pixmill/[\d.]+$")
        self.assertRegex(delivery.headers["webhook-id"], r"^evt_[0-9a-f-]{36}$")
        self.assertEqual(shape(json.loads(snippets()["json"])), shape(json.loads(delivery.body)))


case.main()

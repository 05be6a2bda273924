"""docs/postman: newman runs the collection against a real server, and the collection asks for every route that there is."""

import json
import pathlib
import re
import shutil
import subprocess

from support import case, pixmill, webhook_receiver

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "postman"
COLLECTION = FOLDER / "pixmill.postman_collection.json"
NEWMAN = ROOT / "tests" / "node" / "node_modules" / ".bin" / "newman"
PICTURES = "http://127.0.0.1:8099"  # what the tables in docs/postman name, and what the README there starts
SERVER = "http://127.0.0.1:8000"
PER_RUN_SECONDS = 180


def requests_of(item):
    """Every request below an item of a collection."""
    return [item] if "request" in item else [request for child in item["item"] for request in requests_of(child)]


def problems_of(report, expected):
    """Why a run proves nothing, or the opposite of what it should; `expected` are the requests that it must have made."""
    run = report["run"]
    found = [f"{failure['source'].get('name')}: {failure['error'].get('test')}: {failure['error']['message']}" for failure in run["failures"]]
    # One assertion at least of the request itself: the collection's own two stand beside it.
    asserted = {e["item"]["name"] for e in run["executions"] if len(e.get("assertions") or []) > 2}
    found += [f"{request['name']}: not run, or nothing asserted" for request in expected if request["name"] not in asserted]
    if not run["stats"]["assertions"]["total"] or run["stats"]["assertions"]["failed"]:
        found.append(f"assertions: {run['stats']['assertions']}")
    return found


def routes():
    """(method, pattern) of everything that the server answers, as its source says it."""
    found = set()
    for file in sorted((ROOT / "src" / "api").glob("*.cc")):
        if not file.name.endswith("_test.cc"):
            found |= set(re.findall(r'router\.add\(\s*"([A-Z]+)",\s*"([^"]+)"', file.read_text(encoding="utf-8")))
    return found


def fits(pattern, path):
    parts = [".+" if part.endswith("...}") else "[^/]+" if part.startswith("{") else re.escape(part) for part in pattern.split("/")]
    return re.fullmatch("/".join(parts) + "/?", path) is not None


def answered_well(report):
    """(method, path) of every request that was not refused."""
    return [(e["request"]["method"], "/" + "/".join(e["request"]["url"].get("path") or []))
            for e in report["run"]["executions"] if e.get("response", {}).get("code", 599) < 400]


class PostmanCollection(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not NEWMAN.exists():
            raise AssertionError("newman is not there: `npm ci` in tests/node, as ./run test does")
        cls.collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
        cls.folder_of_all = pathlib.Path(case.tempfile.mkdtemp(prefix="pixmill-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder_of_all, ignore_errors=True)
        secret = webhook_receiver.new_secret(b"postman")
        cls.pictures = cls.enterClassContext(case.Origin())
        cls.receiver = cls.enterClassContext(webhook_receiver.WebhookReceiver(secret))
        cls.server = cls.enterClassContext(pixmill.Server(cls.folder_of_all / "data", "--webhook-secret", secret))

    def setUp(self):
        super().setUp()
        self.postman = self.folder / "docs" / "postman"
        shutil.copytree(FOLDER, self.postman)
        for table in self.postman.glob("*.csv"):
            table.write_text(table.read_text().replace(PICTURES, self.pictures.url))

    def run_newman(self, *arguments, collection=COLLECTION, webhook=True):
        """(exit code, report, what it printed)"""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        variables = ["--env-var", f"base_url={self.server.base_url}"] + (["--env-var", f"webhook_url={self.receiver.url}"] if webhook else [])
        done = subprocess.run(
            [NEWMAN, "run", collection, "--working-dir", self.postman, *variables, "--timeout-request", "30000", "--color", "off",
             "--reporters", "cli,json", "--reporter-json-export", report, *arguments],
            capture_output=True, text=True, env=pixmill.environment(), timeout=PER_RUN_SECONDS, check=False)
        self.assertTrue(report.exists(), done.stdout + done.stderr)
        return done.returncode, json.loads(report.read_text(encoding="utf-8")), done.stdout + done.stderr

    def test_the_whole_collection(self):
        before = len(self.receiver.deliveries)
        code, report, said = self.run_newman()
        self.assertEqual([], problems_of(report, requests_of(self.collection)), said)
        self.assertEqual(0, code, said)
        deliveries = self.receiver.wait_for(before + 4)[before:]
        self.assertEqual({None}, {delivery.problem for delivery in deliveries})
        ids = [delivery.headers["webhook-id"] for delivery in deliveries]
        self.assertEqual(3, len(set(ids)), "the original's upload, the job and its second generation; one of them sent again")
        asked = answered_well(report)
        missing = [f"{method} {pattern}" for method, pattern in sorted(routes())
                   if not any(method == m and fits(pattern, path) for m, path in asked)]
        self.assertEqual([], missing, "routes that no request of the collection asks for with success")

    def test_each_folder_runs_alone(self):
        for folder in self.collection["item"]:
            with self.subTest(folder["name"]):
                code, report, said = self.run_newman("--folder", folder["name"])
                self.assertEqual([], problems_of(report, requests_of(folder)), said)
                self.assertEqual(0, code, said)

    def test_the_commands_of_its_readme(self):
        """Without a receiver, so the requests about webhooks are left out."""
        (self.folder / "tests").mkdir()
        (self.folder / "tests" / "node").symlink_to(ROOT / "tests" / "node")
        readme = (FOLDER / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines() if "newman run" in line]
        self.assertTrue(lines)
        for line in lines:
            self.assertIn(SERVER, line)
            done = subprocess.run(line.replace(SERVER, self.server.base_url), shell=True, cwd=self.folder, capture_output=True, text=True,
                                  env=pixmill.environment(), timeout=PER_RUN_SECONDS, check=False)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
            self.assertRegex(done.stdout, r"assertions │ +[1-9]\d* │ +0 │")

    def test_a_wrong_answer_is_found(self):
        """The collection with another idea of what hello says; then a folder without a request."""
        text = COLLECTION.read_text(encoding="utf-8")
        self.assertEqual(1, text.count('\\"Hello World\\"'))
        wrong = self.write("wrong.json", text.replace('\\"Hello World\\"', '\\"Goodbye\\"'))
        code, report, said = self.run_newman("--folder", "original platform", collection=wrong)
        self.assertNotEqual(0, code, said)
        self.assertIn("Goodbye", "\n".join(problems_of(report, requests_of(self.collection["item"][0]))))
        empty = self.write("empty.json", json.dumps({**self.collection, "item": []}))
        _, report, _ = self.run_newman(collection=empty)
        self.assertTrue(problems_of(report, []))

    def test_nothing_of_a_machine_is_in_it(self):
        """No path of somebody's folders, no key, and names that setNextRequest can tell apart."""
        text = COLLECTION.read_text(encoding="utf-8")
        self.assertNotRegex(text, r"/Users/|/home/|/work/|/tmp/|whsec_")
        names = [request["name"] for request in requests_of({"item": self.collection["item"]})]
        self.assertEqual(len(names), len(set(names)))
        for request in requests_of({"item": self.collection["item"]}):
            self.assertTrue(request["request"]["description"], request["name"])
            for part in request["request"].get("body", {}).get("formdata", []):
                if part["type"] == "file":
                    self.assertTrue((FOLDER / part["src"]).is_file(), part["src"])


case.main()

"""Every command that the README shows is run, as it is written, where it says what comes of it."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

from support import case, pictures, pixmill

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")



def commands():
    """The lines of the README's code blocks that are commands, without their comments."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            line = re.sub(r"\s+#.*", "", line).strip()
            if re.match(r"(\./run|build/release/pixmill|curl)\b", line):
                found.append(line)
    return found


class Readme(case.Case):
    def setUp(self):
        super().setUp()
        binary = self.folder / "build" / "release" / "pixmill"
        binary.parent.mkdir(parents=True)
        binary.symlink_to(pixmill.binary())
        origin = self.origin()
        self.write("products.csv", pixmill.table([f"{origin.url}/pic/{n}" for n in range(4)] + [f"{origin.url}/status/404/x"]))
        self.write("logo.png", pictures.png(pictures.photo(120, 60)))
        self.write("photos/one.jpg", pictures.jpeg(pictures.photo(640, 480)))
        self.write("photos/two.jpg", pictures.jpeg(pictures.photo(1200, 900)))

    def run_line(self, line):
        return subprocess.run(line, shell=True, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
                              env=pixmill.environment({**pixmill.QUICK, "FETCH_ALLOW": "127.0.0.0/8"}))

    def test_shows_commands(self):
        words = {line.split()[0] for line in commands()}
        self.assertEqual({"./run", "build/release/pixmill", "curl"}, words)
        self.assertGreater(len(commands()), 10)

    def test_tasks_are_there(self):
        listed = subprocess.run([ROOT / "run"], capture_output=True, text=True, check=True).stdout
        for line in commands():
            if line.startswith("./run"):
                self.assertRegex(listed, rf"(?m)^  {line.split()[1]}\b", line)

    def test_the_demo(self):
        self.assertIn("./run demo", commands())
        done = subprocess.run([sys.executable, ROOT / "demo" / "demo.py", "--binary", pixmill.binary(), "--out", self.folder / "demo"],
                              capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_commands_of_the_command_line(self):
        for line in commands():
            if not re.match(r"build/release/pixmill (?!serve)", line):
                continue
            done = self.run_line(line)
            # The table has one address that leads nowhere; a table is judged by its rows, not by what they lead to.
            expected = 3 if " run products.csv" in line else 0
            self.assertEqual(expected, done.returncode, f"{line}\n{done.stdout}{done.stderr}")
        for name in ("images", "result.csv", "images.csv"):
            self.assertTrue((self.folder / "out" / name).exists(), name)
        self.assertEqual([".webp"] * 4, [file.suffix for file in (self.folder / "web" / "images").rglob("*.*")])

    def test_commands_against_the_server(self):
        serve = [line for line in commands() if line.startswith("build/release/pixmill serve")]
        self.assertEqual(1, len(serve))
        server = self.use(pixmill.Server(self.folder / "pixmill-data"))
        self.assertEqual(shlex.split(serve[0])[1:], ["serve", "--data", "./pixmill-data"])
        job_id = None
        for line in commands():
            if not line.startswith("curl"):
                continue
            line = line.replace("http://127.0.0.1:8000", server.base_url).replace("JOB", job_id or "")
            done = self.run_line(line.replace("curl", "curl --fail-with-body --silent --show-error", 1))
            self.assertEqual(0, done.returncode, f"{line}\n{done.stdout}{done.stderr}")
            if job_id is None:
                job_id = re.search(r'"id":"([0-9a-f-]{36})"', done.stdout).group(1)
                server.wait_final(job_id)
        self.assertTrue([name for name in os.listdir(self.folder) if name.endswith(".csv") and name != "products.csv"], "curl -OJ kept a file")


case.main()

"""What one agreement about a host costs Redis (src/fetch/redis_fleet_limits.cc), by how many processes use the host: CPU of the server.
docs/SCALING.md builds on these figures.

    /usr/bin/python3 bench/micro/redis_cost.py
"""

import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLS = 20_000
REQUEST = ["4", "16", "256", "600000", "-1", "0"]  # under way, wanted, the host's limit, lasts for, no refusal


def script():
    text = (ROOT / "src" / "fetch" / "redis_fleet_limits.cc").read_text()
    return re.search(r'agree_script\(\) \{.*?R"lua\((.*?)\)lua"', text, re.DOTALL).group(1)


def main():
    with tempfile.TemporaryDirectory(prefix="pixmill-redis-") as folder:
        socket = f"{folder}/redis"

        def ask(*words):
            return subprocess.run(["redis-cli", "-s", socket, *words], capture_output=True, text=True, check=True).stdout.strip()

        def cpu_seconds():
            return sum(float(value) for value in re.findall(r"used_cpu_(?:sys|user):(\S+)", ask("INFO", "cpu")))

        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
                                  stdout=subprocess.PIPE, text=True)
        try:
            while "ready to accept" not in server.stdout.readline().lower():
                pass
            digest = ask("SCRIPT", "LOAD", script())
            for processes in (1, 11, 44, 87, 176):
                for number in range(processes):
                    ask("EVALSHA", digest, "1", f"host-{processes}", f"m{number}", *REQUEST)
                before = cpu_seconds()
                subprocess.run(["redis-benchmark", "-s", socket, "-n", str(CALLS), "-c", "20", "-q", "EVALSHA", digest, "1",
                                f"host-{processes}", "m0", *REQUEST], stdout=subprocess.DEVNULL, check=True)
                print(f"{processes} processes at a host: {(cpu_seconds() - before) * 1e6 / CALLS:.0f} µs of CPU an agreement")
        finally:
            server.terminate()
            server.wait(30)


main()

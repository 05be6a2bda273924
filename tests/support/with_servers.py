"""with_servers.py NAME... -- COMMAND...: runs COMMAND while the named servers (modules of tests/support/servers) live.

COMMAND finds their settings in its environment, each under the name Pixmill reads with TEST_ in front, so that a test
program decides for itself what uses them. Exits as COMMAND does."""

import contextlib
import importlib
import os
import subprocess
import sys


def main():
    end = sys.argv.index("--")
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        for name in sys.argv[1:end]:
            server = stack.enter_context(importlib.import_module(f"support.servers.{name}").Server())
            environment.update({f"TEST_{key}": value for key, value in server.settings().items()})
        return subprocess.run(sys.argv[end + 1:], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())

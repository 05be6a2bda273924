"""A redis-server that speaks TLS only, with a certificate of an authority of its own, where one user with the rights that
docs/OPERATIONS.md names may log in and the default user may not."""

import ssl
import subprocess

from support.servers import redis

USER, PASSWORD = "pixmill", "pass:word/@1"
RIGHTS = "~{pixmill:* &pixmill:* +@read +@write +@scripting +@connection +@pubsub -@dangerous +info +time"


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def make_certificates(folder, host):
    """ca.crt, and server.crt with server.key that it signed for `host`."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=Test authority")
    openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={host}")
    (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.crt",
            "-days", "2", "-extfile", "names")


class Server(redis.Server):
    def __init__(self, **config):
        super().__init__(**config)
        make_certificates(self.folder, "localhost")
        (self.folder / "users.acl").write_text(f"user default off\nuser {USER} on >{PASSWORD} {RIGHTS}\nuser tester on >tester ~* &* +@all\n")

    def listening(self):
        return {"port": 0, "tls-port": self.port, "tls-auth-clients": "no", "aclfile": "users.acl", "tls-cert-file": "server.crt",
                "tls-key-file": "server.key", "tls-ca-cert-file": "ca.crt"}

    def settings(self):
        return {"REDIS_URL": f"rediss://{USER}:pass%3Aword%2F%401@localhost:{self.port}/0", "REDIS_CA_FILE": str(self.folder / "ca.crt")}

    def login(self):
        return [("AUTH", "tester", "tester")]

    def connect(self):
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        return context.wrap_socket(super().connect(), server_hostname="localhost")

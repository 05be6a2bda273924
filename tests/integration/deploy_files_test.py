"""The files below deploy/ are true: what they start, set, ask and name is there in the program, its documents and its source."""

import re
import shutil
import subprocess

from support import case, pixmill
from support import deploy_files as files

# What the files use and this version may not have yet. An entry that is there all the same is tested like everything else;
# when nothing is missing any more this list is empty.
NOT_THERE_YET = {
    "commands": set(),
    "flags": set(),
    "settings": set(),
    "sources": set(),
}
# Set beside Pixmill's own, for others.
NOT_OURS = {"POSTGRES_PASSWORD": "PostgreSQL's image", "PORT": "Render looks there", "PIXMILL_IMAGE": "the name of the image"}
STOPS_WITHIN_SECONDS = 10


def source(path, must_hold=None):
    """The text of a source file or of the files of a folder; None for what is not there yet."""
    at = files.ROOT / path
    text = "".join(p.read_text() for p in sorted(at.glob("*"))) if at.is_dir() else at.read_text() if at.exists() else None
    label = f"{path}: {must_hold}" if must_hold else path
    if text is not None and (must_hold is None or must_hold in text):
        return text
    if label in NOT_THERE_YET["sources"]:
        return None
    raise AssertionError(f"{label} is not there")


class CommandLines(case.Case):
    def help_of(self, command):
        done = subprocess.run([pixmill.binary(), *command, "--help"], capture_output=True, text=True, timeout=60, check=False,
                              env=pixmill.environment(), cwd=self.folder)
        return done.stdout if done.returncode == 0 else None

    def test_are_accepted(self):
        seen = set()
        for where, (command, *words) in files.command_lines():
            seen.add(command)
            text = self.help_of([command])
            if text is None:
                self.assertIn(command, NOT_THERE_YET["commands"], f"{where}: there is no `pixmill {command}`")
            takes_value = False
            for word in words:
                if not word.startswith("--"):
                    self.assertTrue(takes_value, f"{where}: {word} belongs to nothing")
                    takes_value = False
                    continue
                listed = re.search(rf"^ +(?:-\w,)?{word}(?: ([A-Z]+\S*))?(?: |$)", text or "", re.MULTILINE)
                if not listed:
                    self.assertIn((command, word), NOT_THERE_YET["flags"], f"{where}: `pixmill {command}` has no {word}")
                takes_value = bool(listed.group(1)) if listed else True
        self.assertEqual({"serve", "work", "migrate"}, seen)

    def test_servers_listen_where_they_are_looked_for(self):
        self.assertIn("default 8000", self.help_of(["serve"]))
        self.assertIn("EXPOSE 8000", files.dockerfile())
        api = files.compose_services()["api"]
        self.assertEqual(["127.0.0.1:8000:8000"], api["ports"])
        for where, words in files.command_lines():
            if words[0] == "serve" and "--port" in words:
                self.assertEqual("8000", words[words.index("--port") + 1], where)


class Settings(case.Case):
    def test_are_documented(self):
        documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (files.ROOT / "docs" / "OPERATIONS.md").read_text()))
        for where, name in files.settings():
            if name not in documented and name not in NOT_OURS:
                self.assertIn(name, NOT_THERE_YET["settings"], f"{where}: {name} is not in docs/OPERATIONS.md")
        self.assertIn(("config.yaml", "REDIS_HOST"), files.settings())
        self.assertIn(("drain.yml", "DATABASE_URL"), files.settings())

    def test_hold_no_secrets(self):
        secret = re.compile(r"PASSWORD|SECRET|MASTER_KEY|DATABASE_URL")
        given = {f"compose, {name}, {key}": value for name, service in files.compose()["services"].items()
                 for key, value in service.get("environment", {}).items()}
        given.update({f"drain.yml, {key}": value for key, value in files.drain_job()["env"].items()})
        for where, value in given.items():
            if secret.search(where.split(", ")[-1]):
                self.assertIn("${", value, where)
        for name, thing in files.kubernetes_objects():
            self.assertNotEqual("Secret", thing["kind"], name)
            for key in thing.get("data", {}):
                self.assertIsNone(secret.search(key), f"{name}: {key} belongs into the secret")

    def test_every_process_of_a_fleet_has_the_same_key(self):
        for name in ("pixmill.env.example", "secrets.env.example", "render.yaml", "drain.yml"):
            self.assertIn((name, "PIXMILL_MASTER_KEY"), files.settings())

    def test_every_process_of_a_fleet_knows_how_links_begin(self):
        for name in ("compose, api", "compose, worker", "config.yaml", "drain.yml"):
            self.assertIn((name, "PUBLIC_BASE_URL"), files.settings())
        self.assertEqual(2, files.settings().count(("render.yaml", "PUBLIC_BASE_URL")))

    def test_the_cron_worker_hands_on_what_it_has(self):
        job = files.drain_job()
        handed_on = re.findall(r"--env (\w+)", job["steps"][0]["run"])
        self.assertEqual(sorted(set(job["env"]) - {"PIXMILL_IMAGE"}), sorted(handed_on))


class Probes(case.Case):
    def test_ask_what_the_server_answers(self):
        paths = set(re.findall(r"GET (/\w+)", (files.DEPLOY / "docker" / "healthcheck").read_text()))
        for _, thing in files.kubernetes_objects():
            for container in (files.pod_of(thing) or {}).get("containers", []):
                paths |= {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
                          if probe in container}
                annotations = thing["spec"]["template"]["metadata"].get("annotations", {})
                paths |= {value for key, value in annotations.items() if key == "prometheus.io/path"}
        self.assertEqual({"/readyz", "/healthz", "/metrics"}, paths)
        server = self.use(pixmill.Server(self.folder / "data"))
        for path in sorted(paths):
            # As a kubelet asks: by the pod's address.
            self.assertEqual(200, server.get(path, Host="10.1.2.3:8000").status, path)

    def test_the_image_checks_its_health_by_a_script_that_is_there(self):
        self.assertIn('HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["pixmill-healthcheck"]',
                      files.dockerfile())
        self.assertIn("deploy/docker/healthcheck /usr/local/bin/pixmill-healthcheck", files.dockerfile())
        subprocess.run(["bash", "-n", files.DEPLOY / "docker" / "healthcheck"], check=True)


class Images(case.Case):
    def test_have_the_programs_version(self):
        said = subprocess.run([pixmill.binary(), "--version"], capture_output=True, text=True, timeout=60, check=True)
        version = said.stdout.split()[1]
        for name, service in files.compose_services().items():
            self.assertEqual(f"pixmill:{version}", service["image"], name)
        image = files.load(files.KUBERNETES / "kustomization.yaml")["images"][0]
        self.assertEqual(("pixmill", version), (image["name"], str(image["newTag"])))

    def test_are_not_run_by_root(self):
        user = re.search(r"^USER (\d+):(\d+)$", files.dockerfile(), re.MULTILINE)
        self.assertGreater(int(user.group(1)), 0)
        for name, thing in files.kubernetes_objects():
            if pod := files.pod_of(thing):
                self.assertEqual(int(user.group(1)), pod["securityContext"]["runAsUser"], name)

    def test_are_made_of_files_that_are_there(self):
        ignored = (files.ROOT / ".dockerignore").read_text().splitlines()
        for path in re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+) ", files.dockerfile(), re.MULTILINE):
            self.assertTrue((files.ROOT / path).exists(), path)
            if path != ".":
                self.assertIn(f"!{path}", ignored)

    def test_can_be_configured_from_what_dockerignore_lets_in(self):
        for pattern in [line[1:] for line in (files.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]:
            found = list(files.ROOT.glob(pattern))
            self.assertTrue(found, pattern)
            for path in found:
                copy = self.folder / "src" / path.relative_to(files.ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
        done = subprocess.run(["cmake", "--preset", "release"], cwd=self.folder / "src", capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(0, done.returncode, done.stderr)


class Compose(case.Case):
    def test_waits_for_what_tells_that_it_is_ready(self):
        services = files.compose()["services"]
        for name, service in services.items():
            for other, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.assertIn("healthcheck", services[other], f"{name} waits for {other}")
                else:
                    self.assertEqual("service_completed_successfully", how["condition"])
                    self.assertNotEqual("unless-stopped", services[other].get("restart"), f"{name} waits for the end of {other}")

    def test_redis_drops_nothing(self):
        self.assertIn("--maxmemory-policy noeviction", files.compose()["services"]["redis"]["command"][2])
        keyvalue = [s for s in files.load(files.DEPLOY / "render.yaml")["services"] if s["type"] == "keyvalue"]
        self.assertEqual(["noeviction"], [s["maxmemoryPolicy"] for s in keyvalue])

    def test_keeps_databases_inside(self):
        compose = files.compose()
        self.assertTrue(compose["networks"]["inside"]["internal"])
        for name in ("postgres", "redis", "migrate", "bucket"):
            self.assertEqual(["inside"], compose["services"][name]["networks"], name)
        for name, service in compose["services"].items():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), f"{name} is published on {port}")


class Kubernetes(case.Case):
    def setUp(self):
        super().setUp()
        self.things = files.kubernetes_objects()

    def of_kind(self, *kinds):
        return [thing for _, thing in self.things if thing["kind"] in kinds]

    def named(self, kind, name):
        return next(thing for thing in self.of_kind(kind) if thing["metadata"]["name"] == name)

    def test_objects_are_whole(self):
        for name, thing in self.things:
            self.assertTrue({"apiVersion", "kind", "metadata"} <= set(thing), name)
            self.assertRegex(thing["metadata"]["name"], r"^[a-z][a-z0-9-]*$")
        kinds = {thing["kind"] for _, thing in self.things}
        self.assertEqual({"Namespace", "ConfigMap", "Job", "StatefulSet", "Deployment", "Service", "PodDisruptionBudget", "ScaledObject",
                          "TriggerAuthentication", "NetworkPolicy"}, kinds)
        listed = files.load(files.KUBERNETES / "kustomization.yaml")["resources"]
        self.assertEqual(sorted({name for name, _ in self.things}), sorted(listed))

    def test_pods_are_locked_in(self):
        for name, thing in self.things:
            pod = files.pod_of(thing)
            if pod is None:
                continue
            self.assertIs(False, pod["automountServiceAccountToken"], name)
            self.assertIs(False, pod["enableServiceLinks"], name)
            self.assertIs(True, pod["securityContext"]["runAsNonRoot"], name)
            self.assertEqual("RuntimeDefault", pod["securityContext"]["seccompProfile"]["type"], name)
            for container in pod["containers"]:
                context = container["securityContext"]
                self.assertIs(False, context["allowPrivilegeEscalation"], name)
                self.assertIs(True, context["readOnlyRootFilesystem"], name)
                self.assertEqual(["ALL"], context["capabilities"]["drop"], name)
                self.assertTrue({"cpu", "memory"} <= set(container["resources"]["requests"]), name)
                self.assertIn("memory", container["resources"]["limits"], name)
                volumes = {v["name"] for v in pod["volumes"]}
                volumes |= {v["metadata"]["name"] for v in thing["spec"].get("volumeClaimTemplates", [])}
                self.assertEqual(volumes, {v["name"] for v in container["volumeMounts"]}, name)
                self.assertIn("/var/lib/pixmill", [v["mountPath"] for v in container["volumeMounts"]], name)

    def test_selectors_find_their_pods(self):
        labels = [t["spec"]["template"]["metadata"]["labels"] for t in self.of_kind("Deployment", "StatefulSet")]
        for thing in self.of_kind("Deployment", "StatefulSet"):
            wanted = thing["spec"]["selector"]["matchLabels"]
            self.assertLessEqual(wanted.items(), thing["spec"]["template"]["metadata"]["labels"].items())
        for thing in self.of_kind("Service", "PodDisruptionBudget"):
            selector = thing["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            self.assertEqual(1, sum(wanted.items() <= found.items() for found in labels), thing["metadata"]["name"])
        self.named("Deployment", self.of_kind("ScaledObject")[0]["spec"]["scaleTargetRef"]["name"])
        self.named("Service", self.of_kind("StatefulSet")[0]["spec"]["serviceName"])

    def test_settings_come_from_what_is_there(self):
        self.named("ConfigMap", "pixmill")
        secrets = files.env_file_names(files.KUBERNETES / "secrets.env.example")
        for thing in self.of_kind("Deployment", "StatefulSet", "Job"):
            for container in files.pod_of(thing)["containers"]:
                self.assertEqual([{"configMapRef": {"name": "pixmill"}}, {"secretRef": {"name": "pixmill"}}], container["envFrom"])
        for thing in self.of_kind("TriggerAuthentication"):
            for reference in thing["spec"]["secretTargetRef"]:
                self.assertEqual("pixmill", reference["name"])
                self.assertIn(reference["key"], secrets)

    def test_pods_have_time_to_stop(self):
        for thing in self.of_kind("Deployment", "StatefulSet"):
            pod = files.pod_of(thing)
            before = [int(c["lifecycle"]["preStop"]["exec"]["command"][1]) for c in pod["containers"] if "lifecycle" in c]
            self.assertGreater(pod["terminationGracePeriodSeconds"], STOPS_WITHIN_SECONDS + sum(before))
        for path in files.UNITS:
            self.assertGreater(int(dict(files.unit(path))["TimeoutStopSec"]), STOPS_WITHIN_SECONDS)
        for name, service in files.compose_services().items():
            self.assertGreater(int(service["stop_grace_period"].rstrip("s")), STOPS_WITHIN_SECONDS, name)

    def test_an_answered_upload_outlives_its_pod(self):
        api = self.named("StatefulSet", "pixmill-api")
        self.assertEqual(["data"], [claim["metadata"]["name"] for claim in api["spec"]["volumeClaimTemplates"]])

    def test_the_network_gives_no_way_to_what_the_address_policy_refuses(self):
        policy = (files.ROOT / "src" / "fetch" / "address_policy.cc").read_text()
        refused = set()
        for octets, bits in re.findall(r"\{v4\(([\d, ]+)\), (\d+), ", policy):
            address = [part.strip() for part in octets.split(",")]
            refused.add(".".join(address + ["0"] * (4 - len(address))) + "/" + bits)
        self.assertGreater(len(refused), 12)
        public = self.named("NetworkPolicy", "pixmill-public")["spec"]
        blocks = {entry["ipBlock"]["cidr"]: entry["ipBlock"]["except"] for rule in public["egress"] for entry in rule["to"]}
        self.assertEqual({"0.0.0.0/0", "2000::/3"}, set(blocks))
        self.assertEqual(sorted(refused), sorted(blocks["0.0.0.0/0"]))
        denied = self.named("NetworkPolicy", "default-deny")["spec"]
        self.assertEqual(({}, ["Ingress", "Egress"]), (denied["podSelector"], denied["policyTypes"]))
        others = self.named("NetworkPolicy", "pixmill-egress")["spec"]["egress"]
        self.assertEqual([53, 5432, 6379, 9000], sorted({port["port"] for rule in others for port in rule["ports"]}))
        for rule in others:
            for to in rule["to"]:
                self.assertEqual({"namespaceSelector", "podSelector"}, set(to), "as narrow as pods")


class Autoscaling(case.Case):
    def setUp(self):
        super().setUp()
        scaled = next(thing for _, thing in files.kubernetes_objects() if thing["kind"] == "ScaledObject")
        self.triggers = {trigger["type"]: trigger["metadata"] for trigger in scaled["spec"]["triggers"]}

    def test_reads_the_stream_that_the_workers_read(self):
        trigger = self.triggers["redis-streams"]
        self.assertEqual(("REDIS_HOST", "REDIS_PORT"), (trigger["hostFromEnv"], trigger["portFromEnv"]))
        settings = source("src/app/settings.h", "redis_key_prefix")
        stream = source("src/redis/stream.cc")
        if settings and stream:
            prefix = re.search(r'redis_key_prefix = "(\w+)"', settings).group(1)
            form = re.search(r'stream_key_\(fmt::format\("([^"]+)", options_\.key_prefix\)\)', stream).group(1)
            self.assertEqual(form.format(prefix), trigger["stream"])
        if queue := source("src/jobs/redis_queue.cc"):
            self.assertIn(f'.group = "{trigger["consumerGroup"]}"', queue)

    def test_asks_the_database_for_what_it_has(self):
        query = self.triggers["postgresql"]["query"]
        schema, table = re.search(r"FROM (\w+)\.(\w+)", query).groups()
        if declared := source("src/db/postgres.h"):
            self.assertIn(f'schema = "{schema}"', declared)
        if sql := source("sql/postgres"):
            columns = re.search(rf"CREATE TABLE {table} \((.*?)\n\)", sql, re.DOTALL).group(1)
            for column in ("remaining", "state"):
                self.assertRegex(columns, rf"(?m)^ +{column} ")
        states = source("src/jobs/model.cc")
        for state in re.findall(r"'(\w+)'", query):
            self.assertIn(f'"{state}"', states)


class Units(case.Case):
    def test_leave_engines_their_sandbox(self):
        self.assertEqual(["pixmill-worker@.service", "pixmill.service"], [path.name for path in files.UNITS])
        for path in files.UNITS:
            keys = dict(files.unit(path))
            self.assertIn("seccomp landlock_create_ruleset landlock_restrict_self", keys["SystemCallFilter"])
            self.assertNotIn("MemoryDenyWriteExecute", keys)
            for key in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
                self.assertEqual("yes", keys[key], f"{path.name}: {key}")
            self.assertEqual("strict", keys["ProtectSystem"])


case.main()

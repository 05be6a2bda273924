"""What the files below deploy/ say about Pixmill: its command lines, its settings, its objects."""

import pathlib
import re
import shlex

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def load(path):
    return yaml.safe_load(path.read_text())


def kubernetes_objects():
    """(file name, object) of everything that is applied."""
    return [(path.name, document) for path in sorted(KUBERNETES.glob("*.yaml")) if path.name != "kustomization.yaml"
            for document in yaml.safe_load_all(path.read_text())]


def pod_of(thing):
    """The pod that an object makes, None for one that makes none."""
    return thing.get("spec", {}).get("template", {}).get("spec") if thing["kind"] in ("Deployment", "StatefulSet", "Job") else None


def unit(path):
    """[(key, value)] of a systemd unit."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "["))]
    return [tuple(line.split("=", 1)) for line in lines]


def env_file_names(path):
    return [line.split("=")[0] for line in path.read_text().splitlines() if line and not line.startswith("#")]


def compose():
    return load(DEPLOY / "compose" / "compose.yaml")


def compose_services():
    """Those of compose's services that are Pixmill."""
    return {name: service for name, service in compose()["services"].items() if service["image"].startswith("pixmill:")}


def drain_job():
    # YAML 1.1 reads `on` as true; what matters here are the jobs.
    return load(DEPLOY / "github-actions" / "drain.yml")["jobs"]["drain"]


def render_services():
    return [service for service in load(DEPLOY / "render.yaml")["services"] if service["type"] != "keyvalue"]


def dockerfile():
    return (DEPLOY / "docker" / "Dockerfile").read_text()


def command_lines():
    """[(where, words after `pixmill`)] of every command line."""
    found = [("Dockerfile", re.findall(r'"([^"]*)"', re.search(r"^CMD (\[.*\])$", dockerfile(), re.MULTILINE).group(1)))]
    found += [(f"compose, {name}", service["command"]) for name, service in compose_services().items()]
    for name, thing in kubernetes_objects():
        found += [(name, container["args"]) for container in (pod_of(thing) or {}).get("containers", [])]
    for service in render_services():
        found += [(f"render.yaml, {service['name']}", shlex.split(service[key])[1:])
                  for key in ("dockerCommand", "preDeployCommand") if key in service]
    after_image = drain_job()["steps"][0]["run"].split('"$PIXMILL_IMAGE"')[1]
    found.append(("drain.yml", shlex.split(after_image)))
    for path in UNITS:
        found += [(path.name, shlex.split(value)[1:]) for key, value in unit(path) if key == "ExecStart"]
    return found


def settings():
    """[(where, variable)] of every variable that Pixmill is given."""
    found = [("Dockerfile", name) for name in re.findall(r"^(?:ENV|   ) *([A-Z_]+)=", dockerfile(), re.MULTILINE)]
    for name, service in compose_services().items():
        found += [(f"compose, {name}", variable) for variable in service["environment"]]
    found += [("pixmill.env.example", name) for name in env_file_names(DEPLOY / "compose" / "pixmill.env.example")]
    found += [("secrets.env.example", name) for name in env_file_names(KUBERNETES / "secrets.env.example")]
    for name, thing in kubernetes_objects():
        found += [(name, variable) for variable in thing.get("data", {})]
        for container in (pod_of(thing) or {}).get("containers", []):
            found += [(name, entry["name"]) for entry in container.get("env", [])]
    for service in render_services():
        found += [("render.yaml", entry["key"]) for entry in service["envVars"]]
    found += [("drain.yml", name) for name in drain_job()["env"]]
    for path in UNITS:
        found += [(path.name, value.split("=")[0]) for key, value in unit(path) if key == "Environment"]
    return found

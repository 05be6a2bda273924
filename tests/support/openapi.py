"""The API's description, docs/openapi.yaml: whether it is one, and whether an answer is what it says."""

import collections
import datetime
import functools
import json
import pathlib
import re
import urllib.parse

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

# ---- Reading it ------------------------------------------------------------------------------------------------------

# What may stand in each object of OpenAPI 3.1.0; whatever begins with x- may as well.
_KEYS = {
    "document": "openapi info jsonSchemaDialect servers paths webhooks components security tags externalDocs",
    "info": "title summary description termsOfService contact license version",
    "path": "summary description get put post delete options head patch trace servers parameters",
    "operation": "tags summary description externalDocs operationId parameters requestBody responses callbacks deprecated security servers",
    "parameter": "name in description required deprecated allowEmptyValue style explode allowReserved schema example examples content",
    "body": "description content required",
    "media": "schema example examples encoding",
    "response": "description headers content links",
    "header": "description required deprecated style explode schema example examples content",
    "components": "schemas responses parameters examples requestBodies headers securitySchemes links callbacks pathItems",
    "example": "summary description value externalValue",
}
_KINDS_OF_COMPONENTS = {"schemas": "schema", "responses": "response", "parameters": "parameter", "headers": "header", "examples": "example"}

Operation = collections.namedtuple("Operation", "method path id parameters body responses")


def _formats():
    checker = jsonschema.FormatChecker(formats=("uuid",))

    @checker.checks("date-time", raises=ValueError)
    def is_time(value):
        return not isinstance(value, str) or bool(datetime.datetime.fromisoformat(value))

    @checker.checks("uri")
    def is_uri(value):
        parts = urllib.parse.urlsplit(value) if isinstance(value, str) else None
        return parts is None or bool(parts.scheme and parts.netloc)

    return checker


class Document:
    def __init__(self, path=ROOT / "docs" / "openapi.yaml"):
        self.spec = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
        self._resolver = jsonschema.RefResolver.from_schema(self.spec)
        self._format_checker = _formats()
        self.operations = [operation for path in self.spec["paths"] for operation in self._operations_of(path)]
        self._validators = {}

    def _operations_of(self, path):
        item = self.spec["paths"][path]
        for method in METHODS:
            if method not in item:
                continue
            described = item[method]
            parameters = [self.resolve(p) for p in item.get("parameters", []) + described.get("parameters", [])]
            yield Operation(method.upper(), path, described["operationId"], parameters, self.resolve(described.get("requestBody")),
                            described["responses"])

    def operation(self, operation_id):
        return next(operation for operation in self.operations if operation.id == operation_id)

    def resolve(self, thing):
        """What a reference points to; other things as they are."""
        while isinstance(thing, dict) and "$ref" in thing:
            thing = self.at(thing["$ref"])
        return thing

    def at(self, pointer):
        if not pointer.startswith("#/"):
            raise KeyError(pointer)
        found = self.spec
        for key in pointer[2:].split("/"):
            found = found[key.replace("~1", "/").replace("~0", "~")]
        return found

    def problems_of_value(self, schema, value):
        """What is wrong with `value`, one line for each thing."""
        key = id(schema)
        if key not in self._validators:
            validator = jsonschema.Draft202012Validator(schema, resolver=self._resolver, format_checker=self._format_checker)
            self._validators[key] = (schema, validator)
        found = self._validators[key][1].iter_errors(value)
        return [f"{error.json_path}: {error.message[:300]}" for error in list(found)[:5]]

    def media_of(self, contents, media_type):
        """The schema's place for a media type: by its name, or by a range of types."""
        return contents.get(media_type, contents.get(media_type.split("/")[0] + "/*"))


# ---- Whether it is a description at all ------------------------------------------------------------------------------


class _Structure:
    """Walks the whole document along what OpenAPI 3.1.0 says may stand where."""

    def __init__(self, document):
        self.document, self.spec, self.problems, self.referred = document, document.spec, [], set()

    def say(self, where, what):
        self.problems.append(f"{where}: {what}")

    def keys(self, where, kind, thing, *required):
        if not isinstance(thing, dict):
            self.say(where, f"is no {kind}")
            return False
        unknown = [key for key in thing if key not in _KEYS[kind].split() and not str(key).startswith("x-")]
        if unknown:
            self.say(where, f"a {kind} has no {unknown}")
        missing = [key for key in required if key not in thing]
        if missing:
            self.say(where, f"a {kind} needs {missing}")
        return not missing

    def follow(self, where, thing):
        if not isinstance(thing, dict) or "$ref" not in thing:
            return thing, where
        self.referred.add(thing["$ref"])
        try:
            return self.document.resolve(thing), thing["$ref"]
        except (KeyError, TypeError):
            self.say(where, f"{thing['$ref']} leads nowhere")
            return None, where

    def schema(self, where, schema):
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            return self.say(where, f"no schema of Draft 2020-12: {error.message}")
        self.schema_parts(where, schema)
        for number, example in enumerate(schema.get("examples", []) if isinstance(schema, dict) else []):
            self.value(f"{where}.examples[{number}]", schema, example)
        return None

    def schema_parts(self, where, schema):
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            self.follow(where, schema)
        if "object" in (schema.get("type"), *schema.get("type", [])) and "properties" in schema:
            open_or_closed = {"additionalProperties", "unevaluatedProperties"} & set(schema) or "allOf" in schema
            part_of_another = where.endswith("RecipeFields")
            if not open_or_closed and not part_of_another:
                self.say(where, "an object that does not say whether it may have other members")
            for name in schema.get("required", []):
                if name not in schema["properties"] and "allOf" not in schema and "properties" in schema:
                    self.say(where, f"requires {name}, which it does not describe")
        for key in ("properties", "$defs", "dependentSchemas", "x-events"):
            for name, part in schema.get(key, {}).items():
                self.schema_parts(f"{where}.{name}", part)
        for key in ("allOf", "anyOf", "oneOf"):
            for number, part in enumerate(schema.get(key, [])):
                self.schema_parts(f"{where}.{key}[{number}]", part)
        for key in ("items", "additionalProperties", "not", "if", "then", "else"):
            self.schema_parts(f"{where}.{key}", schema.get(key))

    def value(self, where, schema, value):
        for problem in self.document.problems_of_value(schema, value):
            self.say(where, f"the example is not what its schema says: {problem}")

    def media(self, where, contents):
        for media_type, media in contents.items():
            place = f"{where} {media_type}"
            self.keys(place, "media", media)
            if "/" not in media_type:
                self.say(place, "is no media type")
            if "schema" in media:
                self.schema(place, media["schema"])
            for name, part in media.get("x-events", {}).items():
                self.schema(f"{place} {name}", part)
            for name, example in media.get("examples", {}).items():
                example, _ = self.follow(f"{place} {name}", example)
                if example is not None and self.keys(f"{place} {name}", "example", example, "value"):
                    self.value(f"{place} example {name}", media.get("schema", True), example["value"])
            for field in media.get("encoding", {}):
                if field not in self.document.resolve(media["schema"])["properties"]:
                    self.say(place, f"encodes {field}, which the form does not have")

    def described(self, where, kind, thing):
        """A parameter or a header."""
        self.keys(where, kind, thing, "schema", "description")
        self.schema(where, thing.get("schema", True))
        if "example" in thing:
            self.value(where, thing["schema"], thing["example"])
        self.sentence(where, thing)

    def sentence(self, where, thing):
        text = thing.get("description", "")
        if not re.match(r"^[A-Z`].*[.]$", text.strip(), re.DOTALL):
            self.say(where, f"no sentence: {text!r}")

    def response(self, where, status, response):
        if not re.fullmatch(r"[1-5](\d\d|XX)|default", str(status)) or not isinstance(status, str):
            self.say(where, f"{status!r} is no status")
        response, where = self.follow(where, response)
        if response is None or not self.keys(where, "response", response, "description"):
            return
        self.sentence(where, response)
        for name, header in response.get("headers", {}).items():
            header, place = self.follow(f"{where} {name}", header)
            if header is not None:
                self.described(place, "header", header)
        self.media(where, response.get("content", {}))

    def operation(self, path, method, operation, shared):
        where = f"{method.upper()} {path}"
        if not self.keys(where, "operation", operation, "operationId", "summary", "description", "tags", "responses"):
            return
        self.sentence(where, operation)
        if any(tag not in [known["name"] for known in self.spec["tags"]] for tag in operation["tags"]):
            self.say(where, f"an unknown tag: {operation['tags']}")
        named = set()
        for parameter in shared + operation.get("parameters", []):
            parameter, place = self.follow(where, parameter)
            if parameter is None or not self.keys(place, "parameter", parameter, "name", "in"):
                continue
            self.described(f"{place} {parameter['name']}", "parameter", parameter)
            if parameter["in"] not in ("query", "header", "path", "cookie") or (parameter["in"] == "path") != bool(
                    parameter.get("required") and parameter["in"] == "path"):
                self.say(where, f"parameter {parameter['name']}: in the path means required")
            if (parameter["in"], parameter["name"]) in named:
                self.say(where, f"{parameter['name']} twice")
            named.add((parameter["in"], parameter["name"]))
        in_path = {name for place, name in named if place == "path"}
        if in_path != set(re.findall(r"\{(\w+)\}", path)):
            self.say(where, f"the path has not the parameters {in_path}")
        if "requestBody" in operation:
            body, place = self.follow(where, operation["requestBody"])
            if body is not None and self.keys(place, "body", body, "content"):
                self.media(f"{place} body", body["content"])
        if not any(str(status).startswith("2") for status in operation["responses"]):
            self.say(where, "never succeeds")
        for status, response in operation["responses"].items():
            self.response(f"{where} {status}", status, response)

    def look(self):
        self.keys("document", "document", self.spec, "openapi", "info", "paths")
        if not str(self.spec.get("openapi")).startswith("3.1."):
            self.say("openapi", "is not 3.1")
        self.keys("info", "info", self.spec["info"], "title", "version", "description")
        ids = []
        for group in ("paths", "webhooks"):
            for path, item in self.spec.get(group, {}).items():
                self.keys(path, "path", item)
                for method in METHODS:
                    if method in item:
                        ids.append(item[method].get("operationId"))
                        self.operation(path if group == "paths" else "", method, item[method], item.get("parameters", []))
        for repeated in [name for name, count in collections.Counter(ids).items() if count > 1]:
            self.say("operationId", f"{repeated} is there twice")
        self.refusals()
        self.components()
        return self.problems

    def refusals(self):
        anything = self.spec["x-any-request"]
        self.response("x-any-request options", "204", anything["options"])
        for status, response in anything["refusals"].items():
            self.response(f"x-any-request {status}", status, response)

    def components(self):
        components = self.spec["components"]
        self.keys("components", "components", components)
        for group, things in components.items():
            for name, thing in things.items():
                place = f"#/components/{group}/{name}"
                if group == "schemas":
                    self.schema(place, thing)
                elif group == "responses":
                    self.response(place, "200", thing)
                elif group in ("parameters", "headers"):
                    self.described(place, _KINDS_OF_COMPONENTS[group], thing)
        for group, things in components.items():
            for name in things:
                if f"#/components/{group}/{name}" not in self.referred:
                    self.say(f"#/components/{group}/{name}", "nothing refers to it")


def structure_problems(document):
    """What keeps the document from being OpenAPI 3.1, and what is missing for someone who reads it."""
    return _Structure(document).look()


# ---- What the server has ---------------------------------------------------------------------------------------------

Route = collections.namedtuple("Route", "method path either_slash")
_ADD = re.compile(r'router\.add\(\s*"([A-Z]+)",\s*"([^"]+)",(.*?)\);\s*(?=router\.add|\}\s*\n)', re.DOTALL)


def registered_routes(folder=ROOT / "src" / "api"):
    """Every `router.add("METHOD", "/path/{name}", handler, either_slash)` of the sources, paths as OpenAPI writes them."""
    routes, calls = [], 0
    for path in sorted(folder.glob("*.cc")):
        if path.name.endswith("_test.cc"):
            continue
        text = path.read_text(encoding="utf-8")
        calls += text.count("router.add(")
        for method, pattern, rest in _ADD.findall(text):
            routes.append(Route(method, pattern.replace("...}", "}"), rest.rstrip().endswith("true")))
    if calls != len(routes):
        raise AssertionError(f"{calls} calls of router.add, {len(routes)} of them understood")
    return routes


# ---- Whether an answer is what the document says ---------------------------------------------------------------------

# What any answer may have besides what its response describes: framing, caching, CORS, and what keeps browsers careful.
_ANYWHERE = {"date", "content-type", "content-length", "transfer-encoding", "connection", "cache-control", "vary", "x-content-type-options",
             "referrer-policy", "access-control-allow-origin", "access-control-expose-headers", "access-control-allow-methods",
             "access-control-allow-headers", "access-control-max-age"}
_INSIDES = re.compile(r"SQLITE|sqlite3?_|sqlite error|\bSELECT\b.+\bFROM\b|\bINSERT INTO\b|\bpg_|libpq|0x[0-9a-f]{8,}|\.(cc|cpp|h):\d+|"
                      r"std::|boost::|terminate called|vips_|VipsJpeg|/usr/(lib|include)|/proc/self")


def is_legacy(path):
    return path == "/imgproc" or path.startswith("/imgproc/")


class Judge:
    """Holds answers against the document. `secrets` are texts that no error may show, such as the data folder's path."""

    def __init__(self, document, secrets=()):
        self.document, self.secrets = document, [str(secret) for secret in secrets]
        self._routes = [(self._pattern(path), path) for path in document.spec["paths"]]
        self._routes.sort(key=lambda route: route[1].count("{"))

    def _pattern(self, path):
        item = self.document.spec["paths"][path]
        names = {p["name"]: p for p in map(self.document.resolve, item.get("parameters", []))}
        parts = [("(.+)" if names[part[1:-1]].get("x-slashes") else "([^/]+)") if part.startswith("{") else re.escape(part)
                 for part in re.split(r"(\{\w+\})", path)]
        slash = "" if item.get("x-trailing-slash") is False or path == "/" else "/?"
        return re.compile("".join(parts) + slash, re.DOTALL)

    def find(self, method, target):
        """(the operation or None, the document's path or None) that a request goes to."""
        path = urllib.parse.unquote(target.split("?")[0], errors="surrogateescape")
        wanted = "GET" if method == "HEAD" else method
        matches = [template for pattern, template in self._routes if pattern.fullmatch(path)]
        for template in matches:
            for operation in self.document.operations:
                if (operation.path, operation.method) == (template, wanted):
                    return operation, template
        return None, matches[0] if matches else None

    def response_for(self, operation, path, method, status):
        anything = self.document.spec["x-any-request"]
        found = operation.responses.get(str(status)) if operation else None
        if found is None and operation is None and method == "OPTIONS" and status == 204:
            found = anything["options"]
        if found is None and not (status in (404, 405) and operation is not None) and not (status == 404 and path is not None):
            found = anything["refusals"].get(str(status))
        return self.document.resolve(found)

    def problems_of(self, method, target, answer):
        """What is wrong with the answer; nothing when it is what the document says."""
        operation, template = self.find(method, target)
        response = self.response_for(operation, template, method, answer.status)
        if response is None:
            return [f"{answer.status} is not described for {operation.id if operation else template or 'unknown paths'}"]
        found = self.headers(response, answer)
        found += self.body(method, response, answer)
        if answer.status >= 400:
            found += self.error(urllib.parse.unquote(target.split("?")[0], errors="surrogateescape"), method, answer)
        return found

    def headers(self, response, answer):
        found = []
        described = {name.lower(): self.document.resolve(header) for name, header in response.get("headers", {}).items()}
        for name, header in described.items():
            value = answer.headers.get(name)
            if value is None:
                found += [f"the header {name} is missing"] if header.get("required") else []
                continue
            value = int(value) if header["schema"].get("type") == "integer" and value.isdecimal() else value
            found += [f"header {name}: {problem}" for problem in self.document.problems_of_value(header["schema"], value)]
        undocumented = set(answer.headers) - set(described) - _ANYWHERE
        return found + ([f"headers that nobody describes: {sorted(undocumented)}"] if undocumented else [])

    def body(self, method, response, answer):
        if method == "HEAD" or answer.status in (204, 304):
            return ["a body where none may be"] if answer.body else []
        contents = response.get("content", {})
        if not contents:
            return [f"a body that nobody describes: {answer.text[:200]}"] if answer.body else []
        media_type = answer.headers.get("content-type", "").split(";")[0].strip()
        media = self.document.media_of(contents, media_type)
        if media is None:
            return [f"{media_type or 'no content type'} is not one of {sorted(contents)}"]
        if "x-events" in media:
            return self.events(media["x-events"], answer.text)
        if "schema" not in media:
            return [] if answer.body else ["an empty body"]
        try:
            text = answer.body.decode("utf-8")
            value = json.loads(text) if media_type.endswith("json") else text
        except ValueError as error:
            return [f"unreadable {media_type}: {error}"]
        return self.document.problems_of_value(media["schema"], value)

    def events(self, schemas, text):
        found = []
        for block in re.split(r"\n\n", text):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "event" not in fields:
                continue
            if fields["event"] not in schemas:
                found.append(f"the event {fields['event']} is not described")
            elif "id" not in fields:
                found.append(f"the event {fields['event']} has no id")
            elif "data" in fields:
                found += [f"event {fields['event']}: {problem}"
                          for problem in self.document.problems_of_value(schemas[fields["event"]], json.loads(fields["data"]))]
        return found

    def error(self, path, method, answer):
        """P45."""
        found = [f"shows {shown!r}" for shown in self.secrets if shown in answer.text]
        inside = _INSIDES.search(answer.text)
        found += [f"shows its insides: {inside.group(0)!r}"] if inside else []
        media_type = answer.headers.get("content-type", "")
        if media_type != "application/problem+json":
            return found if is_legacy(path) and media_type == "application/json" else [*found, f"an error as {media_type or 'nothing'}"]
        if method == "HEAD":
            return found
        try:
            problem = json.loads(answer.body)
        except ValueError:
            return found  # which has been said of the body
        if problem.get("type") != f"urn:pixmill:error:{problem.get('code')}":
            found.append(f"type {problem.get('type')} and code {problem.get('code')}")
        if problem.get("status") != answer.status:
            found.append(f"status {problem.get('status')} in an answer with {answer.status}")
        if problem.get("request_id") != answer.headers.get("x-request-id"):
            found.append(f"request_id {problem.get('request_id')} and X-Request-Id {answer.headers.get('x-request-id')}")
        return found


@functools.cache
def document():
    return Document()

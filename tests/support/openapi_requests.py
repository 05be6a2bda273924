"""Requests made by chance from the API's description: well meant, and in every way not."""

import collections
import json
import re
import urllib.parse
import uuid

Request = collections.namedtuple("Request", "operation method target headers body sent")
# What is wrong with text in ways that have broken servers.
HOSTILE = (
    b"", b" ", b"\x00", b"a\x00b", b"%", b"%zz", b"%00", b"../../etc/passwd", b"..\\..\\x", b"/",
    b"//", b".", b"..", b"~", b"'", b"\"", b"' OR '1'='1", b"\"; DROP TABLE jobs; --", b"1; VACUUM", b"{}", b"[]", b"{", b"}", b"{{", b"{0}",
    b"{:n}", b"%s%n%x",
    b"${jndi:ldap://x}", b"<script>alert(1)</script>", b"\r\nSet-Cookie: a=b", b"\r\n\r\n", b"\n", b"\t", b"null", b"true", b"NaN", b"Infinity",
    b"-1", b"-0", b"+1", b"0", b"00",
    b"1.5", b"1e9", b"0x10", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809", b"1" * 400,
    b"a" * 3000,
    b"\xf0\x9f\x92\xa5", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\xe2\x80\x8b", b"u\xcc\x88" * 60, b"Stra\xc3\x9fe", b"undefined", b"*", b"?", b"#",
    b"&a=b", b"a=b", b";", b",", b"@", b"web@0",
    b"web@99999999999", b"s3://bucket/key", b"file:///etc/passwd", b"gopher://x", b"http://", b"http://[::1", b"http://a b/", b"javascript:alert(1)",
)
# The other way to break them, for it takes a byte and not a word.
_NOT_UTF_8 = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"{\xff}", b"a\xff=b", b"\x80", b"https://\xff/", b"x\xc3",
              b"127.0.0.1: X-Key: \xff")
_OTHER_TYPES = (None, True, False, 0, -1, 1.5, 10**30, "", "x", [], [1], {}, {"a": 1}, [[[[[]]]]])
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X")
_CONTENT_TYPES = ("", "text/plain", "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=",
                  "multipart/form-data; boundary=\"", "multipart/mixed; boundary=x", "image/svg+xml", "*/*", "/", ";",
                  "application/problem+json; charset=utf-7")
_HEADERS = (("Accept", "text/html;q=0.9, application/json"), ("Accept", "*/*;q=nan"), ("Accept", ","), ("Range", "bytes=0-9"),
            ("Range", "bytes=9999999-"),
            ("Range", "bytes=-0"), ("Range", "lines=1-2"), ("If-None-Match", "*"), ("If-None-Match", 'W/"x", "y'),
            ("If-Modified-Since", "Fri, 99 Foo 2026 77:77:77 GMT"),
            ("If-Range", '"x"'), ("Last-Event-ID", "1.2.3"), ("Last-Event-ID", "x" * 500), ("Origin", "http://localhost:3000"),
            ("Origin", "http://evil.example"),
            ("Origin", "null"), ("Host", "evil.example"), ("Host", "localhost"), ("X-Request-Id", "mine"), ("Idempotency-Key", "a"),
            ("X-Forwarded-For", "8.8.8.8"),
            ("Authorization", "Bearer x"), ("Cookie", "a=b; c"), ("Expect", "200-ok"), ("Transfer-Encoding", "gzip"), ("X-Long", "y" * 9000),
            ("X-Longer", "z" * 17000))


def form_of(parts):
    """(content type, body) of a form with the given parts: (name, file name or None, bytes), in that order."""
    boundary = "pixmill-form"
    while any(boundary.encode() in data for _, _, data in parts):
        boundary += "-"
    body = b""
    for name, file_name, data in parts:
        file = b"" if file_name is None else b'; filename="' + file_name.replace('"', "%22").encode() + b'"'
        body += b"--" + boundary.encode() + b'\r\nContent-Disposition: form-data; name="' + name + b'"' + file + b"\r\n\r\n" + data + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + b"--" + boundary.encode() + b"--\r\n"


class Generator:
    """Requests by chance. `world` knows what exists: world.values(operation id, name) gives texts that are meant well for a parameter
    or field of that name, or None; world.file(operation id, field, chance) gives (file name, bytes). The same seed and the same world
    give the same requests."""

    def __init__(self, document, chance, world):
        self.document, self.chance, self.world = document, chance, world

    def request(self):
        chance = self.chance
        operation = chance.choice(self.document.operations)
        harm = chance.choices(("none", "value", "values", "body", "method", "header", "content type", "path"), (34, 22, 8, 18, 4, 7, 4, 3))[0]
        # With "value" one of them is harmed, so that nothing else is refused first.
        sent = {"query": [], "fields": None, "json": None, "whole": harm not in ("method", "content type", "path"),
                "harmed": chance.choice(self._names_of(operation)) if harm == "value" else None}
        target = self._path(operation, harm, sent)
        headers = {}
        for parameter in operation.parameters:
            is_harmed = parameter["name"] == sent["harmed"]
            if parameter["in"] != "path" and (is_harmed or chance.random() < {"query": 0.5, "header": 0.3}[parameter["in"]]):
                value = self._value(operation, parameter, is_harmed or harm == "values")
                if parameter["in"] == "query":
                    sent["query"].append((parameter["name"].encode(), value))
                else:
                    headers[parameter["name"]] = re.sub(rb"[^\x20-\x7e]", b"?", value).decode()
        if harm == "values" and chance.random() < 0.5:
            sent["query"] += chance.choices(sent["query"] or [(b"unknown", b"x"), (b"", b""), (b"limit[]", b"1")], k=2)
        chance.shuffle(sent["query"])
        if sent["query"]:
            target += "?" + "&".join(urllib.parse.quote_from_bytes(name) + "=" + urllib.parse.quote_from_bytes(value) for name,
                                     value in sent["query"])
        body = self._body(operation, harm, headers, sent)
        method = chance.choice(_METHODS) if harm == "method" else operation.method
        if method == "GET" and chance.random() < 0.05:
            method = "HEAD"
        if harm == "content type" and body is not None:
            headers["Content-Type"] = chance.choice(_CONTENT_TYPES)
        if harm == "header":
            headers.update(chance.sample(_HEADERS, 2))
        return Request(operation, method, target, headers, body, sent)

    # -- Parameters

    def _names_of(self, operation):
        """Of parameters and of fields or members of the body."""
        names = [parameter["name"] for parameter in operation.parameters]
        for media in (operation.body or {"content": {}})["content"].values():
            names += self.properties_of(media["schema"])
        return names or [None]

    def _hostile(self):
        return self.chance.choice(_NOT_UTF_8 if self.chance.random() < 0.2 else HOSTILE)

    def _path(self, operation, harm, sent):
        path = operation.path
        for parameter in operation.parameters:
            if parameter["in"] == "path":
                is_harmed = parameter["name"] == sent["harmed"] or harm == "values"
                value = self._value(operation, parameter, is_harmed) or b"x"
                safe = "/" if parameter.get("x-slashes") else ""
                path = path.replace("{%s}" % parameter["name"], urllib.parse.quote_from_bytes(value, safe=safe))
        if harm == "path":
            path = self.chance.choice([path + "/", path + "//", "/" + path, path.upper(), path + "/x", path.rsplit("/", 1)[0] or "/", path + "%2f",
                                       path + "%00", path + "%ff",
                                       path.replace("/", "/./", 1), path + ";a=b", path + "#x", path + "%zz"])
        return path

    def _value(self, operation, parameter, is_harmed):
        """The bytes of a parameter or a field."""
        chance = self.chance
        if is_harmed and chance.random() < 0.8:
            return self._near(parameter["schema"]) if chance.random() < 0.3 else self._hostile()
        known = self.world.values(operation.id, parameter["name"])
        if known and chance.random() < 0.9:
            return chance.choice(known).encode()
        if parameter["name"] == "id":
            return str(uuid.UUID(int=chance.getrandbits(128), version=4)).encode()
        examples = [parameter["example"]] if "example" in parameter else []
        return self._text(parameter["schema"], examples).encode()

    def _text(self, schema, examples=()):
        value = self.make(schema, examples)
        return value if isinstance(value, str) else json.dumps(value)

    def _near(self, schema):
        """Just inside and just outside of what a number may be."""
        schema = self.document.resolve(schema)
        edges = [schema[key] + step for key in ("minimum", "maximum", "minLength", "maxLength") if key in schema for step in (-1, 0, 1)]
        return str(self.chance.choice(edges)).encode() if edges else self._hostile()

    # -- Values

    def make(self, schema, examples=()):
        """A value of the schema."""
        schema, chance = self.document.resolve(schema), self.chance
        for key in ("oneOf", "anyOf"):
            if key in schema and "properties" not in schema:
                return self.make(chance.choice(schema[key]))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        examples = [*examples, *schema.get("examples", [])]
        if examples and chance.random() < (1 if "pattern" in schema else 0.4):
            return chance.choice(examples)
        kinds = schema.get("type", "string")
        return self._make_kind(chance.choice(kinds) if isinstance(kinds, list) else kinds, schema)

    def _make_kind(self, kind, schema):
        chance = self.chance
        if kind == "integer":
            low, high = schema.get("minimum", -1000), schema.get("maximum", 1000)
            return chance.choice([low, high, chance.randint(low, high), chance.randint(low, min(high, low + 10))])
        if kind == "number":
            return round(chance.uniform(schema.get("minimum", -10), schema.get("maximum", 10)), 3)
        if kind == "boolean":
            return chance.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            return [self.make(schema["items"]) for _ in range(chance.randint(schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)))]
        if kind == "object":
            return self._make_object(schema)
        length = chance.randint(schema.get("minLength", 0), min(schema.get("maxLength", 30), 30))
        return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz0123456789_-") for _ in range(length))

    def properties_of(self, schema):
        schema = self.document.resolve(schema)
        found = {}
        for part in schema.get("allOf", []):
            found.update(self.properties_of(part))
        return {**found, **schema.get("properties", {})}

    def required_of(self, schema):
        schema = self.document.resolve(schema)
        return {*schema.get("required", []), *(name for part in schema.get("allOf", []) for name in self.required_of(part))}

    def _make_object(self, schema):
        chance, members = self.chance, self.properties_of(schema)
        wanted = self.required_of(schema) | set(chance.choice(schema.get("anyOf", [{}])).get("required", []))
        others = [name for name in members if name not in wanted]
        picked = [*sorted(wanted), *chance.sample(others, min(len(others), chance.choice([0, 0, 1, 1, 2, 3])))]
        return {name: self.make(members[name]) for name in picked}

    # -- Bodies

    def _body(self, operation, harm, headers, sent):
        chance = self.chance
        if operation.body is None:
            return b"x" * chance.choice([1, 1000]) if harm == "body" and operation.method != "GET" and chance.random() < 0.3 else None
        media_type = chance.choice(sorted(operation.body["content"]))
        schema = operation.body["content"][media_type]["schema"]
        if harm == "body" and chance.random() < 0.2:
            headers["Content-Type"] = media_type
            sent["whole"] = False
            return chance.choice([b"", b"\x00", b"{", b"[]", b"null", b'"x"', b"[" * 5000, b'{"a":' * 40, b"--x\r\n", b"\xff" * 50, b"{}" * 2,
                                  b"z" * 70_000, b'{"code":1,"code":"x"}'])
        if media_type == "multipart/form-data":
            return self._form(operation, schema, harm, headers, sent)
        if media_type == "application/json":
            headers["Content-Type"] = media_type
            return self._json(operation, schema, harm, sent)
        headers["Content-Type"] = "image/jpeg"
        return self.world.file(operation.id, "file", chance)[1]

    def _form(self, operation, schema, harm, headers, sent):
        chance, members = self.chance, self.properties_of(schema)
        parts = []
        for name, member in members.items():
            needed = name in self.required_of(schema)
            is_harmed = name == sent["harmed"]
            if not is_harmed and chance.random() >= (0.97 if needed else 0.15):
                continue
            if "contentMediaType" in self.document.resolve(member):
                file_name, data = self.world.file(operation.id, name, chance)
                is_harmed = is_harmed or harm == "body" and chance.random() < 0.5
                parts.append((name.encode(), self._hostile().decode("latin-1") if is_harmed and chance.random() < 0.3 else file_name,
                              self._damaged(data) if is_harmed else data))
            else:
                parts.append((name.encode(), None, self._value(operation, {"name": name, "schema": member}, is_harmed or harm == "values")))
        if harm == "body" and chance.random() < 0.3:
            parts.append((chance.choice([b"unknown", b"", b"file", b"recipe", b"\xc3\xa9", b"x" * 200]), None,
                          chance.choice([self._hostile(), b"w" * 66_000])))
        chance.shuffle(parts)
        headers["Content-Type"], body = form_of(parts)
        named = [name for name, file_name, _ in parts if file_name is None]
        sent["fields"] = [(name, data) for name, file_name, data in parts if file_name is None]
        sent["whole"] = sent["whole"] and len(set(named)) == len(named)
        if harm == "body" and chance.random() < 0.15:
            sent["whole"] = False
            return self._damaged(body)
        return body

    def _damaged(self, data):
        at = self.chance.randrange(len(data) + 1) if data else 0
        return self.chance.choice([data[:at], data[at:], data[:at] + self._hostile() + data[at:], b"", data + data])

    def _json(self, operation, schema, harm, sent):
        value = self.make(schema)
        for name in self.properties_of(schema):
            known = self.world.values(operation.id, name)
            if known and name in value and self.chance.random() < 0.7:
                value[name] = self.chance.choice(known)
        if harm in ("body", "value", "values"):
            value = self._spoiled(value)
        sent["json"] = value
        return json.dumps(value).encode()

    def _spoiled(self, value):
        """The value with something wrong somewhere in it, most of the time."""
        chance = self.chance
        if isinstance(value, dict) and chance.random() < 0.9:
            way = chance.choice(("add", "take", "into"))
            if way == "add" or not value:
                return {**value, chance.choice(["unknown", "", "quality", "code", "name", "outputs", "é", "a" * 300]): chance.choice(_OTHER_TYPES)}
            key = chance.choice(sorted(value))
            if way == "take":
                return {name: member for name, member in value.items() if name != key}
            return {**value, key: self._spoiled(value[key])}
        if isinstance(value, list) and value and chance.random() < 0.7:
            at = chance.randrange(len(value))
            return value[:at] + [self._spoiled(value[at])] + value[at + 1:]
        text = self._hostile().decode("utf-8", "replace")
        return chance.choice([*_OTHER_TYPES, text, text])

    # -- What the document says about what was sent

    def refused_names(self, request):
        """Names of the query parameters and fields whose text the document does not allow; and "body" for such a JSON body."""
        refused, seen = set(), set()
        by_name = {p["name"]: p["schema"] for p in request.operation.parameters if p["in"] == "query"}
        in_form = {name for name, _ in request.sent["fields"] or ()}
        for name, value in request.sent["query"]:
            looked_at, name = name not in in_form, name.decode("utf-8", "replace")
            if looked_at and name in by_name and name not in seen and not self._allows(by_name[name], value):
                refused.add(name)
            seen.add(name)
        if request.sent["fields"] is not None:
            schema = request.operation.body["content"]["multipart/form-data"]["schema"]
            members = self.properties_of(schema)
            for name, value in request.sent["fields"]:
                name, value = name.decode("utf-8", "replace"), value.strip(b" \t\r\n")
                if name in members and value and not self._allows(members[name], value):
                    refused.add(name)
                if name not in members and self.document.resolve(schema)["additionalProperties"] is False:
                    refused.add(name)
        if request.sent["json"] is not None:
            schema = request.operation.body["content"]["application/json"]["schema"]
            if self.document.problems_of_value(schema, request.sent["json"]):
                refused.add("body")
        return refused

    def _allows(self, schema, value):
        text = value.decode("utf-8", "replace")
        schema = self.document.resolve(schema)
        whole = schema.get("type") == "integer"
        text = text.strip(" \t\r\n") if schema.get("x-trimmed") else text
        if whole and not re.fullmatch(r"-?[0-9]+", text):
            return False
        return not self.document.problems_of_value(schema, int(text) if whole else text)

"""Writes docs/openapi.yaml as a C++ header: as JSON for programs, and as a page for people, its body and its style apart.

    embed_api.py docs/openapi.yaml api_description.h

The page has no script and asks for nothing elsewhere. Whatever the document says is escaped; of Markdown only `code`, **strong**
and paragraphs are understood, which is all that the document uses."""

import html
import json
import pathlib
import re
import shlex
import sys

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# An example of more lines is folded away.
_LINES_OPEN_MAX = 12
# Compilers need to take string literals of 65,536 characters only, and clang warns of longer ones.
_PIECE_BYTES = 4_000
# What fields() and facts() say in words or leave to the page's introduction; of other keys the JSON is shown.
_TOLD = {"$ref", "type", "description", "properties", "required", "allOf", "oneOf", "anyOf", "items", "enum", "const", "format", "pattern", "default",
         "examples", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "contentMediaType",
         "additionalProperties", "unevaluatedProperties", "x-trimmed"}

STYLE = """
.lead{font-size:1.1rem}.facts,.id{color:#5a6475}.id{font-weight:normal;font-size:.85rem}
nav ul{list-style:none;padding:0;margin:.3rem 0 1rem}nav li{padding:.15rem 0}nav h3{margin:1rem 0 0}
h2{margin-top:2.5rem;border-bottom:1px solid #c9d0dc}h3{margin:2rem 0 .3rem;overflow-wrap:anywhere}h4{margin:1rem 0 .3rem}
.method{display:inline-block;min-width:3.6rem;font:bold 13px/1.5 ui-monospace,monospace}
.get{color:#0a6b3d}.post{color:#0b57d0}.put{color:#8a5300}.delete{color:#b3261e}
dl{display:grid;grid-template-columns:minmax(6rem,12rem) 1fr;gap:.3rem 1rem;margin:.3rem 0}
dl dl{grid-template-columns:minmax(5rem,9rem) 1fr}dt{overflow-wrap:anywhere}dd{margin:0;min-width:0;overflow-wrap:anywhere}
p{margin:.4rem 0;overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0}summary{cursor:pointer}
@media(max-width:40rem){body{margin:1rem auto}dl,dl dl{display:block}dd{margin:0 0 .7rem .8rem}}
@media(prefers-color-scheme:dark){.facts,.id{color:#a3adbd}h2{border-color:#3a4150}
.get{color:#6dd58c}.post{color:#8ab4f8}.put{color:#f0b95a}.delete{color:#f2938c}}
""".replace("\n", "")

# ---- Markup ----------------------------------------------------------------------------------------------------------


def escape(text):
    return html.escape(str(text), quote=True)


def element(name, content, **attributes):
    """`content` is markup, the values of attributes are text; an attribute `kind` is the class."""
    attributes = {"class" if key == "kind" else key: value for key, value in attributes.items()}
    return f"<{name}{''.join(f' {key}={chr(34)}{escape(value)}{chr(34)}' for key, value in attributes.items())}>{content}</{name}>"


def code(text):
    return element("code", escape(text))


def code_of(value):
    """A value as JSON writes it; texts without their quotes."""
    if value == "":
        return "empty"
    return code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def inline(text):
    parts = text.strip().split("`")
    return "".join(code(part) if number % 2 else re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(part))
                   for number, part in enumerate(parts))


def paragraphs(text, **attributes):
    return "\n".join(element("p", inline(part), **attributes) for part in re.split(r"\n\s*\n", text.strip()))


def definitions(pairs):
    """A list of (term, description), both markup; nothing when there is none."""
    rows = "\n".join(element("dt", term) + element("dd", text) for term, text in pairs)
    return element("dl", rows) + "\n" if rows else ""


def example(title, text):
    """A text as it stands, folded away when it is long."""
    block = element("pre", escape(text.rstrip("\n")))
    is_open = text.count("\n") < _LINES_OPEN_MAX
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{block}</details>\n"


def pretty(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def between(least, most, unit=""):
    """A range in words, if there is one; None for an end that is open."""
    if least is None and most is None:
        return []
    if unit and (least, most) == (1, None):
        return ["not empty"]
    least, most = (None if end is None else escape(end) for end in (least, most))
    if most is None:
        return [f"at least {least}{unit}"]
    return [f"at most {most}{unit}" if least is None else f"{least} to {most}{unit}" if least != most else f"{least}{unit}"]


# ---- The document ----------------------------------------------------------------------------------------------------


def name_of(reference):
    return reference.rsplit("/", 1)[1]


def only_plain(value, where="the document"):
    """JSON has no times, and its keys are texts: YAML reads some words as something else."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{where}: the key {key!r} is no text")
            only_plain(part, f"{where}/{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            only_plain(part, f"{where}/{number}")
    elif value is not None and not isinstance(value, (str, bool, int, float)):
        raise ValueError(f"{where}: {value!r} is nothing that JSON knows")


class Page:
    """The page's body. Operations have their operationId as anchors, schemas `schema-` and their name."""

    def __init__(self, spec):
        self.spec = spec

    def resolve(self, thing):
        """What a reference leads to; what stands beside it counts more."""
        while isinstance(thing, dict) and "$ref" in thing:
            found = self.spec
            for key in thing["$ref"].removeprefix("#/").split("/"):
                found = found[key.replace("~1", "/").replace("~0", "~")]
            thing = {**found, **{key: value for key, value in thing.items() if key != "$ref"}}
        return thing

    # -- Schemas

    def type_of(self, schema):
        """What a value is, in a few words."""
        if not schema:
            return "anything"
        if "$ref" in schema:
            name = name_of(schema["$ref"])
            return element("a", escape(name), href=f"#schema-{name}")
        if "const" in schema:
            return code_of(schema["const"])
        for key, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
            if key in schema and schema.get("type") != "object":
                return word.join(self.type_of(part) for part in schema[key])
        if "allOf" in schema:
            return "object with the fields of " + " and ".join(map(self.type_of, schema["allOf"]))
        if "contentMediaType" in schema:
            return "file"
        if schema.get("type") == "array":
            return "array of " + self.type_of(schema.get("items"))
        types = schema.get("type", [])
        words = types if isinstance(types, list) else [types]
        return " or ".join(escape(word) for word in words) + (f" ({escape(schema['format'])})" if "format" in schema else "")

    def facts(self, schema):
        """Type, range and default, as markup. A reference to something simple is followed, except for its pattern."""
        whole = self.resolve(schema or {})
        found = [self.type_of(schema)]
        if "enum" in whole:
            found.append("one of " + ", ".join(map(code_of, whole["enum"])))
        found += between(whole.get("minimum"), whole.get("maximum"))
        found += between(whole.get("minLength"), whole.get("maxLength"), " characters")
        found += between(whole.get("minItems"), whole.get("maxItems"), " entries")
        found += ["empty"] if whole.get("maxProperties") == 0 else []
        if "pattern" in (schema or {}):
            found.append("matches " + code(whole["pattern"]))
        if "default" in whole:
            found.append("default " + code_of(whole["default"]))
        if (schema or {}).get("examples") and whole.get("type") != "object":
            found.append("for example " + ", ".join(map(code_of, schema["examples"])))
        return ", ".join(filter(None, found))

    def fields(self, schema, prefix=""):
        """(name, schema, required) of every field, those of objects inside as `outer.inner` and `list[].inner`."""
        for name, field in schema.get("properties", {}).items():
            yield prefix + name, field, name in schema.get("required", [])
            yield from self.fields_inside(field, prefix + name)

    def fields_inside(self, field, name):
        if "$ref" in field:
            return
        for part in field.get("oneOf", []):
            yield from self.fields_inside(part, name)
        if field.get("type") == "array":
            yield from self.fields_inside(field.get("items", {}), name + "[]")
        else:
            yield from self.fields(field, name + ".")

    def field_list(self, schema, encoding=None):
        """The fields of an object, with those that it takes over from others by name."""
        pairs = [("All of", self.type_of(part)) for part in schema.get("allOf", [])]
        for name, field, required in self.fields(schema):
            facts = self.facts(field) + (", required" if required else "")
            sent_as = (encoding or {}).get(name, {}).get("contentType")
            facts += ", sent as " + code(sent_as) if sent_as else ""
            pairs.append((code(name), element("span", facts, kind="facts") + self.described(field)))
        return definitions(pairs)

    def described(self, thing):
        return "<br>" + inline(thing["description"]) if thing.get("description") else ""

    def rules(self, schema):
        """What is said of a schema in JSON Schema's own way."""
        left = {key: value for key, value in schema.items() if key not in _TOLD}
        return example("Further rules, as JSON Schema", pretty(left)) if left else ""

    def schema_section(self, name, schema):
        heading = element("h3", escape(name), id=f"schema-{name}")
        text = paragraphs(schema["description"]) if "description" in schema else ""
        parts = [heading, text, self.field_list(schema)]
        if schema.get("type") != "object" and "allOf" not in schema:
            parts.insert(2, element("p", self.facts(schema), kind="facts"))
        if schema.get("type") == "array":
            parts.append(definitions((code(inner), element("span", self.facts(field), kind="facts") + self.described(field))
                                     for inner, field, _ in self.fields_inside(schema, "")))
        if schema.get("type") == "object":
            parts += [example("Example", pretty(value)) for value in schema.get("examples", [])]
        return "\n".join(filter(None, [*parts, self.rules(schema)]))

    # -- What goes in and out

    def examples(self, media, shown=pretty):
        return "".join(example(self.resolve(one).get("summary", f"Example: {name}"), shown(self.resolve(one)["value"]))
                       for name, one in media.get("examples", {}).items())

    def body(self, media_type, media, shown=pretty, fields="none"):
        """One media type of a body: its type and its examples, and of its fields `all`, the `names` or `none`. Those of a schema
        that stands only here are all shown."""
        schema = media.get("schema") or {}
        whole = self.resolve(schema)
        text = code(media_type) + (": " + self.body_type(schema) if schema else "")
        if fields == "all" or not ("$ref" in schema or "allOf" in schema):
            text += self.field_list(whole, media.get("encoding"))
        elif fields == "names" and "$ref" in schema and "properties" in whole:
            text += element("p", "Fields: " + ", ".join(map(code, whole["properties"])), kind="facts")
        if "$ref" not in schema:
            text += self.rules(schema)
        text += definitions((code(name), self.facts(part)) for name, part in media.get("x-events", {}).items())
        return element("div", text + self.examples(media, shown)) + "\n"

    def body_type(self, schema):
        """With what an answer says more closely than the schema that it refers to."""
        if "allOf" not in schema:
            return self.facts(schema)
        closer = [f"{code(name)} {self.facts(field)}" for name, field in schema.get("properties", {}).items()]
        words = " and ".join(self.type_of(part) for part in schema["allOf"])
        return words + (" with " + "; ".join(closer) if closer else "")

    def request_body(self, operation):
        body = self.resolve(operation.get("requestBody"))
        if not body:
            return ""
        need = "required" if body.get("required") else "optional"
        text = f"<h4>Body <span class=\"id\">{need}</span></h4>\n" + (paragraphs(body["description"]) if "description" in body else "")
        for media_type, media in body["content"].items():
            is_form = media_type == "multipart/form-data"
            text += self.body(media_type, media, self.form_as_command(operation, media) if is_form else pretty, fields="all")
        return text

    def form_as_command(self, operation, media):
        """Shows an example of a form as the command that sends it."""
        fields = self.resolve(media["schema"])["properties"]

        def command(value):
            words = ["curl"]
            for name, text in value.items():
                sign = "@" if "contentMediaType" in self.resolve(fields.get(name, {})) else ""
                words += ["-F", f"{name}={sign}{text}"]
            return shlex.join([*words, self.spec["servers"][0]["url"] + operation["path"]])

        return command

    def parameters(self, operation):
        pairs = []
        for parameter in map(self.resolve, operation["parameters"]):
            need = ", required" if parameter.get("required") else ""
            facts = f"in {escape(parameter['in'])}, {self.facts(parameter['schema'])}{need}"
            facts += ", for example " + code_of(parameter["example"]) if "example" in parameter else ""
            pairs.append((code(parameter["name"]), element("span", facts, kind="facts") + self.described(parameter)))
        return "<h4>Parameters</h4>\n" + definitions(pairs) if pairs else ""

    def response(self, response, fields="none"):
        response = self.resolve(response)
        text = inline(response["description"])
        headers = {name: self.resolve(header) for name, header in response.get("headers", {}).items() if name != "X-Request-Id"}
        text += definitions((code(name), self.header(header)) for name, header in headers.items())
        return text + "".join(self.body(media_type, media, fields=fields) for media_type, media in response.get("content", {}).items())

    def header(self, header):
        facts = self.facts(header["schema"]) + (", for example " + code_of(header["example"]) if "example" in header else "")
        return element("span", facts, kind="facts") + self.described(header)

    def responses(self, responses):
        """What succeeds stands open, what fails is folded away."""
        good = {status: response for status, response in responses.items() if status[0] in "123"}
        bad = {status: response for status, response in responses.items() if status not in good}
        text = definitions((code(status), self.response(response, fields="names")) for status, response in good.items())
        if bad:
            shown = definitions((code(status), self.response(response)) for status, response in bad.items())
            text += f"<details><summary>Otherwise: {', '.join(map(code, bad))}</summary>{shown}</details>\n"
        return text

    # -- The page

    def operations(self):
        """Each with its method, path and all of its parameters; those of webhooks without a path."""
        for group in ("paths", "webhooks"):
            for path, item in self.spec.get(group, {}).items():
                for method in (key for key in item if key in METHODS):
                    operation = item[method]
                    parameters = item.get("parameters", []) + operation.get("parameters", [])
                    yield {**operation, "method": method, "path": path if group == "paths" else "", "parameters": parameters,
                           "strict": item.get("x-trailing-slash") is False}

    def request_line(self, operation):
        where = code(operation["path"]) if operation["path"] else "to your " + code("webhook_url")
        return element("span", operation["method"].upper(), kind=f"method {operation['method']}") + " " + where

    def operation(self, operation):
        name = operation["operationId"]
        heading = f"{self.request_line(operation)} {element('a', escape(name), href='#' + name, kind='id')}"
        parts = [element("h3", heading, id=name), paragraphs(f"**{operation['summary']}.**"), paragraphs(operation["description"])]
        if operation["strict"]:
            parts.append(element("p", "A slash at the end of the path makes it another one.", kind="facts"))
        parts += [self.parameters(operation), self.request_body(operation), "<h4>Answers</h4>", self.responses(operation["responses"])]
        return "\n".join(filter(None, parts))

    def contents(self, by_tag):
        parts = []
        for tag, operations in by_tag.items():
            links = (element("a", self.request_line(operation), href="#" + operation["operationId"]) + " " + escape(operation["summary"])
                     for operation in operations)
            lines = "\n".join(element("li", link) for link in links)
            parts += [element("h3", element("a", escape(tag), href=f"#tag-{slug(tag)}")), element("ul", lines)]
        ends = (("any-request", "Any request"), ("schemas", "Schemas"))
        parts.append(element("ul", "".join(element("li", element("a", text, href=f"#{anchor}")) for anchor, text in ends)))
        return element("nav", "\n".join(parts))

    def introduction(self):
        info = self.spec["info"]
        servers = " ".join(f"{code(server['url'])}: {inline(server['description'])}" for server in self.spec["servers"])
        return "\n".join([
            element("h1", f"{escape(info['title'])} API {escape(info['version'])}"), paragraphs(info["summary"], kind="lead"),
            '<p>The same for programs: <a href="/openapi.json">/openapi.json</a>, OpenAPI 3.1. How to start: <a href="/">the first page</a>.</p>',
            paragraphs(info["description"]), element("p", servers)])

    def any_request(self):
        anything = self.spec["x-any-request"]
        pairs = [("OPTIONS", self.response(anything["options"]))]
        pairs += [(code(status), self.response(response)) for status, response in anything["refusals"].items()]
        return '<h2 id="any-request">Any request</h2>\n' + definitions(pairs)

    def whole(self):
        described = {tag["name"]: tag["description"] for tag in self.spec["tags"]}
        by_tag = {tag: [operation for operation in self.operations() if operation["tags"][0] == tag] for tag in described}
        parts = [self.introduction(), self.contents(by_tag)]
        for tag, operations in by_tag.items():
            parts += [element("h2", escape(tag), id=f"tag-{slug(tag)}"), paragraphs(described[tag])]
            parts += [self.operation(operation) for operation in operations]
        parts += [self.any_request(), '<h2 id="schemas">Schemas</h2>']
        parts += [self.schema_section(name, schema) for name, schema in self.spec["components"]["schemas"].items()]
        return "\n".join(parts)


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower())


# ---- The header ------------------------------------------------------------------------------------------------------


def literal(data):
    """Bytes as a C++ string literal of ASCII. Octal escapes end after three digits, so nothing behind them is taken for more."""
    def escaped(byte):
        character = chr(byte)
        if character in '"\\?':  # "?" for the sake of trigraphs
            return "\\" + character
        return character if 0x20 <= byte < 0x7F else f"\\{byte:03o}"

    return f'"{"".join(map(escaped, data))}"'


def pieces(name, what, text):
    data = text.encode("utf-8")
    cut = [data[at:at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES)]
    rows = "".join(f"    {{{literal(piece)}, {len(piece)}}},\n" for piece in cut)
    return f"// {what}: {len(data)} bytes, to be joined.\ninline constexpr std::string_view {name}[] = {{\n{rows}}};\n"


def header_of(spec):
    return ("// Generated from docs/openapi.yaml by cmake/embed_api.py. Do not edit.\n#pragma once\n#include <string_view>\n"
            "namespace pixmill::generated {\n"
            + pieces("k_api_json", "The description as JSON", json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
            + pieces("k_api_page", "The body of the page", Page(spec).whole())
            + pieces("k_api_page_style", "What the page's style has more than that of others", STYLE)
            + "}  // namespace pixmill::generated\n")


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    spec = yaml.load(source.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    only_plain(spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(header_of(spec), encoding="ascii")


if __name__ == "__main__":
    main()

"""docs/openapi.yaml and the server say the same: P45, P46."""

import base64
import copy
import gzip
import hashlib
import http.client
import importlib.util
import io
import json
import os
import random
import re
import socket
import time
import urllib.parse

from PIL import Image

from support import case, name_server, openapi, openapi_requests, pictures, pixmill, webhook_receiver
from support.servers import postgres
from support.waiting import wait_until

SEED = int(os.environ.get("PIXMILL_TEST_SEED", "46"))
REQUESTS = case.short_or_long(3_000, 20_000)
NOBODY = "00000000-0000-4000-8000-000000000000"
PHOTO = pictures.jpeg(pictures.photo(96, 72, seed=1), quality=90)
MARK = pictures.png(pictures.with_alpha(pictures.poster(24, 24)))
# What takes a slow client, a bucket or a race to provoke.
UNPROVOKED = {("getFile", 302), ("auditJob", 409), ("createJob", 409), *((name, 408) for name in (
    "createJob", "validateJob", "retryJob", "createRecipe", "putRecipe", "previewRecipe", "uploadLegacy"))}
# Of these the document says all that there is to say: no other text is taken, and no such text is refused.
SPELLED_OUT = {"limit", "after", "state", "code", "hosts", "version", "cancel", "raw", "repair", "deep", "skip_invalid", "overrides", "priority"}


class Asker:
    """One connection, kept while the server keeps it; of a stream of events it reads no more than asked for."""

    def __init__(self, server, whole_streams=True):
        self._at, self._whole, self._connection = urllib.parse.urlsplit(server.base_url), whole_streams, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def _close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, method, target, headers=None, body=None):
        is_fresh = self._connection is None
        try:
            return self._exchange(method, target, headers or {}, body)
        except (ConnectionError, http.client.RemoteDisconnected):
            # The server may close a kept connection at any time, but not one on which it has answered nothing yet.
            self._close()
            if is_fresh:
                raise
            return self._exchange(method, target, headers or {}, body)

    def _exchange(self, method, target, headers, body):
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._at.hostname, self._at.port, timeout=30)
        connection = self._connection
        connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None and "Transfer-Encoding" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        try:
            connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered before all of the body was sent
        response = connection.getresponse()
        answer = pixmill.Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, self._read(response))
        if response.will_close or not response.isclosed() or "Transfer-Encoding" in headers:
            self._close()
        return answer

    def _read(self, response):
        if self._whole or not (response.getheader("Content-Type") or "").startswith("text/event-stream"):
            return response.read()
        lines = []
        while not lines or lines[-1] or not any(line.startswith(b"data") for line in lines):
            line = response.readline()
            if not line:
                break
            lines.append(line.rstrip(b"\n"))
        return b"".join(line + b"\n" for line in lines)


class Description(case.Case):
    """The document alone, and beside the sources."""

    def setUp(self):
        super().setUp()
        self.document = openapi.document()

    def test_is_openapi_and_whole(self):
        self.assertEqual([], openapi.structure_problems(self.document))

    def test_what_is_wrong_with_a_description_is_found(self):
        def broken(change):
            other = copy.copy(self.document)
            other.spec = copy.deepcopy(self.document.spec)
            change(other.spec)
            return openapi.structure_problems(other)

        jobs = ("paths", "/v1/jobs", "get")

        def at(spec, *keys):
            for key in keys:
                spec = spec[key]
            return spec

        changes = {
            "leads nowhere": lambda spec: at(spec, *jobs, "responses").update({"400": {"$ref": "#/components/responses/None"}}),
            "is there twice": lambda spec: at(spec, *jobs).update(operationId="getJob"),
            "needs ['operationId']": lambda spec: at(spec, *jobs).pop("operationId"),
            "no schema of Draft": lambda spec: at(spec, "components", "schemas", "Count").update(minimum="x"),
            "not what its schema says": lambda spec: at(spec, *jobs, "parameters", 1).update(example=0),
            "never succeeds": lambda spec: at(spec, *jobs, "responses").pop("200"),
            "does not say whether it may have other members": lambda spec: at(spec, "components", "schemas", "Job").pop("additionalProperties"),
            "no sentence": lambda spec: at(spec, *jobs).update(description="lists jobs"),
            "has not the parameters": lambda spec: at(spec, "paths", "/v1/jobs/{id}").update(parameters=[]),
            "nothing refers to it": lambda spec: at(spec, "components", "schemas").update(Other={"type": "string"}),
            "a operation has no": lambda spec: at(spec, *jobs).update(respones={}),
        }
        for text, change in changes.items():
            with self.subTest(text):
                self.assertTrue(any(text in problem for problem in broken(change)), text)

    def test_has_the_routes_that_the_sources_register(self):
        routes = openapi.registered_routes()
        self.assertEqual(sorted((route.method, route.path) for route in routes),
                         sorted((operation.method, operation.path) for operation in self.document.operations))
        for route in routes:
            strict = self.document.spec["paths"][route.path].get("x-trailing-slash") is False
            self.assertEqual(route.either_slash, not strict and route.path != "/", route.path)

    def test_whatever_it_says_is_escaped_on_its_page(self):
        def hostile(value, key=""):
            if isinstance(value, dict):
                return {name + "<b>" if key in ("properties", "content") else name: hostile(part, name) for name, part in value.items()}
            if isinstance(value, list):
                return [hostile(part, key) for part in value]
            leads_on = key in ("$ref", "tags") or (key == "name" and value in tags)
            return value + "</pre><b a='\"`&" if isinstance(value, str) and not leads_on else value

        tags = [tag["name"] for tag in self.document.spec["tags"]]
        made = importlib.util.spec_from_file_location("embed_api", openapi.ROOT / "cmake" / "embed_api.py")
        embed_api = importlib.util.module_from_spec(made)
        made.loader.exec_module(embed_api)
        page = embed_api.Page(hostile(self.document.spec)).whole()
        self.assertIn("&lt;/pre&gt;&lt;b a=&#x27;&quot;", page)
        self.assertNotIn("<b", page.replace("<br>", ""))
        self.assertNotRegex(page, r"&(?!amp;|lt;|gt;|quot;|#x27;)")

    def test_has_the_version_of_the_program(self):
        self.assertIn(f'kVersion = "{self.document.spec["info"]["version"]}"', (openapi.ROOT / "src" / "base" / "version.h").read_text())


class Running(case.Case):
    """A server, an origin and a receiver for the whole class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = case.pathlib.Path(case.tempfile.mkdtemp(prefix="pixmill-test-"))
        cls.addClassCleanup(case.shutil.rmtree, cls.home, ignore_errors=True)
        cls.pictures = cls.enterClassContext(case.Origin())
        cls.receiver = cls.enterClassContext(webhook_receiver.WebhookReceiver())
        # Whatever name a request holds, nobody outside is asked about it.
        names = cls.enterClassContext(name_server.NameServer())
        settings = {"PIXMILL_DNS_SERVERS": names.address, **cls.database()}
        cls.server = cls.enterClassContext(pixmill.Server(cls.home / "data", env=settings))
        cls.document = openapi.document()
        cls.judge = openapi.Judge(cls.document, [cls.home, os.getcwd(), "/spool/"])

    @classmethod
    def database(cls):
        """The settings of one, if it is not the server's own."""
        return {}

    def table(self, *paths):
        return pixmill.table([self.pictures.url + path for path in paths]).encode()

    def submit(self, table, **fields):
        answer = self.server.post("/v1/jobs", fields, {"file": ("products.csv", table)})
        self.assertEqual(201, answer.status, answer)
        return answer.json["id"]


class Contract(Running):
    """Every operation, asked on purpose."""

    def setUp(self):
        super().setUp()
        self.asker = self.use(Asker(self.server))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.seen = set()

    def ask(self, operation_id, status, target, body=None, headers=None, method=None):
        """Asks, and holds the answer against the document and against `status`."""
        operation = self.document.operation(operation_id)
        answer = self.asker.ask(method or operation.method, target, headers, body)
        shown = f"{operation.method} {target}: {answer}"
        self.assertEqual(status, answer.status, shown)
        self.seen.add((operation_id, answer.status))
        self.assertEqual([], self.judge.problems_of(method or operation.method, target, answer), shown)
        return answer

    def form(self, operation_id, status, target, *parts, method=None):
        media_type, body = openapi_requests.form_of(parts)
        return self.ask(operation_id, status, target, body, {"Content-Type": media_type}, method)

    def json(self, operation_id, status, target, value):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask(operation_id, status, target, body, {"Content-Type": "application/json"})

    def finished(self, *paths, **fields):
        job = self.submit(self.table(*paths), **fields)
        return self.server.wait_final(job)

    def held(self):
        """A job whose second picture never comes."""
        job = self.submit(self.table("/pic/held", "/never/1"))
        wait_until(lambda: self.server.job(job)["succeeded"] == 1, 20, "its first picture is done")
        return job

    # -- Jobs

    def test_create_job(self):
        table = (b"file", "products.csv", self.table("/pic/1", "/status/404/1"))
        answer = self.form("createJob", 201, "/v1/jobs", table, (b"recipe", None, b"web"), (b"priority", None, b"-100"), (b"keep", None, b"30d"),
                           (b"webhook_url", None, self.receiver.url.encode()), (b"name", None, "Stühle".encode()), (b"skip_invalid", None, b"on"))
        self.assertTrue(answer.headers["location"].endswith(answer.json["id"]))
        marked = (b"recipe", None, b"watermark=upload")
        self.form("createJob", 201, "/v1/jobs/", table, marked, (b"watermark", "logo.png", MARK))
        for field, value in (("recipe", b"shiny=yes"), ("webhook_url", b"ftp://x"), ("name", b"x" * 201), ("priority", b"101"), ("keep", b"soon"),
                             ("since", b"x"), ("since", NOBODY.encode()), ("headers", b"x"), ("skip_invalid", b"maybe"), ("overrides", b"maybe"),
                             ("name_template", b"{nothing}"),
                             ("name_template", b"{"), ("unknown", b"x"), ("recipe", b"watermark=upload")):
            problem = self.form("createJob", 400, "/v1/jobs", table, (field.encode(), None, value)).json
            self.assertEqual(("invalid_parameter", field), (problem["code"], problem["parameter"]))
        self.assertEqual("file", self.form("createJob", 400, "/v1/jobs").json["parameter"])
        self.assertEqual("invalid_argument", self.form("createJob", 400, "/v1/jobs", table, table).json["code"])
        self.ask("createJob", 400, "/v1/jobs", b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"})
        self.form("createJob", 413, "/v1/jobs", table, (b"name", None, b"x" * 70_000))
        self.ask("createJob", 415, "/v1/jobs", b"a,b", {"Content-Type": "text/csv"})
        for data, code in ((b"", "invalid_table"), (b"a,b\n1,2\n", "invalid_table"), (b"url\nhtp://x\n", "invalid_rows"),
                           (gzip.compress(b"url\n")[:-9], "invalid_table")):
            self.assertEqual(code, self.form("createJob", 422, "/v1/jobs", (b"file", "a.csv", data)).json["code"])
        self.assertEqual("not_an_image", self.form("createJob", 422, "/v1/jobs", table, marked, (b"watermark", "a.png", b"<html>")).json["code"])

    def test_create_job_as_json(self):
        picture = self.pictures.url + "/pic/1"
        job = self.json("createJob", 201, "/v1/jobs", {"rows": [picture, {"url": picture + "?b", "price": 19.9}], "recipe": {"format": "png"},
                                                       "headers": ["127.0.0.1: X-Key: a"], "priority": 3, "skip_invalid": False}).json
        done = self.server.wait_final(job["id"])
        self.assertEqual((2, 2, "format=png"), (done["total"], done["succeeded"], done["recipe"]))
        self.assertIn(",19.9,", self.server.get(f"/v1/jobs/{job['id']}/result.csv").text)
        for wrong, name in (([], "body"), ({}, "rows"), ({"rows": [1]}, "rows[0]"), ({"rows": [picture], "priority": "3"}, "priority"),
                            ({"rows": [picture], "unknown": "x"}, "unknown"), ({"rows": [picture], "recipe": "shiny=yes"}, "recipe")):
            self.assertEqual(name, self.json("createJob", 400, "/v1/jobs", wrong).json["parameter"])
        self.json("createJob", 413, "/v1/jobs", b" " * (9 << 20))
        self.assertEqual("invalid_table", self.json("createJob", 422, "/v1/jobs", {"rows": []}).json["code"])
        self.assertEqual("invalid_rows", self.json("createJob", 422, "/v1/jobs", {"rows": ["htp://x"]}).json["code"])

    def test_validate_job(self):
        picture = self.pictures.url + "/pic/1"
        before = self.server.get("/v1/jobs").json["total"]
        found = self.form("validateJob", 200, "/v1/jobs/validate", (b"file", "a.csv", f"url,sku\n{picture},1\nhtp://x,2\n".encode()),
                          (b"recipe", None, b"web")).json
        self.assertEqual((False, 2, 1, 1, ["url", "sku"]), tuple(found[name] for name in ("accepted", "rows", "bad_rows", "images", "columns")))
        self.assertEqual((2, "url"), (found["errors"][0]["row"], found["errors"][0]["column"]))
        for fields, accepted in (({}, True), ({"skip_invalid": True}, True)):
            rows = [picture] if not fields else [picture, "htp://x"]
            self.assertEqual(accepted, self.json("validateJob", 200, "/v1/jobs/validate/", {"rows": rows, **fields}).json["accepted"])
        self.json("validateJob", 400, "/v1/jobs/validate", {"rows": [picture], "keep": "soon"})
        self.json("validateJob", 413, "/v1/jobs/validate", b" " * (9 << 20))
        self.ask("validateJob", 415, "/v1/jobs/validate", b"a,b", {"Content-Type": "text/csv"})
        self.json("validateJob", 422, "/v1/jobs/validate", {"rows": []})
        self.assertEqual(before, self.server.get("/v1/jobs").json["total"], "nothing was started")
        self.assertEqual([], list((self.server.data / "spool").iterdir()))

    def test_idempotency_key(self):
        key = {"Content-Type": "application/json", "Idempotency-Key": "order-4711"}
        body = json.dumps({"rows": [self.pictures.url + "/pic/1"]}).encode()
        first = self.ask("createJob", 201, "/v1/jobs", body, key)
        again = self.ask("createJob", 201, "/v1/jobs", body, key)
        self.assertEqual((first.json["id"], "true"), (again.json["id"], again.headers["idempotent-replayed"]))
        other = self.ask("createJob", 422, "/v1/jobs", body.replace(b"1", b"2"), key)
        self.assertEqual("idempotency_key_reused", other.json["code"])
        self.ask("createJob", 400, "/v1/jobs", body, {**key, "Idempotency-Key": "two words"})

    def test_text_that_is_not_utf_8_is_told_in_utf_8(self):
        table = (b"file", "products.csv", self.table("/pic/1"))
        for field, value, status in ((b"url_column", b"\xff\xfe", 422), (b"name_template", b"{\xff}", 400), (b"recipe", b"quality=\xff", 400),
                                     (b"name", b"\xff", 400),
                                     (b"headers", b"127.0.0.1: X-Key: \xff", 400)):
            with self.subTest(field=field):
                self.form("createJob", status, "/v1/jobs", table, (field, None, value))
        with self.subTest("in an address"):
            self.json("putRecipe", 400, "/v1/recipes/%ff", {"name": "own", "recipe": "quality=1"})

    def test_list_jobs(self):
        self.finished("/pic/1")
        self.finished("/pic/2")
        page = self.ask("listJobs", 200, "/v1/jobs?state=completed&limit=1").json
        more = self.ask("listJobs", 200, f"/v1/jobs/?limit=1&before={page['next']}").json
        self.assertNotEqual(page["jobs"][0]["id"], more["jobs"][0]["id"])
        for query in ("limit=0", "limit=501", "limit=x", "limit=", "state=deleting", "state=x", "before=x", "before="):
            self.assertEqual(query.split("=")[0], self.ask("listJobs", 400, f"/v1/jobs?{query}").json["parameter"])

    def test_one_job(self):
        job = self.finished("/pic/1", "/status/404/1")
        self.assertEqual(job, self.ask("getJob", 200, f"/v1/jobs/{job['id'].upper()}").json)
        self.ask("getJob", 200, f"/v1/jobs/{job['id']}/", method="HEAD")
        for other in (NOBODY, "x", "%ff", "a%2fb"):
            self.ask("getJob", 404, f"/v1/jobs/{other}")

    def test_control(self):
        job = self.held()
        self.ask("pauseJob", 200, f"/v1/jobs/{job}/pause")
        self.ask("resumeJob", 200, f"/v1/jobs/{job}/resume")
        self.ask("retryJob", 409, f"/v1/jobs/{job}/retry")
        self.ask("deleteJob", 409, f"/v1/jobs/{job}")
        self.ask("deleteJob", 400, f"/v1/jobs/{job}?cancel=maybe")
        self.ask("cancelJob", 200, f"/v1/jobs/{job}/cancel")
        self.ask("pauseJob", 409, f"/v1/jobs/{job}/pause")
        self.ask("resumeJob", 409, f"/v1/jobs/{job}/resume")
        self.ask("deleteJob", 202, f"/v1/jobs/{self.held()}?cancel=1")
        self.ask("deleteJob", 204, f"/v1/jobs/{self.finished('/pic/1')['id']}")
        for name in ("cancelJob", "pauseJob", "resumeJob", "retryJob", "deleteJob"):
            self.ask(name, 404, self.document.operation(name).path.replace("{id}", NOBODY))

    def test_retry(self):
        job = self.finished("/pic/1", "/status/404/1")["id"]
        self.json("retryJob", 200, f"/v1/jobs/{job}/retry", {"code": "http_404"})
        self.assertEqual(2, self.server.wait_final(job)["generation"])
        self.json("retryJob", 409, f"/v1/jobs/{job}/retry", {"code": "timeout"})
        self.ask("retryJob", 200, f"/v1/jobs/{job}/retry")
        for body in (b"x", b"[]", {"code": 1}, {"other": "x"}, b"[" * 5000):
            self.json("retryJob", 400, f"/v1/jobs/{job}/retry", body)
        self.json("retryJob", 413, f"/v1/jobs/{job}/retry", b" " * 70_000)

    def test_events(self):
        job = self.submit(self.table(*[f"/slow/{n}?ms=20" for n in range(40)], "/status/404/1"))
        text = self.ask("streamJobEvents", 200, f"/v1/jobs/{job}/events").text
        names = re.findall(r"^event: (\w+)$", text, re.MULTILINE)
        self.assertEqual(("snapshot", "end"), (names[0], names[-1]), names)
        self.assertLessEqual({"progress", "state", "errors"}, set(names))
        last = re.findall(r"^id: (.+)$", text, re.MULTILINE)[-1]
        self.ask("streamJobEvents", 204, f"/v1/jobs/{job}/events", headers={"Last-Event-ID": last})
        self.ask("streamJobEvents", 404, f"/v1/jobs/{NOBODY}/events")
        paused = self.held()
        listener = self.use(Asker(self.server))
        self.ask("deleteJob", 202, f"/v1/jobs/{paused}?cancel=1")
        answer = listener.ask("GET", f"/v1/jobs/{paused}/events")
        if answer.status == 200:  # it may be gone by now
            self.assertEqual([], self.judge.problems_of("GET", f"/v1/jobs/{paused}/events", answer))

    def test_audit(self):
        job = self.finished("/pic/1", "/status/404/1")["id"]
        self.assertTrue(self.ask("auditJob", 200, f"/v1/jobs/{job}/audit").json["clean"])
        self.assertTrue(self.ask("auditJob", 200, f"/v1/jobs/{job}/audit?repair=1&deep=yes").json["files"]["read"])
        output = self.server.items(job)[0]["outputs"][0]
        (self.server.data / "files" / output["key"]).write_bytes(b"other")
        (self.server.data / "files" / job / "stray.jpg").write_bytes(b"x")
        found = self.ask("auditJob", 200, f"/v1/jobs/{job}/audit/?deep=1").json
        self.assertEqual((False, 1, 1), (found["clean"], found["dangling"], found["orphan"]))
        self.ask("auditJob", 400, f"/v1/jobs/{job}/audit?deep=maybe")
        self.ask("auditJob", 404, f"/v1/jobs/{NOBODY}/audit")

    # -- Results

    def test_items(self):
        job = self.finished("/pic/1", "/pic/1", "/status/404/1", "/lying/1", recipe="a: format=png b: quality=80",
                            name_template="{index}-{rendition}.{ext}")["id"]
        everything = self.ask("listItems", 200, f"/v1/jobs/{job}/items").json
        self.assertEqual((4, [2, 2, 0, 0]), (everything["total"], [len(item["outputs"]) for item in everything["items"]]))
        page = self.ask("listItems", 200, f"/v1/jobs/{job}/items?limit=1&state=failed&code=http_404").json
        self.assertEqual((3, 1), (page["items"][0]["item"], page["total"]))
        self.assertEqual(1, self.ask("listItems", 200, f"/v1/jobs/{job}/items?limit=1").json["next"])
        self.ask("listItems", 200, f"/v1/jobs/{job}/items?offset=9223372036854775807&limit=1000")
        for query in ("limit=0", "limit=1001", "after=-1", "after=9223372036854775808", "offset=x", "offset=1&after=1", "state=x", "code=A",
                      "code=" + "a" * 65):
            self.assertEqual(query.split("=")[0], self.ask("listItems", 400, f"/v1/jobs/{job}/items?{query}").json["parameter"])
        self.ask("listItems", 404, f"/v1/jobs/{NOBODY}/items")
        for item in everything["items"]:
            self.assertEqual(item, self.ask("getItem", 200, f"/v1/jobs/{job}/items/{item['item']}").json)
        for number in ("0", "5", "-1", "x", "9223372036854775807", "99999999999999999999", "1.0"):
            self.ask("getItem", 404, f"/v1/jobs/{job}/items/{number}")
        self.ask("getItem", 404, f"/v1/jobs/{NOBODY}/items/1")
        codes = {group["code"]: group["count"] for group in self.ask("listErrors", 200, f"/v1/jobs/{job}/errors").json["errors"]}
        self.assertEqual({everything["items"][2]["error"]["code"]: 1, everything["items"][3]["error"]["code"]: 1}, codes)
        self.ask("listErrors", 404, f"/v1/jobs/{NOBODY}/errors")
        held = self.held()
        states = {item["state"] for item in self.ask("listItems", 200, f"/v1/jobs/{held}/items").json["items"]}
        self.assertIn("leased", states)
        self.ask("cancelJob", 200, f"/v1/jobs/{held}/cancel")

    def test_result_files(self):
        before = self.finished("/pic/1", "/pic/2")["id"]
        job = self.finished("/pic/1", since=before)
        self.assertEqual((1, 1), (job["gone"], job["new"] + job["changed"] + job["unchanged"]))
        for name in ("result", "images", "gone"):
            operation = f"get{name.title()}Csv"
            rows = case.read_csv(self.ask(operation, 200, f"/v1/jobs/{job['id']}/{name}.csv").text)
            self.assertEqual(1, len(rows))
            described = self.document.spec["paths"][f"/v1/jobs/{{id}}/{name}.csv"]["get"]["description"]
            columns = [column for column in rows[0] if column not in ("S.No.", "Product Name", "Input Image Urls")]
            self.assertEqual(columns, [column for column in re.findall(r"`([^`]+)`", described) if column != "since"][:len(columns)])
            self.ask(operation, 200, f"/v1/jobs/{job['id']}/{name}.csv?raw=TRUE")
            self.ask(operation, 400, f"/v1/jobs/{job['id']}/{name}.csv?raw=maybe")
            self.ask(operation, 404, f"/v1/jobs/{NOBODY}/{name}.csv")
        self.ask("getGoneCsv", 404, f"/v1/jobs/{before}/gone.csv")

    def test_files(self):
        job = self.finished("/pic/1")["id"]
        output = self.server.items(job)[0]["outputs"][0]
        path = "/files/" + output["key"]
        whole = self.ask("getFile", 200, path)
        self.assertEqual(output["bytes"], len(whole.body))
        self.ask("getFile", 200, path, method="HEAD")
        self.assertEqual(whole.body[2:5], self.ask("getFile", 206, path, headers={"Range": "bytes=2-4"}).body)
        for headers in ({"If-None-Match": whole.headers["etag"]}, {"If-None-Match": "*"}, {"If-Modified-Since": whole.headers["last-modified"]}):
            self.ask("getFile", 304, path, headers=headers)
        for key in ("x", f"{job}", f"{job}/", "../pixmill.db", "%2e%2e/pixmill.db", f"{job}/../../pixmill.db", "%ff", "%5c"):
            self.ask("getFile", 404, f"/files/{key}")

    def test_a_range_behind_the_end(self):
        job = self.finished("/pic/1")["id"]
        path = "/files/" + self.server.items(job)[0]["outputs"][0]["key"]
        self.ask("getFile", 416, path, headers={"Range": "bytes=99999999-"})

    # -- Webhooks

    def test_webhooks(self):
        before = len(self.receiver.deliveries)
        job = self.finished("/pic/1", webhook_url=self.receiver.url)["id"]
        legacy = self.server.upload(self.table("/pic/2"), webhook_url=self.receiver.url)
        deliveries = self.receiver.wait_for(before + 2)[before:]
        operation = self.document.spec["webhooks"]["jobEnded"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for delivery in deliveries:
            self.assertEqual([], self.document.problems_of_value(schema, json.loads(delivery.body)))
            self.assertEqual("application/json", delivery.headers["content-type"])
            for parameter in operation["parameters"]:
                value = delivery.headers[parameter["name"]]
                value = int(value) if value.isdecimal() else value
                self.assertEqual([], self.document.problems_of_value(parameter["schema"], value))
        self.assertEqual({job, legacy}, {json.loads(delivery.body)["request_id"] for delivery in deliveries})
        self.assertEqual(1, sum("data" in json.loads(delivery.body) for delivery in deliveries))
        listed = self.ask("listDeliveries", 200, f"/v1/jobs/{job}/deliveries").json["deliveries"]
        self.ask("listDeliveries", 404, f"/v1/jobs/{NOBODY}/deliveries")
        path = f"/v1/jobs/{job}/deliveries/{listed[0]['id']}/resend"
        self.ask("resendDelivery", 202, path)
        again = self.receiver.wait_for(before + 3)[-1]
        self.assertEqual(listed[0]["id"], again.headers["webhook-id"])
        for other in (path.replace(job, NOBODY), path.replace("evt_", "x"), path.replace(job, "x")):
            self.ask("resendDelivery", 404, other)

    # -- Recipes and previews

    def test_recipes(self):
        self.ask("listRecipes", 200, "/v1/recipes")
        first = {"name": "contract", "recipe": "format=webp quality=70"}
        self.json("createRecipe", 201, "/v1/recipes", first)
        self.json("createRecipe", 200, "/v1/recipes/", first)
        self.json("putRecipe", 201, "/v1/recipes/contract", {"recipe": {"format": "webp", "resize": {"width": 60, "fit": "cover", "height": 60},
                                                                        "chroma": 420}})
        self.json("putRecipe", 200, "/v1/recipes/contract", {"recipe": "contract@2"})
        self.assertEqual(2, self.ask("getRecipe", 200, "/v1/recipes/contract").json["version"])
        self.ask("getRecipe", 200, "/v1/recipes/contract@1?version=x")
        self.ask("getRecipe", 200, "/v1/recipes/contract?version=1")
        self.ask("getRecipe", 400, "/v1/recipes/contract?version=0")
        for name in ("contract@3", "contract?version=3", "nobody", "A", "%ff", "x" * 65):
            self.ask("getRecipe", 404, f"/v1/recipes/{name}")
        for body in (b"x", b"[]", {}, {"name": "a"}, {"name": "A", "recipe": "quality=1"}, {"name": "web", "recipe": "quality=1"},
                     {"name": "a", "recipe": 1},
                     {"name": "a", "recipe": "quality=1", "other": 1}, {"name": "a", "recipe": {"quality": 0}},
                     {"name": "a", "recipe": {"shiny": True}}):
            self.json("createRecipe", 400, "/v1/recipes", body)
        self.json("putRecipe", 400, "/v1/recipes/contract", {"name": "other", "recipe": "quality=1"})
        self.json("createRecipe", 413, "/v1/recipes", b" " * 70_000)
        self.json("putRecipe", 413, "/v1/recipes/contract", b" " * 70_000)
        self.ask("deleteRecipe", 204, "/v1/recipes/contract")
        self.assertTrue(self.ask("getRecipe", 200, "/v1/recipes/contract@1").json["removed"])
        self.ask("deleteRecipe", 404, "/v1/recipes/contract")
        self.ask("deleteRecipe", 400, "/v1/recipes/web")

    def test_preview(self):
        for text, expected in (("format=jpeg quality=40", "JPEG"), ("format=png", "PNG"), ("format=webp", "WEBP"), ("format=gif", "GIF"),
                               ("format=tiff", "TIFF"), ("format=avif", None)):
            answer = self.ask("previewRecipe", 200, "/v1/preview?recipe=" + urllib.parse.quote(text), PHOTO, {"Content-Type": "image/jpeg"})
            if expected:
                with Image.open(io.BytesIO(answer.body)) as picture:
                    self.assertEqual(expected, picture.format)
        photo = (b"file", "a.jpg", PHOTO)
        answer = self.form("previewRecipe", 200, "/v1/preview?recipe=web", photo, (b"recipe", None, b"a: format=png b: format=webp max_bytes=1000"),
                           (b"output", None, b"b"))
        self.assertEqual("fitted", answer.headers["pixmill-note"])
        self.form("previewRecipe", 200, "/v1/preview", photo, (b"recipe", None, b"watermark=upload"), (b"watermark", "a.png", MARK),
                  (b"other", None, b"x"))
        self.assertEqual("missing_file", self.ask("previewRecipe", 400, "/v1/preview", b"").json["code"])
        self.form("previewRecipe", 400, "/v1/preview", photo, (b"recipe", None, b"a: quality=1 b: quality=2"))
        self.form("previewRecipe", 400, "/v1/preview", photo, (b"recipe", None, b"shiny=1"))
        self.form("previewRecipe", 413, "/v1/preview", photo, (b"recipe", None, b"x" * 20_000))
        for data, code in ((b"<html>", "not_an_image"), (b"%PDF-1.4", "unsupported_format"), (pictures.truncated(MARK), "truncated")):
            self.assertEqual(code, self.ask("previewRecipe", 422, "/v1/preview", data).json["code"])
        for image, code in ((self.pictures.url + "/status/404/1", "http"), (self.pictures.url + "/lying/1", "not_an_image"),
                            ("http://127.0.0.1:1/", "connect")):
            problem = self.ask("previewRecipe", 422, "/v1/preview?recipe=" + urllib.parse.quote(f"watermark={image}"), PHOTO).json
            self.assertEqual(code, problem["code"])

    # -- Operations and the original platform

    def test_operations(self):
        self.ask("getFrontPage", 200, "/")
        self.ask("getHealth", 200, "/healthz")
        version = self.ask("getReadiness", 200, "/readyz").json["version"]
        self.assertEqual(self.document.spec["info"]["version"], version)
        self.ask("getMetrics", 200, "/metrics")
        self.finished("/pic/1")
        self.assertTrue(self.ask("getSystem", 200, "/v1/system?hosts=1000").json["hosts"]["table"])
        self.assertEqual([], self.ask("getSystem", 200, "/v1/system?hosts=0").json["hosts"]["table"])
        for hosts in ("-1", "1001", "x"):
            self.ask("getSystem", 400, f"/v1/system?hosts={hosts}")

    def test_the_description_as_json(self):
        answer = self.ask("getApiDescription", 200, "/openapi.json")
        self.assertEqual(self.document.spec, answer.json)
        self.assertEqual("no-cache", answer.headers["cache-control"])
        for tags in (answer.headers["etag"], f'"other", W/{answer.headers["etag"]}', "*"):
            self.ask("getApiDescription", 304, "/openapi.json", headers={"If-None-Match": tags})
        self.assertEqual(answer.body, self.ask("getApiDescription", 200, "/openapi.json", headers={"If-None-Match": '"other"'}).body)

    def test_the_description_as_a_page(self):
        answer = self.ask("getApiPage", 200, "/docs/api")
        self.assertLess(len(answer.body), 300_000)
        self.assertEqual(answer.body, self.ask("getApiPage", 200, "/docs/api/").body)
        self.ask("getApiPage", 304, "/docs/api", headers={"If-None-Match": answer.headers["etag"]})
        for operation in self.document.operations:
            self.assertIn(f'id="{operation.id}"', answer.text)
            self.assertIn(f"<code>{operation.path}</code>", answer.text)
        for name in self.document.spec["components"]["schemas"]:
            self.assertIn(f'id="schema-{name}"', answer.text)
        anchors = re.findall(r'\bid="([^"]+)"', answer.text)
        self.assertEqual(len(anchors), len(set(anchors)))
        self.assertEqual(set(), set(re.findall(r'\bhref="([^"]+)"', answer.text)) - {f"#{anchor}" for anchor in anchors} - {"/", "/openapi.json"})

    def test_pages_allow_their_own_style_and_nothing_else(self):
        policies = set()
        for name, path in (("getFrontPage", "/"), ("getApiPage", "/docs/api")):
            answer = self.ask(name, 200, path)
            self.assertNotRegex(answer.text, r"(?i)<script|<link|<img|<iframe|\bon\w+=|\bstyle=|\bsrc=|url\(|@import")
            (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            policy = answer.headers["content-security-policy"]
            self.assertIn(f"style-src 'sha256-{digest}';", policy)
            policies.add(policy.replace(digest, ""))
        self.assertEqual(1, len(policies), policies)

    def test_the_original_platform(self):
        table = (b"file", "products.csv", self.table("/pic/1", "/status/404/1"))
        job = self.form("uploadLegacy", 201, "/imgproc/upload", table, (b"other", None, b"x")).json["request_id"]
        self.ask("getStatusLegacy", 200, f"/imgproc/status/{job}/")
        self.server.wait_final(job)
        self.ask("getStatusLegacy", 200, f"/imgproc/status/{job}")
        page = self.ask("getStatusLegacy", 200, f"/imgproc/status/{job}/", headers={"Accept": "text/html"})
        self.assertTrue(page.headers["content-type"].startswith("text/html"))
        self.ask("getStatusLegacy", 404, f"/imgproc/status/{NOBODY}/")
        self.ask("helloLegacy", 200, "/imgproc/hello/")
        self.ask("checkDatabaseLegacy", 200, "/imgproc/check_db_connection")
        self.form("uploadLegacy", 400, "/imgproc/upload")
        self.form("uploadLegacy", 400, "/imgproc/upload", (b"file", "a.csv", b"S.No.,Product Name,Input Image Urls\n1,A,htp://x\n"))
        self.form("uploadLegacy", 400, "/imgproc/upload", table, (b"recipe", None, b"\xff=\xff"))
        self.ask("uploadLegacy", 400, "/imgproc/upload", b"x")
        self.form("uploadLegacy", 413, "/imgproc/upload", table, (b"recipe", None, b"x" * 70_000))
        self.form("uploadLegacy", 422, "/imgproc/upload", table, (b"recipe", None, b"watermark=upload"), (b"watermark", "a.png", b"<html>"))

    # -- What any request may meet

    def test_a_host_and_an_origin_that_are_not_ours(self):
        probes = {"getHealth", "getReadiness", "getMetrics"}
        for operation in self.document.operations:
            target = re.sub(r"\{\w+\}", "x", operation.path)
            status = 200 if operation.id in probes else 400
            self.ask(operation.id, status, target, headers={"Host": "evil.example"})
            if operation.method not in ("GET", "HEAD"):
                self.ask(operation.id, 403, target, headers={"Origin": "http://evil.example"})

    def test_other_methods_are_405_and_allow_says_which_there_are(self):
        paths = self.document.spec["paths"]
        for path in paths:
            target = re.sub(r"\{\w+\}", "x", path)
            # /v1/jobs/validate is also what /v1/jobs/{id} may be.
            fitting = [item for other, item in paths.items() if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", other), target)]
            wanted = {method.upper() for item in fitting for method in openapi.METHODS if method in item}
            wanted |= {"HEAD"} if "GET" in wanted else set()
            for method in ("PATCH", "TRACE", "X") + (() if "GET" in wanted else ("GET", "HEAD")):
                answer = self.asker.ask(method, target)
                self.assertEqual(405, answer.status, f"{method} {target}")
                self.assertEqual([], self.judge.problems_of(method, target, answer), f"{method} {target}")
                self.assertEqual(wanted, set(answer.headers["allow"].split(", ")))
            answer = self.asker.ask("OPTIONS", target)
            self.assertEqual(204, answer.status)
            self.assertEqual([], self.judge.problems_of("OPTIONS", target, answer))
            self.assertEqual(wanted | {"OPTIONS"}, set(answer.headers["allow"].split(", ")))
            preflight = self.asker.ask("OPTIONS", target, {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"})
            self.assertEqual([], self.judge.problems_of("OPTIONS", target, preflight))

    def test_unknown_paths_are_404(self):
        for target in ("/x", "/v1", "/v1/", "/v1/job", "/v1/jobs/x/y", "/v1/jobs//items", "/files", "/files/", "/imgproc", "/imgproc/x",
                       "/v1/system/", "/v1/preview/", "//"):
            answer = self.asker.ask("GET", target)
            self.assertEqual(404, answer.status, target)
            self.assertEqual([], self.judge.problems_of("GET", target, answer), target)

    def test_refusals_before_any_path(self):
        host = f"Host: {urllib.parse.urlsplit(self.server.base_url).netloc}\r\n"
        for text, status in ((f"GET /v1/jobs/%00 HTTP/1.1\r\n{host}\r\n", 400), (f"GET /v1/jobs HTTP/1.1\r\n{host}{host}\r\n", 400),
                             ("GET /v1/jobs HTTP/1.1\r\n\r\n", 400),
                             (f"POST /v1/jobs HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                             (f"GET /v1/jobs HTTP/1.1\n{host}\r\n", 400),
                             (f"GET /imgproc/hello HTTP/1.1\r\n{host} x: y\r\n\r\n", 400),
                             (f"POST /v1/jobs HTTP/1.1\r\n{host}Expect: x\r\n\r\n", 417),
                             (f"GET /v1/jobs HTTP/1.1\r\n{host}X: {'y' * 17_000}\r\n\r\n", 431),
                             (f"GET /v1/jobs HTTP/1.1\r\n{host}" + "X: y\r\n" * 101 + "\r\n", 431),
                             (f"POST /v1/jobs HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n", 501),
                             (f"GET /v1/jobs HTTP/2.0\r\n{host}\r\n", 505)):
            with self.subTest(text[:60]), socket.create_connection((self.asker._at.hostname, self.asker._at.port), 10) as connection:
                connection.sendall(text.encode())
                response = http.client.HTTPResponse(connection)
                response.begin()
                answer = pixmill.Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
                self.assertEqual(status, answer.status, answer)
                self.assertEqual([], self.judge.problems_of(text.split(" ")[0], "/v1/jobs", answer), answer)

    def test_zz_every_status_below_500_was_met(self):
        described = {(operation.id, int(status)) for operation in self.document.operations for status in operation.responses if int(status) < 500}
        self.assertEqual(set(), described - self.seen - UNPROVOKED)
        self.assertEqual(set(), self.seen & UNPROVOKED)


class World:
    """What exists on a server, for openapi_requests.Generator: it learns from answers."""

    def __init__(self, test, pinned, followed):
        self._table, self._pinned, self._followed = test.table, pinned, followed
        self._hook = test.receiver.url
        self._jobs, self._recipes, self._keys, self._events, self._own = [], ["own", "own-2", "other_3"], ["x"], ["evt_x"], []

    def values(self, operation_id, name):
        if name == "id":
            if operation_id == "resendDelivery":
                return [self._followed]
            return self._own or None if operation_id == "deleteJob" else [*self._pinned, *self._jobs[-40:]]
        if name == "name" and operation_id in ("getRecipe", "putRecipe", "deleteRecipe", "createRecipe"):
            return [*self._recipes[:12], "web", "compress@1", "own@1", "own@2"] if operation_id == "getRecipe" else self._recipes[:12]
        if name == "recipe":
            return None if operation_id in ("createRecipe", "putRecipe") else [
                "web", "compress@1", "own", "format=webp quality=80", "a: format=png b: quality=20 resize=40x", '{"format":"jpeg","quality":30}',
                "watermark=upload", "grayscale=true blur=1.5"]
        if name == "rows":
            return [[self._table("/pic/1").decode().split(",")[-1].strip().strip('"')] * 2]
        return {"event": self._events, "key": self._keys, "webhook_url": [self._hook], "since": self._pinned,
                "url_column": ["url", "Input Image Urls"],
                "headers": ["127.0.0.1: X-Key: abc", "images.example: Authorization: x\n127.0.0.1: A: b"],
                "name_template": ["{row}-{index}.{ext}", "{sha}/{uuid}", "{S.No.}"],
                "before": ["1", "7", "100000"], "output": ["a", "b"], "Range": ["bytes=0-99", "bytes=-5"],
                "Last-Event-ID": ["1.2.1.1.completed_with_errors"]}.get(name)

    def file(self, operation_id, field, chance):
        if field == "watermark":
            return chance.choice([("logo.png", MARK), ("logo.png", MARK), ("", b""), ("page.png", b"<html>"), ("cut.png", MARK[:90])])
        if operation_id == "previewRecipe":
            return "a.jpg", chance.choice([PHOTO, PHOTO, PHOTO, MARK, PHOTO[:500], b"<svg/>", b"\x00" * 64, b""])
        number = chance.randrange(50)
        table = self._table(f"/pic/{number}", chance.choice([f"/pic/{number + 1}", "/status/404/1", "/lying/1", f"/pic/{number}",
                                                             f"/slow/{number}?ms=400"]))
        if operation_id == "uploadLegacy":
            return chance.choice([("a.csv", table), ("a.csv", table), ("B.CSV", table), ("a.txt", table), ("a.csv", table + b"9,,\r\n")])
        plain = table.split(b'"')[1].split(b", ")[0] if b'"' in table else table.split(b",")[-1].strip()
        return chance.choice([("products.csv", table), ("products.csv", table), ("products.csv.gz", gzip.compress(table)),
                              ("a.jsonl", b'{"url": "%s", "quality": "40"}\n' % plain),
                              ("a.tsv", b"url\tname\n%s\tone\n" % plain), ("list", plain + b"\n"), ("bad.csv", b"url\nhtp://x\n" + plain + b"\n"),
                              ("\u202efoo/../x.csv", table),
                              ("own.csv", b"url,recipe,width\n%s,own,30\n%s,,99999\n" % (plain, plain)), ("broken.csv", b'url\n"'),
                              ("empty.csv", b"")])

    def learn(self, operation_id, target, answer):
        if answer.status == 201 and operation_id in ("createJob", "uploadLegacy"):
            job = answer.json.get("id") or answer.json["request_id"]
            self._jobs.append(job)
            self._own.append(job)
        if operation_id == "deleteJob" and answer.status in (202, 204):
            gone = target.split("?")[0].strip("/").rsplit("/", 1)[1]
            self._jobs, self._own = [job for job in self._jobs if job != gone], [job for job in self._own if job != gone]
        if answer.status != 200 or not answer.body:
            return
        if operation_id == "listItems":
            self._keys = ([output["key"] for item in answer.json["items"] for output in item["outputs"]] + self._keys)[:40]
        if operation_id == "listDeliveries":
            self._events = ([delivery["id"] for delivery in answer.json["deliveries"]] + self._events)[:5]


class Generated(Running):
    """P46: nothing that anybody sends gets a 5xx, or an answer that the document does not know."""

    requests, meets_everything = REQUESTS, True

    def problems_of(self, generator, request, answer):
        found = self.judge.problems_of(request.method, request.target, answer)
        if answer.status >= 500 and not (answer.status == 501 and "Transfer-Encoding" in request.headers):
            found.append("a 5xx")
        reached, _ = self.judge.find(request.method, request.target)
        if not request.sent["whole"] or (request.method, request.operation) != (request.operation.method, reached):
            return found
        refused = generator.refused_names(request)
        path = request.target.split("?")[0]
        if "@" in path or "%40" in path:
            refused.discard("version")  # not looked at beside a name with its own
        if answer.status < 300 and refused:
            found.append(f"took {sorted(refused)}, which the document does not allow")
        if answer.status == 400 and request.sent["json"] is None and answer.headers.get("content-type") == "application/problem+json":
            problem = json.loads(answer.body.decode("utf-8", "replace"))
            odd = any(character < " " for character in problem.get("value", ""))
            if problem.get("parameter") in SPELLED_OUT - refused and not odd:
                found.append(f"refused {problem['parameter']}, which the document allows")
        return found

    def test_no_request_gets_a_5xx_or_an_answer_that_is_not_described(self):
        print(f"seed {SEED} (PIXMILL_TEST_SEED), {self.requests} requests", flush=True)
        followed = self.submit(self.table("/pic/1", "/status/404/1"), webhook_url=self.receiver.url)
        self.server.wait_final(followed)
        compared = self.submit(self.table("/pic/1"), since=followed)
        self.server.wait_final(compared)
        world = World(self, [followed, compared], followed)
        generator = openapi_requests.Generator(self.document, random.Random(SEED), world)
        asker = self.use(Asker(self.server, whole_streams=False))
        succeeded, problems, begun = set(), [], time.monotonic()
        for number in range(self.requests):
            request = generator.request()
            answer = asker.ask(request.method, request.target, request.headers, request.body)
            operation, _ = self.judge.find(request.method, request.target)
            if operation:
                world.learn(operation.id, request.target, answer)
            if answer.status < 300:
                succeeded.add(request.operation.id)
            problems += [f"{number}: {problem}\n  {request.method} {request.target} {request.headers} {(request.body or b'')[:400]!r}\n  {answer}"
                         for problem in self.problems_of(generator, request, answer)]
        print(f"{self.requests} requests in {time.monotonic() - begun:.1f} s, {len(problems)} problems", flush=True)
        self.assertEqual([], problems[:1], "\n".join(problems[:40]))
        if self.meets_everything:
            self.assertEqual(set(), {operation.id for operation in self.document.operations} - succeeded, "every operation succeeds at times")
        self.assertEqual(200, self.server.get("/healthz").status)
        for word in ("http_handler_threw", "request_failed"):
            self.assertNotIn(word, self.server.log_text())
        self.end_every_job()

    def end_every_job(self):
        """What was taken can be done: no job is left that does not end."""
        def under_way():
            for job in self.server.get("/v1/jobs?state=paused&limit=500").json["jobs"]:
                self.server.request("POST", f"/v1/jobs/{job['id']}/resume")
            pages = [self.server.get(f"/v1/jobs?state={state}").json for state in ("receiving", "ingesting", "running", "paused", "cancelling")]
            return [job for page in pages for job in page["jobs"]]

        wait_until(lambda: not under_way(), 60, lambda: f"every job ends: {under_way()[:3]}")


class GeneratedOnPostgres(Generated):
    """The same on the other database."""

    requests, meets_everything = REQUESTS // 4, False

    @classmethod
    def database(cls):
        return cls.enterClassContext(postgres.Server()).settings()


if __name__ == "__main__":
    case.main()

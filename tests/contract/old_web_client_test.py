"""The original web client's requests, as it makes them: they must work against Pixmill unchanged."""

import html.parser
import json
import re

from support import case, pixmill, webhook_receiver
from support.waiting import wait_until

ORIGIN = "http://localhost:3000"
ACCEPT = "application/json, text/html"


class Table(html.parser.HTMLParser):
    """The cells of the first table, and every element that is in the page."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.elements, self.links, self._cell = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""
        elif tag == "a":
            self.links.append(dict(attributes).get("href"))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self._cell.strip())
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data


class OldWebClient(case.Case):
    def setUp(self):
        super().setUp()
        self.pictures = self.origin()
        self.secret = webhook_receiver.new_secret()
        self.receiver = self.use(webhook_receiver.WebhookReceiver(self.secret))
        self.server = self.use(pixmill.Server(self.folder / "data", "--webhook-secret", self.secret))

    def upload(self, table, **fields):
        return self.server.post("/imgproc/upload", {"webhook_url": self.receiver.url, **fields}, {"file": ("x.csv", table.encode())},
                                {"Origin": ORIGIN})

    def test_the_browser_asks_first(self):
        answer = self.server.request("OPTIONS", "/imgproc/upload", headers={
            "Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
        self.assertIn(answer.status, (200, 204), answer)
        self.assertEqual(ORIGIN, answer.headers["access-control-allow-origin"])
        self.assertIn("POST", answer.headers["access-control-allow-methods"])
        self.assertIn("content-type", answer.headers["access-control-allow-headers"].lower())
        stranger = self.server.request("OPTIONS", "/imgproc/upload", headers={
            "Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
        self.assertNotIn(stranger.headers.get("access-control-allow-origin"), ("*", "http://evil.example"))

    def test_upload_then_status_then_webhook(self):
        urls = [f"{self.pictures.url}/pic/{n}" for n in range(4)]
        answer = self.upload(pixmill.table(urls, per_row=2, products=["One", "Two"]))
        self.assertEqual(201, answer.status, answer)
        self.assertEqual(ORIGIN, answer.headers["access-control-allow-origin"])
        self.assertIn("application/json", answer.headers["content-type"])
        self.assertEqual({"request_id", "message"}, set(answer.json))
        self.assertEqual("File uploaded successfully", answer.json["message"])
        job_id = answer.json["request_id"]
        self.assertRegex(job_id, r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")

        def finished():
            status = self.server.get(f"/imgproc/status/{job_id}/", Accept=ACCEPT, Origin=ORIGIN)
            self.assertEqual(200, status.status, status)
            self.assertIn("application/json", status.headers["content-type"])
            self.assertIn(status.json["status"], ("pending", "processing", "completed"))
            return status.json["status"] == "completed"

        wait_until(finished, 30, "the client sees `completed`")
        delivery = self.receiver.wait_for(1)[0]
        self.assertIsNone(delivery.problem)
        self.assertIn("application/json", delivery.headers["content-type"])
        body = json.loads(delivery.body)
        self.assertEqual((job_id, "completed", "job.completed"), (body["request_id"], body["status"], body["type"]))
        self.assertEqual(job_id, body["job"]["id"])
        table = Table(body["data"])
        self.assertEqual(["S.No.", "Product Name", "Input Image URLs", "Output Image URLs"], table.rows[0])
        self.assertEqual(["1", "One"], table.rows[1][:2])
        self.assertEqual(3, len(table.rows))

    def test_outputs_keep_the_original_names_and_open_in_a_browser(self):
        answer = self.upload(pixmill.table([f"{self.pictures.url}/pic/{n}" for n in range(2)], products=["One", "Two"]))
        job_id = answer.json["request_id"]
        self.server.wait_final(job_id)
        page = self.server.get(f"/imgproc/status/{job_id}/", Accept="text/html")
        self.assertEqual(200, page.status)
        self.assertIn("text/html", page.headers["content-type"])
        outputs = [link for link in Table(page.text).links if "/files/" in link]
        self.assertEqual(2, len(outputs), page.text)
        for link, product in zip(outputs, ("One", "Two")):
            self.assertTrue(re.search(rf"/{product}_[0-9a-f-]{{36}}\.jpg$", link), link)
            picture = self.server.get("/files/" + link.split("/files/", 1)[1])
            self.assertEqual((200, "image/jpeg"), (picture.status, picture.headers["content-type"]))
            self.assertEqual("nosniff", picture.headers["x-content-type-options"])
            self.assertTrue(picture.body.startswith(b"\xff\xd8"))

    def test_partial_failure_is_completed_and_lines_up(self):
        urls = [f"{self.pictures.url}/status/404/x", f"{self.pictures.url}/pic/2"]
        job_id = self.upload(pixmill.table(urls, per_row=2)).json["request_id"]
        self.server.wait_final(job_id)
        status = self.server.get(f"/imgproc/status/{job_id}/", Accept=ACCEPT).json
        self.assertEqual(("completed", 1, 1), (status["status"], status["succeeded"], status["failed"]))

    def test_nothing_a_user_typed_becomes_markup(self):
        name = "<img src=x onerror=alert(1)><script>alert(2)</script>"
        job_id = self.upload(pixmill.table([f"{self.pictures.url}/pic/1"], products=[name])).json["request_id"]
        body = json.loads(self.receiver.wait_for(1)[0].body)
        page = self.server.get(f"/imgproc/status/{job_id}/", Accept="text/html").text
        for text in (body["data"], page):
            table = Table(text)
            self.assertNotIn("img", table.elements)
            self.assertNotIn("script", table.elements)
            self.assertEqual(name, table.rows[1][1])

    def test_a_failed_job(self):
        job_id = self.upload(pixmill.table([f"{self.pictures.url}/status/404/1"])).json["request_id"]
        body = json.loads(self.receiver.wait_for(1)[0].body)
        self.assertEqual((job_id, "failed"), (body["request_id"], body["status"]))
        self.assertEqual("failed", self.server.get(f"/imgproc/status/{job_id}/", Accept=ACCEPT).json["status"])

    def test_unknown_jobs(self):
        for job_id in ("00000000-0000-4000-8000-000000000000", "nonsense"):
            answer = self.server.get(f"/imgproc/status/{job_id}/", Accept=ACCEPT, Origin=ORIGIN)
            self.assertEqual(404, answer.status)
            self.assertIn("application/json", answer.headers["content-type"])
            self.assertTrue(answer.json["error"])

    def test_a_recipe_field_overrides_the_default(self):
        job_id = self.upload(pixmill.table([f"{self.pictures.url}/pic/1"]), recipe="format=webp quality=60").json["request_id"]
        self.server.wait_final(job_id)
        page = self.server.get(f"/imgproc/status/{job_id}/", Accept="text/html").text
        self.assertTrue(Table(page).links[-1].endswith(".webp"), page)


case.main()

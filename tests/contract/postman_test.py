"""The original Postman collection's requests, and every error text of the original upload."""

import uuid

from support import case, pixmill

HEADER = "S.No.,Product Name,Input Image Urls\n"


class Postman(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder_of_all = case.pathlib.Path(case.tempfile.mkdtemp(prefix="pixmill-test-"))
        cls.addClassCleanup(case.shutil.rmtree, cls.folder_of_all, ignore_errors=True)
        cls.server = cls.enterClassContext(pixmill.Server(cls.folder_of_all / "data"))
        cls.pictures = cls.enterClassContext(case.Origin())

    def upload(self, table, name="products.csv"):
        return self.server.post("/imgproc/upload", files={"file": (name, table if isinstance(table, bytes) else table.encode())})

    def test_hello(self):
        for path in ("/imgproc/hello", "/imgproc/hello/"):
            answer = self.server.get(path)
            self.assertEqual((200, "Hello World"), (answer.status, answer.text))

    def test_check_db_connection(self):
        for path in ("/imgproc/check_db_connection", "/imgproc/check_db_connection/"):
            answer = self.server.get(path)
            self.assertEqual((200, {"db_status": "connected"}), (answer.status, answer.json))

    def test_upload_and_status_without_the_slash(self):
        for path in ("/imgproc/upload", "/imgproc/upload/"):
            table = pixmill.table([f"{self.pictures.url}/pic/{uuid.uuid4()}"]).encode()
            answer = self.server.post(path, files={"file": ("products.csv", table)})
            self.assertEqual(201, answer.status, answer)
            job_id = answer.json["request_id"]
            self.server.wait_final(job_id)
            for slash in ("", "/"):
                status = self.server.get(f"/imgproc/status/{job_id}{slash}")
                self.assertEqual((200, "completed"), (status.status, status.json["status"]))

    def test_the_name_ends_in_csv_in_any_case(self):
        self.assertEqual(201, self.upload(pixmill.table([f"{self.pictures.url}/pic/x"]), "PRODUCTS.CSV").status)

    def test_spaces_after_commas_and_columns_in_any_order(self):
        table = f'Input Image Urls, Product Name, S.No., Extra\n"{self.pictures.url}/pic/a,  {self.pictures.url}/pic/b", Chair, x1, kept\n'
        answer = self.upload(table)
        self.assertEqual(201, answer.status, answer)
        job = self.server.wait_final(answer.json["request_id"])
        self.assertEqual((2, 2), (job["total"], job["succeeded"]))
        rows = case.read_csv(self.server.get(f"/v1/jobs/{job['id']}/result.csv").text)
        self.assertEqual(("Chair", "x1", "kept"), (rows[0]["Product Name"], rows[0]["S.No."], rows[0]["Extra"]))

    def test_cells_are_kept_as_they_were_written(self):
        products = ["NA", "null", "nan", "001", "1e5"]
        answer = self.upload(pixmill.table([f"{self.pictures.url}/pic/{n}" for n in range(5)], products=products))
        self.assertEqual(201, answer.status, answer)
        self.server.wait_final(answer.json["request_id"])
        rows = case.read_csv(self.server.get(f"/v1/jobs/{answer.json['request_id']}/result.csv").text)
        self.assertEqual(products, [row["Product Name"] for row in rows])

    def test_every_error_text(self):
        good = f'1,SKU1,"{self.pictures.url}/pic/1"\n'
        cases = {
            "Invalid file format. Please upload a CSV.": ("products.txt", HEADER + good),
            "CSV file is empty or unreadable.": ("a.csv", ""),
            "CSV file contains parsing errors (e.g., incorrect delimiters or corrupted data).": ("a.csv", HEADER + '1,"SKU1,x\n'),
            "Missing required column(s): S.No., Product Name": ("a.csv", f"Input Image Urls\n{self.pictures.url}/pic/1\n"),
            "Column 'Product Name' contains empty values.": ("a.csv", HEADER + good + f'2,,"{self.pictures.url}/pic/2"\n'),
            "Empty URL field found at row 2": ("a.csv", HEADER + good + "2,SKU2,\n"),
            "Invalid URL found at row 2: htp://x": ("a.csv", HEADER + good + '2,SKU2,"htp://x"\n'),
        }
        for text, (name, table) in cases.items():
            with self.subTest(text):
                answer = self.upload(table, name)
                self.assertEqual(400, answer.status, answer)
                self.assertEqual(text, answer.json["error"])

    def test_no_file_at_all(self):
        for answer in (self.server.post("/imgproc/upload", {"webhook_url": ""}), self.server.request("POST", "/imgproc/upload")):
            self.assertEqual(400, answer.status, answer)
            self.assertEqual("Invalid file format. Please upload a CSV.", answer.json["error"])

    def test_every_bad_row_is_listed(self):
        table = HEADER + '1,A,"htp://x"\n' + f'2,B,"{self.pictures.url}/pic/1"\n' + '3,C,"nope"\n'
        answer = self.upload(table)
        self.assertEqual("Invalid URL found at row 1: htp://x", answer.json["error"])
        self.assertEqual(2, len(answer.json["errors"]), answer)
        self.assertIn("row 3", str(answer.json["errors"][1]))

    def test_the_wrong_method(self):
        for method in ("GET", "PUT", "DELETE"):
            answer = self.server.request(method, "/imgproc/upload")
            self.assertEqual((405, {"detail": f'Method "{method}" not allowed.'}), (answer.status, answer.json))


case.main()

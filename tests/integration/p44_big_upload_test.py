"""P44: an upload streams to disk; the server's memory does not grow with it."""

import http.client

from support import case, pixmill

ROW = "{},SKU{},{},{}\r\n"


class P44(case.Case):
    def send(self, server, path, rows, cell):
        """One multipart upload in pieces, its body never in memory here either; gives the answer's status and text."""
        head = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\nContent-Type: text/csv\r\n\r\n'
                b"S.No.,Product Name,Input Image Urls,Note\r\n")
        tail = b"--B--\r\n"

        def line(number):
            url = "not-an-address" if number == rows else "http://127.0.0.1:1/x.jpg"
            return ROW.format(number, number, url, cell).encode()

        length = len(head) + sum(len(line(n)) for n in range(1, rows + 1)) + len(b"\r\n" + tail)
        connection = http.client.HTTPConnection(server.base_url.split("/")[2], timeout=600)
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "multipart/form-data; boundary=B")
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        connection.send(head)
        for number in range(1, rows + 1):
            connection.send(line(number))
        connection.send(b"\r\n" + tail)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, length

    def test_memory_does_not_grow_with_an_upload(self):
        server = self.use(pixmill.Server(self.folder / "data"))
        cell = "n" * 60_000
        for path in ("/imgproc/upload", "/v1/jobs"):
            # The last row is bad, so the whole file has been read, checked and thrown away when the answer comes.
            rows = case.short_or_long(5_000, 83_000)
            status, text, length = self.send(server, path, rows, cell)
            self.assertIn(status, (400, 422), text)
            self.assertIn(f"row {rows}", text)
            peak = pixmill.memory_peak_bytes(server.pid)
            print(f"{path}: {length / 1e6:.0f} MB, server peak {peak / 1e6:.1f} MB")
            self.assertLess(peak, 64e6 if not pixmill.is_sanitized() else 1e9)
        self.assertEqual([], [p for p in (server.data / "spool").rglob("*") if p.is_file()])


case.main()

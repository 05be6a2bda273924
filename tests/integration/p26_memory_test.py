"""P26, P32: large pictures that come at once share the memory budget, whatever was guessed about them."""

from support import case, pixmill

_PICTURE_BYTES = 24 << 20


class Memory(case.Case):
    def serve_large(self, request, hit, query):
        """A small picture with a long tail, which decoders leave alone."""
        picture = self.origin_.numbered_picture(0)
        body = picture + bytes(_PICTURE_BYTES - len(picture))
        if query.get("chunked"):
            request.send_response(200)
            request.send_header("Content-Type", "image/jpeg")
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        else:
            request.answer(200, "image/jpeg", body)

    def test_many_large_pictures_at_once_stay_within_the_budget(self):
        self.origin_ = origin = self.origin()
        origin.routes["/large"] = self.serve_large
        budget = 32 << 20
        settings = {"PIXMILL_MEMORY_BYTES": str(budget), "PIXMILL_ENGINES": "2"}
        server = self.use(pixmill.Server(self.folder / "data", env=settings))
        before = pixmill.memory_peak_bytes(server.pid)
        urls = [f"{origin.url}/large?n={n}{'&chunked=1' if n % 2 else ''}" for n in range(16)]
        job = server.wait_final(server.upload(pixmill.table(urls)), 120)
        self.assertEqual(16, job["succeeded"], job)
        used = pixmill.memory_peak_bytes(server.pid) - before
        # The budget, one picture beyond it, the copies that strings make while they grow, and what engines are given.
        self.assertLess(used, budget + 5 * _PICTURE_BYTES, f"{used >> 20} MB of {16 * _PICTURE_BYTES >> 20} MB")


case.main()

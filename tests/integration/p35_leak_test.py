"""P35: nothing leaks: memory and descriptors stay level over many pictures, good and bad, and no process is left behind."""

import pathlib
import re

from support import case, pictures, pixmill

_RECIPE = "small: format=jpeg resize=40x40 web: format=webp resize=60x60:cover same: format=jpeg quality=60"
_MB = 1 << 20


def resident_bytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def zombies_of(parent):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = path.read_text().rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, ppid = fields.split()[:2]
        if state == "Z" and int(ppid) == parent:
            found.append(name)
    return found


class P35(case.Case):
    def urls(self, origin, count, batch):
        """Mostly good ones; each twentieth is missing, cut off, no picture, or breaks off."""
        bad = ["status/404", "truncated/pic/1", "lying", "reset"]
        formats = ["/png", "/webp", "/gif"]
        for n in range(count):
            if n % 20 == 19:
                yield f"{origin.url}/{bad[n // 20 % len(bad)]}?batch={batch}&n={n}"
            elif n % 7 == 3:
                yield f"{origin.url}{formats[n % len(formats)]}?batch={batch}&n={n}"
            else:
                yield f"{origin.url}/pic/{batch * count + n}"

    def look(self, server):
        engines = server.engines()
        return {"server": resident_bytes(server.pid), "engines": sum(resident_bytes(pid) for pid in engines),
                "descriptors": descriptors(server.pid), "processes": len(engines)}

    def test_many_pictures_leave_nothing_behind(self):
        batches, count = case.short_or_long((6, 500), (20, 5000))
        origin = self.origin()
        photo = pictures.photo(120, 90)
        for path, data, media_type in (("/png", pictures.png(photo), "image/png"), ("/webp", pictures.webp(photo), "image/webp"),
                                       ("/gif", pictures.animated_gif(60, 45), "image/gif")):
            origin.routes[path] = lambda request, hit, query, data=data, media_type=media_type: request.answer(200, media_type, data)
        server = self.use(pixmill.Server(self.folder / "data", env={"PIXMILL_ENGINES": "2"}))
        seen = []
        for batch in range(batches):
            job = server.wait_final(server.upload(pixmill.table(list(self.urls(origin, count, batch))), recipe=_RECIPE), 900)
            self.assertEqual(count, job["succeeded"] + job["failed"], job)
            self.assertGreater(job["succeeded"], count * 0.9, job)
            self.assertGreater(job["failed"], 0, job)
            seen.append(self.look(server))
            self.assertEqual([], zombies_of(server.pid))
        # Caches and pools fill at first; what is left after a third of the pictures must not grow.
        warm, last = seen[batches // 3], seen[-1]
        self.assertEqual(warm["processes"], last["processes"], seen)
        self.assertLess(last["descriptors"] - warm["descriptors"], 20, seen)
        self.assertLess(last["server"] - warm["server"], 8 * _MB, seen)
        self.assertLess(last["engines"] - warm["engines"], 8 * _MB, seen)


case.main()

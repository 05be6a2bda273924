"""One job from beginning to end, with nothing but this machine: `./run demo`.

Makes 60 pictures, serves them from a local origin, starts a real `pixmill serve`, uploads a CSV in the original platform's format
with a webhook address, receives and verifies the signed webhook, and shows what became of every picture. Three of the pictures are
broken on purpose; the demo ends with 0 when exactly those fail, each with its right reason.
"""

import argparse
import csv
import io
import json
import os
import pathlib
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import pictures, pixmill, webhook_receiver  # noqa: E402
from support.origin import Origin  # noqa: E402
from support.waiting import wait_until  # noqa: E402

SECRET = webhook_receiver.new_secret(b"pixmill demo")
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text, colour):
    codes = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36"}
    return f"\x1b[{codes[colour]}m{text}\x1b[0m" if COLOURED else text


def say(text=""):
    print(text, flush=True)


def step(number, text):
    say(f"{paint(f'{number}.', 'cyan')} {text}")


def human(count):
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


# ---- Pictures --------------------------------------------------------------------------------------------------------

BROKEN = {"truncated.jpg": "truncated", "page.jpg": "not_an_image", "missing.jpg": "http_404"}


def picture_makers():
    """{file name: function that makes its bytes}: 59 files; the 60th address leads to nothing."""
    makers = {}

    def add(name, make):
        makers[name] = make

    sizes = [(1600, 1200), (1200, 800), (800, 1000), (640, 480), (2000, 1300)]
    for n in range(20):
        size = sizes[n % 5]
        add(f"photo-{n + 1:02}.jpg", lambda size=size, n=n: pictures.jpeg(pictures.photo(*size, n), quality=90 + n % 6))
    for n in range(10):
        add(f"poster-{n + 1:02}.jpg", lambda n=n: pictures.jpeg(pictures.poster(1000, 700, n, "Pixmill"), quality=95))
    for turn in range(1, 9):
        add(f"turned-{turn}.jpg", lambda turn=turn: pictures.jpeg(pictures.poster(900, 600, turn, "This side up"), orientation=turn, gps=True))
    for n in range(4):
        add(f"adobe-rgb-{n + 1}.jpg", lambda n=n: pictures.jpeg(pictures.photo(1000, 750, 50 + n), icc=pictures.adobe_rgb_profile()))
    for n in range(7):
        add(f"cut-out-{n + 1}.png", lambda n=n: pictures.png(pictures.with_alpha(pictures.photo(700, 700, 60 + n), n)))
    for n in range(7):
        add(f"small-{n + 1}.webp", lambda n=n: pictures.webp(pictures.photo(900, 675, 70 + n)))
    add("animated.gif", lambda: pictures.animated_gif(480, 320))
    add("truncated.jpg", lambda: pictures.truncated(pictures.jpeg(pictures.photo(1200, 900, 90))))
    add("page.jpg", pictures.html_page)
    return makers


def make_pictures(folder):
    folder.mkdir(parents=True)
    makers = picture_makers()
    for name, make in makers.items():
        (folder / name).write_bytes(make())
    return [*makers, "missing.jpg"]


# ---- The job -----------------------------------------------------------------------------------------------------------

def table_of(base_url, names):
    """The original platform's CSV: one product per row, one to three pictures each."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["S.No.", "Product Name", "Input Image Urls"])
    at, row = 0, 0
    while at < len(names):
        row += 1
        group = names[at:at + 1 + row % 3]
        at += len(group)
        writer.writerow([row, f"Product {row}", ", ".join(f"{base_url}/{name}" for name in group)])
    return text.getvalue()


def watch(server, job_id, seconds):
    """Follows the job until it is final; a line that renews itself on a terminal, nothing elsewhere."""
    def look():
        job = server.job(job_id)
        done = job["total"] - job["remaining"]
        if COLOURED:
            print(f"\r   {done} of {job['total']} pictures", end="", flush=True)
        return job if job["state"] in ("completed", "completed_with_errors", "failed", "rejected", "cancelled") else None

    job = wait_until(look, seconds, "the job is done", every=0.1)
    if COLOURED:
        print("\r" + " " * 40 + "\r", end="")
    return job


def show_table(images):
    say()
    say(paint(f"{'row':>4}  {'picture':<16} {'state':<10} {'before':>9} {'after':>9} {'saved':>7}  why", "bold"))
    for image in images:
        good = image["state"] == "succeeded"
        before, after = int(image["bytes_in"] or 0), int(image["bytes"] or 0)
        saved = f"{100 * (before - after) / before:.0f} %" if good and before else ""
        name = image["source"].rsplit("/", 1)[1]
        why = image["note"] if good else f"{image['code']}: {image['error']}"
        line = (f"{image['row']:>4}  {name:<16} {paint(format(image['state'], '<10'), 'green' if good else 'red')} "
                f"{human(before) if before else '':>9} {human(after) if good else '':>9} {saved:>7}")
        say(f"{line}  {paint(why, 'dim') if good else why}" if why else line)


def problems_of(images, delivery, job):
    """What is not as it should be; empty when all is well."""
    found = []
    failed = {image["source"].rsplit("/", 1)[1]: image["code"] for image in images if image["state"] != "succeeded"}
    if failed != BROKEN:
        found.append(f"failed: {failed}; expected: {BROKEN}")
    if len(images) != 60:
        found.append(f"{len(images)} pictures instead of 60")
    if delivery.problem:
        found.append(f"webhook: {delivery.problem}")
    if json.loads(delivery.body).get("request_id") != job["id"]:
        found.append("the webhook speaks of another job")
    return found


def show_end(job, delivery, out, server, took_s):
    before, after = job["bytes_in"], job["bytes_out"]
    say()
    say(f"{paint('Totals', 'bold')}    {job['succeeded']} of {job['total']} pictures, {job['failed']} failed, in {took_s:.1f} s: "
        f"{human(before)} became {human(after)} ({100 * (before - after) / before:.0f} % saved)")
    say(f"{paint('Webhook', 'bold')}   {json.loads(delivery.body)['type']}, id {delivery.headers['webhook-id']}, "
        f"signature {paint('verified', 'green') if not delivery.problem else paint(delivery.problem, 'red')}")
    relative = out.relative_to(pathlib.Path.cwd()) if out.is_relative_to(pathlib.Path.cwd()) else out
    files = next((path for path in (out / "data" / "files").iterdir()), out / "data" / "files")
    say(f"{paint('Files', 'bold')}     pictures     {relative}/data/files/{files.name}/")
    say(f"          result table {relative}/result.csv, one line per picture {relative}/images.csv")
    say(f"          webhook      {relative}/webhook.json, server log {relative}/data.log")
    base = "http://127.0.0.1:8000"
    say()
    say(paint("Look further", "bold"))
    say(f"  build/release/pixmill serve --data {relative}/data")
    say(f"  curl {base}/v1/jobs/{job['id']}")
    say(f"  curl '{base}/v1/jobs/{job['id']}/items?state=failed'")
    say(f"  curl -H 'Accept: text/html' {base}/imgproc/status/{job['id']}/")
    say(f"  build/release/pixmill run {relative}/pictures -o {relative}/webp -r 'format=webp resize=800x800'")


def demo(options):
    out = pathlib.Path(options.out).resolve()
    if out.exists() and any(out.iterdir()) and not (out / "products.csv").exists():
        sys.exit(f"{out} holds something else; give another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    step(1, "Making 60 pictures: photographs, posters, turned by EXIF, Adobe RGB, transparent PNG, WebP, an animation; three are broken")
    names = make_pictures(out / "pictures")
    pixmill.QUICK.clear()  # the settings a user gets
    with Origin(out / "pictures") as origin, webhook_receiver.WebhookReceiver(SECRET) as receiver:
        table = table_of(origin.url, names)
        (out / "products.csv").write_text(table, newline="")
        step(2, f"Serving them from {origin.url}, waiting for the webhook at {receiver.url}")
        with pixmill.Server(out / "data", "--webhook-secret", SECRET, allow="127.0.0.1/32") as server:
            step(3, f"pixmill serve listens on {server.base_url} (SQLite and local disk under {out / 'data'})")
            begun = time.monotonic()
            job_id = server.upload(table, webhook_url=receiver.url)
            step(4, f"Uploaded {len(table.splitlines()) - 1} products; this is the job {job_id}")
            say(paint(f"   curl -F file=@products.csv -F webhook_url={receiver.url} {server.base_url}/imgproc/upload", "dim"))
            job = watch(server, job_id, 120)
            took_s = time.monotonic() - begun
            delivery = receiver.wait_for(1, 30)[0]
            step(5, "The signed webhook has come")
            (out / "webhook.json").write_bytes(delivery.body)
            for name in ("result.csv", "images.csv"):
                (out / name).write_bytes(server.get(f"/v1/jobs/{job_id}/{name}").body)
            images = list(csv.DictReader(io.StringIO((out / "images.csv").read_text(encoding="utf-8"), newline="")))
            code, _ = server.terminate()
    show_table(images)
    show_end(job, delivery, out, server, took_s)
    problems = problems_of(images, delivery, job)
    if code != 0:
        problems.append(f"the server ended with {code}")
    for problem in problems:
        say(paint(f"unexpected: {problem}", "red"))
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(ROOT / "out" / "demo"), help="where everything is kept (default out/demo)")
    parser.add_argument("--binary", default=str(ROOT / "build" / "release" / "pixmill"))
    options = parser.parse_args()
    os.environ["PIXMILL_BINARY"] = options.binary
    sys.exit(demo(options))


main()

"""Fetches the pictures that decoders were broken with: test data of Debian's image packages and of their sources.

Works with the Debian archive that apt is set up for, in state of its own that is removed again: no list of the system changes, no
package is installed, no source is unpacked but for its pictures. What was fetched stays in the cache folder and is not fetched twice.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

PACKAGES = ("gdk-pixbuf-tests", "librsvg2-tests", "libjxl-testdata", "golang-1.19-src", "golang-golang-x-image-dev", "afl++-doc")
SOURCES = ("pillow", "libpng1.6", "vips", "libheif", "tiff", "giflib", "libjpeg-turbo")

_FILE_BYTES_MAX = 60 << 20
_PICTURE = re.compile(r"\.(jpe?g|jpe|jfif|jp2|j2k|jpx|jxl|png|apng|webp|gif|tiff?|avif|heics?|heif|hif|bmp|dib|ico|cur|icns|svgz?|ppm|pgm|pbm"
                      r"|pnm|pam|pfm|psd|xcf|tga|dds|eps|pcx|sgi|ras|fli|flc|xpm|xbm|qtif|ani|mpo|mat|exr|hdr|fits?|nii|pdf|dcx|im|msp|blp"
                      r"|ftex|ftu|wmf|emf|cr2|dng|wal|iim|spider|crash|fuzz|poc)$", re.IGNORECASE)
# Cases that a fuzzer found carry names like "clusterfuzz-testcase-4711", without an ending.
_CASE = re.compile(r"(?<![a-z])(fuzz|fuzzing|corpus|crash|crashes|crashers|oss-?fuzz|clusterfuzz|testcases|vuln_samples|afl)[^a-z]", re.IGNORECASE)
_PROSE = re.compile(r"\.(cc?|cpp|cxx|h|hpp|py|go|js|sh|md|rst|txt|am|ac|in|m4|cmake|html?|ya?ml|json|toml|build|options|dict|mk|patch|diff"
                    r"|po|pc|rb|java|1|3|gz|xz|zip|bz2)$|/(README|Makefile|CMakeLists|NEWS|AUTHORS|LICENSE|COPYING|Dockerfile)", re.IGNORECASE)


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "pixmill" / "corpus"


def is_wanted(path):
    return bool(_PICTURE.search(path) or (_CASE.search(path) and not _PROSE.search(path)))


class Apt:
    """apt on the archives that the system names, with lists and cache in `folder`."""

    def __init__(self, folder):
        self._folder = folder
        self._archives = []  # a list of one archive each
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "archives" / "partial").mkdir(parents=True)
        (folder / "parts").mkdir()
        (folder / "status").touch()
        self._options = ["-qq", "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", f"Dir::Etc::sourceparts={folder}/parts",
                         "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}", "-o", f"Dir::State::status={folder}/status",
                         "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]

    def update(self):
        form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
        rows = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], capture_output=True, text=True,
                              check=True).stdout.splitlines()
        for number, row in enumerate(sorted({tuple(row.split("|")) for row in rows if row.startswith(("Debian|", "Ubuntu|"))})):
            origin, address, release, component = row
            key = pathlib.Path(f"/usr/share/keyrings/{origin.lower()}-archive-keyring.gpg")
            option = f"[signed-by={key}] " if key.exists() else ""
            self._archives.append(f"{number}.list")
            text = "".join(f"{kind} {option}{address} {release} {component}\n" for kind in ("deb", "deb-src"))
            (self._folder / self._archives[-1]).write_text(text)
        (self._folder / "sources.list").write_text("".join((self._folder / name).read_text() for name in self._archives))
        subprocess.run(["apt-get", *self._options, "update"], check=True)

    def download(self, kind, name):
        """The files of a package ("package") or of a source ("source"), in a folder of their own."""
        into = self._folder / f"{kind}-{name}"
        into.mkdir()
        # A mirror may list what it does not hold; then one of the other archives may.
        command = ["download", name] if kind == "package" else ["source", "--download-only", "--only-source", name]
        for archive in ("sources.list", *self._archives):
            one = ["-o", f"Dir::Etc::sourcelist={self._folder}/{archive}"]
            done = subprocess.run(["apt-get", *self._options, *one, *command], cwd=into, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return [path for path in into.iterdir() if re.search(r"\.deb$|\.tar\.(gz|xz|bz2)$", path.name)]
        raise OSError(done.stderr.strip())


def _members(archive):
    """(path, file object) of every wanted regular file."""
    if archive.suffix == ".deb":
        process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
        stream = tarfile.open(fileobj=process.stdout, mode="r|")
    else:
        process, stream = None, tarfile.open(archive)
    with stream:
        for member in stream:
            if member.isreg() and member.size <= _FILE_BYTES_MAX and is_wanted(member.name):
                yield member.name, stream.extractfile(member)
    if process:
        process.stdout.close()
        process.wait()


def _unpack(archives, into, seen):
    """Nothing is written under a name that an archive chose but for its safe characters. Gives the number of new files."""
    count = 0
    for archive in archives:
        for name, file in _members(archive):
            data = file.read()
            digest = hashlib.sha256(data).digest()
            if digest in seen:
                continue
            seen.add(digest)
            path = pathlib.PurePosixPath(name)
            safe = re.sub(r"[^A-Za-z0-9_.-]", "_", "__".join(path.parts[-3:])).lstrip(".")[-120:]
            (into / f"{count:04}__{safe}").write_bytes(data)
            count += 1
    return count


def fetch(folder, say=print):
    """Fills `folder` with a folder for every package and source. Gives the names of those that could not be had."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(kind, name) for kind, names in (("package", PACKAGES), ("source", SOURCES)) for name in names]
    missing = [(kind, name) for kind, name in wanted if not (folder / name).is_dir()]
    if not missing:
        return []
    failed = []
    seen = {hashlib.sha256(path.read_bytes()).digest() for path in folder.glob("*/*") if path.is_file()}
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-corpus-"))
    try:
        apt = Apt(scratch)
        apt.update()
        for kind, name in missing:
            into = folder / f".{name}.part"
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir()
            try:
                count = _unpack(apt.download(kind, name), into, seen)
            except (subprocess.CalledProcessError, tarfile.TarError, OSError) as error:
                shutil.rmtree(into, ignore_errors=True)
                failed.append(name)
                say(f"   {name}: not to be had ({error})")
                continue
            into.rename(folder / name)
            say(f"   {name}: {count} files")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if fetch(cache_folder()) else 0)

"""A small file system for tests of full disks, in a mount namespace that ends with the test's process."""

import errno
import os
import pathlib
import subprocess
import sys


def in_own_mount_namespace():
    """Runs the test file again where it may mount; as root or, where the kernel allows it, as anyone."""
    if os.environ.get("PIXMILL_OWN_MOUNTS"):
        return
    flags = ["-m"] if os.geteuid() == 0 else ["-Urm"]
    os.environ["PIXMILL_OWN_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])


def mount(folder, megabytes):
    """A new folder that holds so much; `unmount` it at the end."""
    disk = pathlib.Path(folder)
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", disk], check=True)
    return disk


def unmount(disk):
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk):
    """Takes all that is left; gives the file to delete."""
    filler = pathlib.Path(disk) / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return filler

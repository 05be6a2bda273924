"""P10 on a fleet: the database runs out of disk, it is said, and work goes on by itself when there is room again."""

from chaos.fleet_case import FleetCase
from support import case, pixmill, small_disk
from support.waiting import wait_until


class P10(FleetCase):
    """The database's tables lie on a disk of their own, as an operator's do whose tablespace fills up."""

    def test_a_database_without_room_is_said_and_work_goes_on_when_there_is_some(self):
        rows = case.short_or_long(800, 20_000)
        disk = small_disk.mount(self.folder / "disk", case.short_or_long(48, 256))
        self.addCleanup(small_disk.unmount, disk)
        self.folder.chmod(0o755)  # PostgreSQL is another user where the test is root
        origin = self.origin()
        fleet = self.fleet(servers=1, workers=2, tables=disk)
        server = fleet.servers[0]
        urls = [f"{origin.url}/pic/{n}" for n in range(rows)]
        job_id = server.upload(pixmill.table(urls))
        self.wait_done(server, job_id, 20)
        filler = small_disk.fill(disk)
        wait_until(lambda: "disk_full" in fleet.workers[0].log_text() + fleet.workers[1].log_text() + server.log_text(), 60,
                   lambda: server.job(job_id))
        more = [f"{origin.url}/pic/more{n}" for n in range(2_000)]
        refused = wait_until(lambda: self.refusal(server, more), 60, "an upload is refused")
        self.assertEqual(507, refused.status, refused)
        self.assertIn("application/problem+json", refused.headers["content-type"])
        done_when_full = self.done(server, job_id)
        self.assertLess(done_when_full, rows, "the disk was full too late")
        filler.unlink()
        job = server.wait_final(job_id, case.short_or_long(120, 900))
        self.assertEqual((rows, rows, 0), (job["total"], job["succeeded"], job["failed"]), job)
        with fleet.database() as database:
            others = [row["id"] for row in database.rows("SELECT id FROM jobs")]
        for other in others:
            server.wait_final(other, 120)
        self.assert_all_there(fleet)
        self.assert_exact(fleet, {job_id: urls})

    @staticmethod
    def refusal(server, urls):
        answer = server.post("/v1/jobs", {}, {"file": ("t.csv", pixmill.table(urls).encode())})
        return answer if answer.status != 201 else None


small_disk.in_own_mount_namespace()
case.main()

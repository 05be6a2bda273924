"""What tests of promises on a whole fleet start from."""

from chaos.fleet import Fleet
from support import case, webhook_receiver
from support.waiting import let_pass, wait_until

_SWEEP_S = 90  # within which what nobody names is removed


class FleetCase(case.Case):
    def setUp(self):
        super().setUp()
        self.secret = webhook_receiver.new_secret()

    def receiver(self, **options):
        return self.use(webhook_receiver.WebhookReceiver(self.secret, **options))

    def fleet(self, servers=2, workers=2, env=None, **options):
        settings = {"FETCH_PER_HOST": 48, **(env or {})}
        return self.use(Fleet(self.folder, servers, workers, self.secret, env=settings, **options))

    def assert_exact(self, fleet, urls, sweep=True):
        """`urls`: {job id: the address of each row}. After one sweep, which the start of every process is."""
        if sweep:
            fleet.kill_everything()
            fleet.revive()
        report = fleet.audit(urls_expected=urls)
        for _ in range(_SWEEP_S // 2):
            if not report.orphans:
                break
            let_pass(2)
            report = fleet.audit(urls_expected=urls)
        print(report, flush=True)
        self.assert_clean(report)

    def assert_all_there(self, fleet):
        self.assertEqual([], [f"{each.name} ended with {each.code}: {each.log}" for each in fleet.unexpected_exits()])

    @staticmethod
    def done(server, job_id):
        job = server.job(job_id)
        return job["succeeded"] + job["failed"]

    def wait_done(self, server, job_id, count, seconds=120):
        wait_until(lambda: self.done(server, job_id) >= count, seconds, lambda: server.job(job_id))

    @staticmethod
    def longest_gap(origin, since):
        """Seconds in which nothing was asked for, at the most."""
        moments = [since] + [request.at for request in origin.requests if request.at > since]
        return max((after - before for before, after in zip(moments, moments[1:])), default=0)

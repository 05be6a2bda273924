"""P17: delivered at least once under one webhook-id, whatever is killed between commit and send."""

import os
import signal

from support import auditor, case, name_server, pixmill, webhook_receiver
from support.waiting import wait_until


class P17(case.Case):
    def setUp(self):
        super().setUp()
        self.secret = webhook_receiver.new_secret()
        self.pictures = self.origin()

    def server(self, schedule):
        return self.use(pixmill.Server(self.folder / "data", "--webhook-secret", self.secret,
                                       env={"PIXMILL_WEBHOOK_SCHEDULE_MS": schedule}))

    def upload(self, server, receiver):
        return server.upload(pixmill.table([f"{self.pictures.url}/pic/{n}" for n in range(5)]), webhook_url=receiver.url)

    def assert_one_event(self, receiver):
        deliveries = receiver.deliveries
        self.assertEqual({None}, {delivery.problem for delivery in deliveries})
        self.assertEqual(1, len({delivery.headers["webhook-id"] for delivery in deliveries}))
        self.assertEqual(1, len({delivery.body for delivery in deliveries}), "the body is frozen with the event")

    def events(self, server):
        connection = auditor.open_read_only(server.data / "pixmill.db")
        try:
            return [row[0] for row in connection.execute("SELECT event_id FROM events WHERE terminal")]
        finally:
            connection.close()

    def test_killed_after_the_commit_and_before_the_send(self):
        """The receiver's name does not resolve, so the sender is caught between the commit and its first byte."""
        names = self.use(name_server.NameServer(answering=False))
        receiver = self.use(webhook_receiver.WebhookReceiver(self.secret))
        server = self.use(pixmill.Server(self.folder / "data", "--webhook-secret", self.secret,
                                         env={"PIXMILL_DNS_SERVERS": names.address}))
        server.upload(pixmill.table([f"{self.pictures.url}/pic/{n}" for n in range(5)]),
                      webhook_url=receiver.url.replace("127.0.0.1", "shop.example.com"))
        wait_until(lambda: "shop.example.com" in names.asked, 30, "the event is committed and its receiver looked for")
        server.kill()
        self.assertEqual([], receiver.deliveries)
        self.assertEqual(1, len(self.events(server)))
        names.answering = True
        server.start()
        receiver.wait_for(1, 10)
        self.assertEqual(self.events(server), [receiver.deliveries[0].headers["webhook-id"]])
        self.assert_one_event(receiver)

    def test_killed_while_the_receiver_reads_and_before_the_answer(self):
        armed = []
        receiver = self.use(webhook_receiver.WebhookReceiver(
            self.secret, on_delivery=lambda _: armed and os.kill(armed.pop(), signal.SIGKILL)))
        server = self.server("0,200,200,200")
        armed.append(server.pid)
        self.upload(server, receiver)
        receiver.wait_for(1)
        server.kill()
        server.start()
        receiver.wait_for(2, 10)  # at once, not when the dead sender's lease would have ended
        self.assert_one_event(receiver)

    def test_killed_while_the_receiver_keeps_it_waiting(self):
        receiver = self.use(webhook_receiver.WebhookReceiver(self.secret, answers=[None, 503, 204]))
        server = self.server("0,200,200,200")
        job_id = self.upload(server, receiver)
        receiver.wait_for(1)
        server.kill()
        server.start()
        receiver.wait_for(3, 10)
        self.assert_one_event(receiver)
        self.assertEqual("completed", server.job(job_id)["state"])

    def test_killed_right_after_it_was_answered(self):
        """Between answer and record: at least once, so it may come again, under the same id."""
        receiver = self.use(webhook_receiver.WebhookReceiver(self.secret))
        server = self.server("0,200,200,200")
        for n in range(case.short_or_long(4, 40)):
            self.upload(server, receiver)
            seen = {d.headers["webhook-id"] for d in receiver.wait_for(len(receiver.deliveries) + 1)}
            server.kill()
            server.start()
            self.assertGreaterEqual(len(seen), n + 1)
        self.assertEqual(set(self.events(server)), {d.headers["webhook-id"] for d in receiver.deliveries})
        bodies = {(d.headers["webhook-id"], d.body) for d in receiver.deliveries}
        self.assertEqual(len(self.events(server)), len(bodies))

    def test_a_receiver_that_is_away_gets_it_later(self):
        receiver = webhook_receiver.WebhookReceiver(self.secret)
        port = receiver.port
        receiver.stop()
        server = self.server("0,300,300,300,300,300,300,300,300,300")
        job_id = self.upload(server, receiver)
        server.wait_final(job_id)
        server.kill()
        back = self.use(webhook_receiver.WebhookReceiver(self.secret, port=port))
        server.start()
        back.wait_for(1)
        self.assert_one_event(back)


case.main()

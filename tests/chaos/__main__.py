"""Chaos: real binaries on real PostgreSQL, Redis and Swift, each behind a fault proxy; a nemesis, and an auditor at the end.

Tables are uploaded, jobs cancelled and retried while the nemesis works; then everything is mended, the jobs end, and the
auditor compares tables, items, objects, events and what the webhook receiver got. Prints what was done and what was found;
ends with 1 when anything was lost or doubled, or ended by itself.
"""

import argparse
import collections
import pathlib
import random
import shutil
import sys
import tempfile
import time

from chaos.fleet import Fleet
from chaos.load import Load, webhook_problems
from chaos.nemesis import OURS, THEIRS, Nemesis
from support import webhook_receiver
from support.origin import Origin
from support.waiting import let_pass, wait_until

Plan = collections.namedtuple("Plan", "seconds seed rows servers workers only away_seconds", defaults=(None, 3.0))
_SWEEP_S = 90  # within which what nobody names is removed
_SETTINGS = {"FETCH_PER_HOST": 48, "PIXMILL_WEBHOOK_SCHEDULE_MS": ",".join(["0", *["300"] * 40]), "LOG_LEVEL": "info"}


def _grumpy(chance):
    """A receiver's answers: now and then it fails, and must be asked again."""
    return [503 if chance.random() < 0.1 else 204 for _ in range(20_000)]


def _harm(fleet, load, plan, say):
    """What is wrong with the fleet's conduct meanwhile."""
    with Nemesis(fleet, plan.seed, only=plan.only, away_seconds=plan.away_seconds) as nemesis:
        begun, told = time.monotonic(), 0
        while time.monotonic() - begun < plan.seconds and not nemesis.trouble:
            if not load.step():
                let_pass(0.2)
            minutes = int((time.monotonic() - begun) / 60)
            if minutes > told:
                told = minutes
                say(f"{minutes} min: {len(nemesis.done)} times harmed, {len(load.jobs)} jobs accepted")
    say(f"{len(nemesis.done)} times: {nemesis.counts()}")
    say(f"{len(load.jobs)} jobs accepted, {load.refused} uploads refused or cut off, {load.asked['cancel']} cancelled, "
        f"{load.asked['retry']} retried")
    if nemesis.trouble:
        raise nemesis.trouble
    return nemesis.problems


def _settle(fleet, load, receiver, plan):
    """Waits for the end of every job and every delivery, from before the mending on."""
    wait_until(lambda: load.open_jobs() == 0, 180 + plan.seconds, lambda: f"{load.open_jobs()} jobs still open", every=0.5)

    def to_come():
        found = webhook_problems(fleet, receiver.deliveries, load.jobs)
        return [problem for problem in found if "still to be delivered" in problem]

    wait_until(lambda: not to_come(), 120, lambda: to_come()[:5], every=0.5)


def _audit(fleet, load, sweep_s):
    """The auditor's report; what nobody names may take until the next sweep to go."""
    urls = {job_id: told.urls for job_id, told in load.jobs.items()}
    deadline = time.monotonic() + sweep_s
    while True:
        report = fleet.audit(urls_expected=urls)
        if not report.orphans or time.monotonic() > deadline:
            return report
        let_pass(2)


def run(folder, plan, say=print, sweep_s=_SWEEP_S):
    """Gives (problems, summary)."""
    chance = random.Random(plan.seed)
    secret = webhook_receiver.new_secret()
    with Origin() as good, Origin() as bad, webhook_receiver.WebhookReceiver(secret, answers=_grumpy(chance)) as receiver, \
            Fleet(folder, plan.servers, plan.workers, secret, env=_SETTINGS) as fleet:
        load = Load(fleet, (good, bad), receiver.url, chance, plan.rows)
        problems = _harm(fleet, load, plan, say)
        _settle(fleet, load, receiver, plan)
        fleet.kill_everything()  # starts sweep what the last kills left
        fleet.revive()
        report = _audit(fleet, load, sweep_s)
        problems += report.problems + load.problems() + load.result_problems(50)
        problems += webhook_problems(fleet, receiver.deliveries, load.jobs)
        problems += [f"{each.name} ended by itself with {each.code}:\n{each.log}" for each in fleet.unexpected_exits()]
        return problems, (f"{report}; {good.total + bad.total} requests, {len(receiver.deliveries)} deliveries, {fleet.fenced_writes()} fenced "
                          f"writes, {len(fleet.keeper.exits)} starts refused while something was away")


def main():
    parser = argparse.ArgumentParser(prog="./run chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="how long the nemesis works (default 5)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of its choices (default random)")
    parser.add_argument("--rows", type=int, default=300, help="of each job (default 300)")
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--away", type=float, default=10, help="seconds PostgreSQL and Redis stay away at most (default 10)")
    parser.add_argument("--only", help=f"these actions alone, with commas between: {', '.join([*OURS, *THEIRS])}")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pixmill-chaos-"))
    print(f"seed {options.seed}, {options.minutes:g} minutes, {options.servers} servers, {options.workers} workers; logs in {folder}", flush=True)
    only = options.only.split(",") if options.only else None
    plan = Plan(options.minutes * 60, options.seed, options.rows, options.servers, options.workers, only, options.away)
    problems, summary = run(folder, plan, say=lambda text: print(text, flush=True))
    print(summary)
    for problem in problems[:100]:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} findings; the logs stay in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    print("nothing lost, nothing doubled, no orphan, nothing dangling")


if __name__ == "__main__":
    main()

// The invariants' queries on PostgreSQL, and the statements that put things right. postgres_plans_test.cc checks their
// plans: none walks a table that grows with the pictures, but for the part of it that it is asked about. Each query
// gives (job number, job id, number, detail), from one snapshot. Private to src/jobs/postgres_*.cc and their tests.
#pragma once

#include <string_view>

#include "jobs/invariants.h"
#include "jobs/postgres_statements.h"

namespace pixmill::jobs::postgres {

// --- Of the whole store, or of jobs $1 to $2; $3 is now ---
// Questions about one row each are subqueries with a LIMIT, which no planner turns into a join with a whole table.
// Where `job_no + 0` is compared the numbers mean all jobs as a rule, and the index is to be the one of the state.
inline constexpr std::string_view kStalledJobs =
    "SELECT j.job_no, j.id, 0, j.state FROM jobs AS j "
    "WHERE j.state IN ('running', 'cancelling') AND j.job_no + 0 BETWEEN $1 AND $2 AND j.remaining = 0 AND $3 > 0 AND "
    "NOT EXISTS (SELECT 1 FROM reopenings AS r WHERE r.job_no = j.job_no) LIMIT 100";
// Asked for so that it is the index of one job's states, not that of all leases.
inline constexpr std::string_view kLeasedCounts =
    "SELECT j.job_no, j.id, j.leased, 'has ' || h.held FROM jobs AS j CROSS JOIN LATERAL (SELECT count(*) AS held FROM "
    "items AS i WHERE i.job_no = j.job_no AND i.state IN ('leased', '')) AS h WHERE j.state IN " PIXMILL_ACTIVE_STATES
    " AND j.job_no + 0 BETWEEN $1 AND $2 AND $3 > 0 AND j.leased <> h.held LIMIT 100";
inline constexpr std::string_view kPendingCounts =
    "SELECT j.job_no, j.id, j.remaining - j.leased, CASE WHEN j.remaining > j.leased THEN 'has none' ELSE 'has some' "
    "END FROM jobs AS j WHERE j.state IN " PIXMILL_ACTIVE_STATES
    " AND j.job_no + 0 BETWEEN $1 AND $2 AND $3 > 0 AND (j.remaining > j.leased) <> EXISTS (SELECT 1 FROM items AS i "
    "WHERE i.job_no = j.job_no AND i.state = 'pending') LIMIT 100";
inline constexpr std::string_view kLeasesOfEndedJobs =
    "SELECT i.job_no, coalesce(j.id, ''), i.item, coalesce(j.state, 'no such job') FROM items AS i LEFT JOIN LATERAL "
    "(SELECT id, state FROM jobs WHERE jobs.job_no = i.job_no LIMIT 1) AS j ON true WHERE i.state = 'leased' AND "
    "i.leased_until >= 0 AND i.job_no + 0 BETWEEN $1 AND $2 AND $3 > 0 AND (j.state IS NULL OR j.state "
    "IN " PIXMILL_ENDED_STATES ") LIMIT 100";
inline constexpr std::string_view kOverdueLeases =
    "SELECT i.job_no, j.id, i.item, coalesce(i.leased_until::text, 'never ends') FROM (SELECT job_no, item, "
    "leased_until "
    "FROM items WHERE state = 'leased' AND leased_until IS NULL UNION ALL SELECT job_no, item, leased_until FROM items "
    "WHERE state = 'leased' AND leased_until < $3 - 300000) AS i CROSS JOIN LATERAL (SELECT id FROM jobs WHERE "
    "jobs.job_no = i.job_no LIMIT 1) AS j WHERE i.job_no BETWEEN $1 AND $2 LIMIT 100";
inline constexpr std::string_view kHungJobs =
    "SELECT j.job_no, j.id, j.remaining, '' FROM jobs AS j WHERE j.state = 'running' AND j.job_no + 0 BETWEEN $1 AND "
    "$2 "
    "AND $3 > 0 AND j.remaining > 0 AND j.leased = 0 AND (SELECT 1 FROM items AS i WHERE i.job_no = j.job_no AND "
    "i.state "
    "= 'pending' AND i.not_before IS NULL LIMIT 1) IS NOT NULL AND (SELECT 1 FROM items AS i WHERE i.job_no = j.job_no "
    "AND i.state = 'pending' AND i.not_before >= 0 LIMIT 1) IS NULL AND NOT EXISTS (SELECT 1 FROM leaders_due AS l "
    "WHERE "
    "l.job_no = j.job_no) AND NOT EXISTS (SELECT 1 FROM reopenings AS r WHERE r.job_no = j.job_no) LIMIT 100";
inline constexpr std::string_view kStrayReopenings =
    "SELECT r.job_no, COALESCE(j.id, ''), r.after_item, COALESCE(j.state, 'no such job') FROM reopenings AS r "
    "LEFT JOIN jobs AS j ON j.job_no = r.job_no WHERE r.job_no BETWEEN $1 AND $2 AND $3 > 0 AND "
    "(j.state IS NULL OR j.state IN " PIXMILL_ENDED_STATES ") LIMIT 100";
inline constexpr std::string_view kOverdueDeliveries =
    "SELECT e.job_no, j.id, d.attempts, d.event_id FROM (SELECT event_id, attempts FROM deliveries WHERE state IN "
    "('pending', 'leased') AND due_at IS NULL UNION ALL SELECT event_id, attempts FROM deliveries WHERE state IN "
    "('pending', 'leased') AND due_at < $3 - 86400000) AS d CROSS JOIN LATERAL (SELECT job_no FROM events WHERE "
    "events.event_id = d.event_id LIMIT 1) AS e CROSS JOIN LATERAL (SELECT id FROM jobs WHERE jobs.job_no = e.job_no "
    "LIMIT 1) AS j WHERE e.job_no BETWEEN $1 AND $2 LIMIT 100";
inline constexpr std::string_view kOpenItemsOfEndedJobs =
    "SELECT j.job_no, j.id, j.remaining, j.state FROM jobs AS j WHERE j.job_no BETWEEN $1 AND $2 AND $3 > 0 AND "
    "j.state IN " PIXMILL_ENDED_STATES
    " AND (j.remaining > 0 OR EXISTS (SELECT 1 FROM items AS i WHERE "
    "i.job_no = j.job_no AND i.state IN " PIXMILL_OPEN_STATES ")) LIMIT 100";
inline constexpr std::string_view kEndsWithoutEvent =
    "SELECT j.job_no, j.id, j.generation, j.state FROM jobs AS j WHERE j.job_no BETWEEN $1 AND $2 AND $3 > 0 AND "
    "j.state "
    "IN " PIXMILL_ENDED_STATES
    " AND (SELECT 1 FROM events AS e WHERE e.job_no = j.job_no AND e.generation = "
    "j.generation AND e.terminal = 1 LIMIT 1) IS NULL LIMIT 100";
inline constexpr std::string_view kEventsWithoutDelivery =
    "SELECT j.job_no, j.id, e.generation, e.event_id FROM jobs AS j CROSS JOIN LATERAL (SELECT generation, event_id "
    "FROM "
    "events WHERE events.job_no = j.job_no AND terminal = 1 ORDER BY event_no DESC LIMIT 100) AS e WHERE j.job_no "
    "BETWEEN $1 AND $2 AND $3 > 0 AND j.webhook_url <> '' AND (SELECT 1 FROM deliveries AS d WHERE d.event_id = "
    "e.event_id LIMIT 1) IS NULL LIMIT 100";
inline constexpr std::string_view kEarlyEvents =
    "SELECT j.job_no, j.id, e.generation, e.type FROM jobs AS j CROSS JOIN LATERAL (SELECT generation, type FROM "
    "events "
    "WHERE events.job_no = j.job_no AND events.generation >= j.generation AND terminal = 1 ORDER BY events.generation "
    "LIMIT 100) AS e WHERE j.job_no BETWEEN $1 AND $2 AND $3 > 0 AND j.state <> 'deleting' AND (e.generation > "
    "j.generation OR j.state NOT "
    "IN " PIXMILL_ENDED_STATES ") LIMIT 100";

// --- Of job $1: items, or rows, $2 to $3 ---
inline constexpr std::string_view kMissingOutputs =
    "SELECT i.job_no, '', i.item, i.state FROM items AS i WHERE i.job_no = $1 AND i.item BETWEEN $2 AND $3 AND i.state "
    "IN " PIXMILL_KEPT_STATES
    " AND (SELECT 1 FROM outputs AS o WHERE o.job_no = $1 AND o.item = i.item LIMIT 1) IS NULL "
    "LIMIT 100";
inline constexpr std::string_view kStrayOutputs =
    "SELECT o.job_no, '', o.item, o.key FROM outputs AS o LEFT JOIN LATERAL (SELECT state FROM items WHERE "
    "items.job_no = "
    "$1 AND items.item = o.item LIMIT 1) AS i ON true WHERE o.job_no = $1 AND o.item BETWEEN $2 AND $3 AND (i.state IS "
    "NULL OR i.state NOT IN " PIXMILL_KEPT_STATES ") LIMIT 100";
inline constexpr std::string_view kItemRecords =
    "SELECT i.job_no, '', i.item, i.state FROM items AS i WHERE i.job_no = $1 AND i.item BETWEEN $2 AND $3 AND "
    "((i.state = 'leased') <> (i.leased_until IS NOT NULL) OR "
    "(i.state IN " PIXMILL_OPEN_STATES
    ") <> (i.finished_at IS NULL) OR (i.state <> 'pending' AND i.not_before IS NOT "
    "NULL) OR i.generation > (SELECT j.generation FROM jobs AS j WHERE j.job_no = $1)) LIMIT 100";
inline constexpr std::string_view kStuckFollowers =
    "SELECT i.job_no, '', i.item, coalesce(i.same_as::text, '') FROM items AS i WHERE i.job_no = $1 AND i.item BETWEEN "
    "$2 "
    "AND $3 AND (i.state || '') = 'pending' AND i.not_before IS NULL AND (SELECT 1 FROM items AS f WHERE f.job_no = $1 "
    "AND f.item = i.same_as AND (f.state || '') IN " PIXMILL_OPEN_STATES
    " LIMIT 1) IS NULL AND (SELECT 1 FROM "
    "leaders_due AS l WHERE l.job_no = $1 AND l.item = i.same_as LIMIT 1) IS NULL LIMIT 100";
inline constexpr std::string_view kItemsWithoutRow =
    "SELECT i.job_no, '', i.item, i.row_no::text FROM items AS i LEFT JOIN LATERAL (SELECT first_item, item_count FROM "
    "rows WHERE rows.job_no = $1 AND rows.row_no = i.row_no LIMIT 1) AS r ON true WHERE i.job_no = $1 AND i.item "
    "BETWEEN "
    "$2 AND $3 AND (r.first_item IS NULL OR i.item NOT BETWEEN r.first_item AND r.first_item + r.item_count - 1) LIMIT "
    "100";
inline constexpr std::string_view kRowsWithoutItems =
    "SELECT r.job_no, '', r.row_no, r.item_count::text FROM rows AS r WHERE r.job_no = $1 AND r.row_no BETWEEN $2 AND "
    "$3 AND "
    "r.item_count > 0 AND r.item_count <> (SELECT COUNT(*) FROM items AS i WHERE i.job_no = $1 AND i.item BETWEEN "
    "r.first_item AND r.first_item + r.item_count - 1 AND i.row_no = r.row_no) LIMIT 100";
inline constexpr std::string_view kSharedKeys =
    "SELECT o.job_no, '', o.item, o.key FROM outputs AS o WHERE o.job_no = $1 AND o.item BETWEEN $2 AND $3 AND (SELECT "
    "1 "
    "FROM outputs AS p WHERE p.key_hash = o.key_hash AND p.key = o.key AND p.sha256 <> o.sha256 LIMIT 1) IS NOT NULL "
    "LIMIT 100";

// --- Sums over items, or rows, $2 to $3 of job $1 ---
inline constexpr std::string_view kItemTotals =
    "SELECT count(*), count(*) FILTER (WHERE state IN " PIXMILL_OPEN_STATES
    "), count(*) FILTER (WHERE state IN " PIXMILL_KEPT_STATES
    "), count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'cancelled'), "
    "coalesce(sum(bytes_in) FILTER (WHERE state IN " PIXMILL_KEPT_STATES
    "), 0)::bigint, "
    "(SELECT coalesce(sum(o.bytes), 0) FROM outputs AS o WHERE o.job_no = $1 AND o.item BETWEEN $2 AND $3)::bigint, "
    "count(*) FILTER (WHERE state = 'unchanged'), count(*) FILTER (WHERE state = 'succeeded' AND since_item IS NOT "
    "NULL) "
    "FROM items WHERE job_no = $1 AND item BETWEEN $2 AND $3";
inline constexpr std::string_view kFailureTotals =
    "SELECT error_code, COUNT(*) FROM items WHERE job_no = $1 AND item BETWEEN $2 AND $3 AND state = 'failed' "
    "GROUP BY error_code";
inline constexpr std::string_view kRowTotals =
    "SELECT count(*), count(*) FILTER (WHERE problem <> '') FROM rows WHERE job_no = $1 AND row_no BETWEEN $2 AND $3";
inline constexpr std::string_view kLastJobAfter =
    "SELECT coalesce(max(job_no), 0) FROM (SELECT job_no FROM jobs WHERE job_no > $1 ORDER BY job_no LIMIT $2) AS "
    "next_ones";

// --- Repairs ---
inline constexpr std::string_view kCountItemsInState =
    "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'leased'), count(*) FILTER "
    "(WHERE state IN " PIXMILL_KEPT_STATES
    "), count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = "
    "'cancelled') FROM items WHERE job_no = $1";
inline constexpr std::string_view kSetCounts =
    "UPDATE jobs SET leased = $2, remaining = $3, succeeded = $4, failed = $5, cancelled = $6, total = $7 "
    "WHERE job_no = $1";
// Open items of a job that has ended: they get their result after all.
inline constexpr std::string_view kSettleOpenItems =
    "UPDATE items AS i SET state = $3, leased_until = NULL, leased_by = NULL, leased_on = NULL, not_before = NULL, "
    "finished_at = $4, error_code = $5, error_message = $6 FROM (SELECT item FROM items WHERE job_no = $1 AND state "
    "IN " PIXMILL_OPEN_STATES
    " ORDER BY item LIMIT $2 FOR UPDATE SKIP LOCKED) AS o WHERE i.job_no = $1 AND i.item = "
    "o.item";
inline constexpr std::string_view kEndOverdueLease =
    "UPDATE items SET leased_until = $3 WHERE job_no = $1 AND item = $2 AND (state || '') = 'leased' AND leased_until "
    "IS NULL";
inline constexpr std::string_view kWakeWaiting =
    "UPDATE items AS i SET not_before = 0 FROM (SELECT item FROM items WHERE job_no = $1 AND state = 'pending' AND "
    "not_before IS NULL ORDER BY same_as, item LIMIT $2 FOR UPDATE SKIP LOCKED) AS w WHERE i.job_no = $1 AND i.item = "
    "w.item";
inline constexpr std::string_view kWakeFollower =
    "UPDATE items SET not_before = 0 WHERE job_no = $1 AND item = $2 AND (state || '') = 'pending' AND not_before IS "
    "NULL";
inline constexpr std::string_view kForgetStrayReopening =
    "DELETE FROM reopenings WHERE job_no = $1 AND NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.job_no = $1 AND j.state "
    "NOT IN " PIXMILL_ENDED_STATES ")";
inline constexpr std::string_view kDateDelivery =
    "UPDATE deliveries SET state = 'pending', due_at = $2 WHERE event_id = $1 AND state IN ('pending', 'leased') AND "
    "due_at IS NULL";
inline constexpr std::string_view kTerminalEvent =
    "SELECT event_id, event_no FROM events WHERE job_no = $1 AND generation = $2 AND "
    "terminal = 1";
inline constexpr std::string_view kAddMissingDelivery =
    "INSERT INTO deliveries (event_id, event_no, url, origin, state, due_at) SELECT e.event_id, e.event_no, $2::text, "
    "$3::text, 'pending', $4::bigint FROM events AS e WHERE e.event_id = $1 ON CONFLICT (event_id) DO NOTHING";
inline constexpr std::string_view kForgetStrayOutputs =
    "DELETE FROM outputs WHERE job_no = $1 AND item = $2 AND NOT EXISTS (SELECT 1 FROM items AS i WHERE i.job_no = $1 "
    "AND i.item = $2 AND i.state IN " PIXMILL_KEPT_STATES ")";
inline constexpr std::string_view kCorrectCounters =
    "UPDATE jobs SET row_count = $3, invalid = $4, total = $5, remaining = $6, leased = 0, succeeded = $7, failed = "
    "$8, cancelled = $9, bytes_in = $10, bytes_out = $11, unchanged = $12, changed = $13 WHERE job_no = $1 AND "
    "generation = $2 AND state "
    "IN " PIXMILL_ENDED_STATES;
inline constexpr std::string_view kSetFailureCount =
    "INSERT INTO failure_counts AS f (job_no, error_code, count, example) VALUES ($1, $2, $3, '') "
    "ON CONFLICT (job_no, error_code) DO UPDATE SET count = excluded.count";
inline constexpr std::string_view kForgetFailureCount =
    "DELETE FROM failure_counts WHERE job_no = $1 AND error_code = $2";

// One process of all that use the schema; held until its connection ends. Asked again by the one that holds it, it is
// not taken once more.
inline constexpr std::string_view kLead =
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND "
    "granted "
    "AND objsubid = 2 AND classid::bigint = 1347964236 AND objid::bigint = "
    "hashtext(current_schema())::bigint & 4294967295) THEN 1 ELSE "
    "pg_try_advisory_lock(1347964236, hashtext(current_schema()))::int END";

// --- Reviews ---
inline constexpr std::string_view kNoteReview =
    "INSERT INTO reviews AS r (job_no, since, note) SELECT job_no, $2::bigint, 1 FROM jobs WHERE job_no = "
    "ANY($1::bigint[]) AND state IN " PIXMILL_ENDED_STATES
    " ORDER BY job_no ON CONFLICT (job_no) DO UPDATE SET since = "
    "excluded.since, note = r.note + 1";
// One that is dated ahead of now was noted before the clock was put back.
inline constexpr std::string_view kDueReviews =
    "SELECT r.job_no, r.note, j.id FROM reviews AS r CROSS JOIN LATERAL (SELECT id FROM jobs WHERE jobs.job_no = "
    "r.job_no LIMIT 1) AS j WHERE r.since <= $1 OR r.since > $2 ORDER BY r.since, r.job_no LIMIT $3";
// Not while a sweep is under way: its fence stands in the same row. Then it is put off to $3, which is now.
inline constexpr std::string_view kEndReview =
    "DELETE FROM reviews WHERE job_no = $1 AND note = $2 AND sweeping_until NOT BETWEEN $3 AND $4";
inline constexpr std::string_view kPutReviewOff = "UPDATE reviews SET since = $3 WHERE job_no = $1 AND note = $2";
// The fence is an even number. One that finds another's makes it odd: then neither lifts it, and it runs out, for
// nobody knows whether the other still works or was killed.
inline constexpr std::string_view kBeginSweep =
    "INSERT INTO reviews (job_no, since, note, sweeping_until) VALUES ($1, $2, 1, $3) ON CONFLICT (job_no) DO UPDATE "
    "SET sweeping_until = excluded.sweeping_until + (reviews.sweeping_until BETWEEN $2 AND $4)::int";
inline constexpr std::string_view kEndSweep =
    "UPDATE reviews SET sweeping_until = 0 WHERE job_no = $1 AND sweeping_until % 2 = 0";
inline constexpr std::string_view kIsSwept =
    "SELECT 1 FROM reviews WHERE job_no = $1 AND sweeping_until BETWEEN $2 AND $3";

// Of those that have one; "" for sums.
[[nodiscard]] constexpr std::string_view check_of(Invariant invariant) {
  switch (invariant) {
    case Invariant::kStalledJobs:
      return kStalledJobs;
    case Invariant::kLeasedCounts:
      return kLeasedCounts;
    case Invariant::kPendingCounts:
      return kPendingCounts;
    case Invariant::kLeasesOfEndedJobs:
      return kLeasesOfEndedJobs;
    case Invariant::kOverdueLeases:
      return kOverdueLeases;
    case Invariant::kHungJobs:
      return kHungJobs;
    case Invariant::kStrayReopenings:
      return kStrayReopenings;
    case Invariant::kOverdueDeliveries:
      return kOverdueDeliveries;
    case Invariant::kOpenItemsOfEndedJobs:
      return kOpenItemsOfEndedJobs;
    case Invariant::kEndsWithoutEvent:
      return kEndsWithoutEvent;
    case Invariant::kEventsWithoutDelivery:
      return kEventsWithoutDelivery;
    case Invariant::kEarlyEvents:
      return kEarlyEvents;
    case Invariant::kMissingOutputs:
      return kMissingOutputs;
    case Invariant::kStrayOutputs:
      return kStrayOutputs;
    case Invariant::kItemRecords:
      return kItemRecords;
    case Invariant::kStuckFollowers:
      return kStuckFollowers;
    case Invariant::kItemsWithoutRow:
      return kItemsWithoutRow;
    case Invariant::kRowsWithoutItems:
      return kRowsWithoutItems;
    case Invariant::kSharedKeys:
      return kSharedKeys;
    case Invariant::kJobCounters:
    case Invariant::kFailureCounts:
      return {};
  }
  return {};
}

}  // namespace pixmill::jobs::postgres

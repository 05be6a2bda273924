// The invariants' queries on SQLite, and the statements that put things right. sqlite_plans_test.cc checks their plans:
// none walks a table that grows with the pictures, but for the part of it that it is asked about. Each query gives
// (job number, job id, number, detail). Private to src/jobs/sqlite_*.cc and their tests.
#pragma once

#include <string_view>

#include "jobs/invariants.h"
#include "jobs/sqlite_statements.h"

namespace pixmill::jobs::sqlite {

// --- Of the whole store, or of jobs ?1 to ?2; ?3 is now ---
inline constexpr std::string_view kStalledJobs =
    "SELECT j.job_no, j.id, 0, j.state FROM jobs AS j INDEXED BY jobs_by_state "
    "WHERE j.state IN ('running', 'cancelling') AND j.job_no BETWEEN ?1 AND ?2 AND j.remaining = 0 AND ?3 > 0 AND "
    "NOT EXISTS (SELECT 1 FROM reopenings AS r WHERE r.job_no = j.job_no) LIMIT 100";
inline constexpr std::string_view kLeasedCounts =
    "SELECT job_no, id, leased, 'has ' || held FROM (SELECT j.job_no, j.id, j.leased, (SELECT COUNT(*) FROM items AS i "
    "INDEXED BY items_by_state WHERE i.job_no = j.job_no AND i.state = 'leased') AS held "
    "FROM jobs AS j INDEXED BY jobs_by_state WHERE j.state IN " PIXMILL_ACTIVE_STATES
    " AND j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0) WHERE leased <> held LIMIT 100";
inline constexpr std::string_view kPendingCounts =
    "SELECT j.job_no, j.id, j.remaining - j.leased, CASE WHEN j.remaining > j.leased THEN 'has none' ELSE 'has some' "
    "END FROM jobs AS j INDEXED BY jobs_by_state WHERE j.state IN " PIXMILL_ACTIVE_STATES
    " AND j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND (j.remaining > j.leased) <> EXISTS (SELECT 1 FROM items AS i "
    "INDEXED BY items_by_state WHERE i.job_no = j.job_no AND i.state = 'pending') LIMIT 100";
inline constexpr std::string_view kLeasesOfEndedJobs =
    "SELECT i.job_no, COALESCE(j.id, ''), i.item, COALESCE(j.state, 'no such job') FROM items AS i "
    "INDEXED BY items_leased LEFT JOIN jobs AS j ON j.job_no = i.job_no WHERE i.state = 'leased' AND i.job_no BETWEEN "
    "?1 AND ?2 AND ?3 > 0 AND (j.state IS NULL OR j.state IN " PIXMILL_ENDED_STATES ") LIMIT 100";
inline constexpr std::string_view kOverdueLeases =
    "SELECT i.job_no, j.id, i.item, COALESCE(i.leased_until, 'never ends') FROM items AS i INDEXED BY items_leased "
    "CROSS JOIN jobs AS j ON j.job_no = i.job_no WHERE i.state = 'leased' AND i.job_no BETWEEN ?1 AND ?2 AND "
    "COALESCE(i.leased_until, 0) < ?3 - 300000 LIMIT 100";
inline constexpr std::string_view kHungJobs =
    "SELECT j.job_no, j.id, j.remaining, '' FROM jobs AS j INDEXED BY jobs_by_state WHERE j.state = 'running' AND "
    "j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND j.remaining > 0 AND j.leased = 0 AND EXISTS (SELECT 1 FROM items AS i "
    "INDEXED BY items_waiting WHERE i.job_no = j.job_no AND i.state = 'pending' AND i.not_before IS NULL) AND "
    "NOT EXISTS (SELECT 1 FROM items AS i INDEXED BY items_pending WHERE i.job_no = j.job_no AND i.state = 'pending' "
    "AND i.not_before >= 0) AND NOT EXISTS (SELECT 1 FROM leaders_due AS l WHERE l.job_no = j.job_no) AND "
    "NOT EXISTS (SELECT 1 FROM reopenings AS r WHERE r.job_no = j.job_no) LIMIT 100";
inline constexpr std::string_view kStrayReopenings =
    "SELECT r.job_no, COALESCE(j.id, ''), r.after_item, COALESCE(j.state, 'no such job') FROM reopenings AS r "
    "LEFT JOIN jobs AS j ON j.job_no = r.job_no WHERE r.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND "
    "(j.state IS NULL OR j.state IN " PIXMILL_ENDED_STATES ") LIMIT 100";
inline constexpr std::string_view kOverdueDeliveries =
    "SELECT e.job_no, j.id, d.attempts, d.event_id FROM (SELECT event_id, attempts FROM deliveries INDEXED BY "
    "deliveries_due WHERE state IN ('pending', 'leased') AND due_at IS NULL UNION ALL SELECT event_id, attempts "
    "FROM deliveries INDEXED BY deliveries_due WHERE state IN ('pending', 'leased') AND due_at < ?3 - 86400000) AS d "
    "CROSS JOIN events AS e ON e.event_id = d.event_id CROSS JOIN jobs AS j ON j.job_no = e.job_no "
    "WHERE e.job_no BETWEEN ?1 AND ?2 LIMIT 100";
inline constexpr std::string_view kOpenItemsOfEndedJobs =
    "SELECT j.job_no, j.id, j.remaining, j.state FROM jobs AS j WHERE j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND "
    "j.state IN " PIXMILL_ENDED_STATES
    " AND (j.remaining > 0 OR EXISTS (SELECT 1 FROM items AS i INDEXED BY "
    "items_by_state WHERE i.job_no = j.job_no AND i.state IN " PIXMILL_OPEN_STATES ")) LIMIT 100";
inline constexpr std::string_view kEndsWithoutEvent =
    "SELECT j.job_no, j.id, j.generation, j.state FROM jobs AS j WHERE j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND "
    "j.state IN " PIXMILL_ENDED_STATES
    " AND NOT EXISTS (SELECT 1 FROM events AS e INDEXED BY events_one_end WHERE "
    "e.job_no = j.job_no AND e.generation = j.generation AND e.terminal = 1) LIMIT 100";
inline constexpr std::string_view kEventsWithoutDelivery =
    "SELECT j.job_no, j.id, e.generation, e.event_id FROM jobs AS j CROSS JOIN events AS e INDEXED BY events_by_job ON "
    "e.job_no = j.job_no WHERE j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND j.webhook_url <> '' AND e.terminal = 1 AND "
    "NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.event_id = e.event_id) LIMIT 100";
inline constexpr std::string_view kEarlyEvents =
    "SELECT j.job_no, j.id, e.generation, e.type FROM jobs AS j CROSS JOIN events AS e INDEXED BY events_one_end ON "
    "e.job_no = j.job_no AND e.generation >= j.generation WHERE j.job_no BETWEEN ?1 AND ?2 AND ?3 > 0 AND "
    "e.terminal = 1 AND j.state <> 'deleting' AND (e.generation > j.generation OR j.state NOT "
    "IN " PIXMILL_ENDED_STATES ") LIMIT 100";

// --- Of job ?1: items, or rows, ?2 to ?3 ---
inline constexpr std::string_view kMissingOutputs =
    "SELECT i.job_no, '', i.item, i.state FROM items AS i WHERE i.job_no = ?1 AND i.item BETWEEN ?2 AND ?3 AND "
    "i.state IN " PIXMILL_KEPT_STATES
    " AND NOT EXISTS (SELECT 1 FROM outputs AS o WHERE o.job_no = i.job_no AND "
    "o.item = i.item) LIMIT 100";
inline constexpr std::string_view kStrayOutputs =
    "SELECT o.job_no, '', o.item, o.key FROM outputs AS o LEFT JOIN items AS i ON i.job_no = o.job_no AND i.item = "
    "o.item WHERE o.job_no = ?1 AND o.item BETWEEN ?2 AND ?3 AND (i.state IS NULL OR i.state NOT "
    "IN " PIXMILL_KEPT_STATES ") LIMIT 100";
inline constexpr std::string_view kItemRecords =
    "SELECT i.job_no, '', i.item, i.state FROM items AS i WHERE i.job_no = ?1 AND i.item BETWEEN ?2 AND ?3 AND "
    "((i.state = 'leased') <> (i.leased_until IS NOT NULL) OR "
    "(i.state IN " PIXMILL_OPEN_STATES
    ") <> (i.finished_at IS NULL) OR (i.state <> 'pending' AND i.not_before IS NOT "
    "NULL) OR i.generation > (SELECT j.generation FROM jobs AS j WHERE j.job_no = ?1)) LIMIT 100";
inline constexpr std::string_view kStuckFollowers =
    "SELECT i.job_no, '', i.item, COALESCE(i.same_as, 0) FROM items AS i WHERE i.job_no = ?1 AND i.item BETWEEN ?2 AND "
    "?3 AND i.state = 'pending' AND i.not_before IS NULL AND NOT EXISTS (SELECT 1 FROM items AS f WHERE f.job_no = ?1 "
    "AND f.item = i.same_as AND f.state IN " PIXMILL_OPEN_STATES
    ") AND NOT EXISTS (SELECT 1 FROM leaders_due AS l "
    "WHERE l.job_no = ?1 AND l.item = i.same_as) LIMIT 100";
inline constexpr std::string_view kItemsWithoutRow =
    "SELECT i.job_no, '', i.item, i.row_no FROM items AS i LEFT JOIN rows AS r ON r.job_no = i.job_no AND r.row_no = "
    "i.row_no WHERE i.job_no = ?1 AND i.item BETWEEN ?2 AND ?3 AND (r.row_no IS NULL OR i.item NOT BETWEEN "
    "r.first_item AND r.first_item + r.item_count - 1) LIMIT 100";
inline constexpr std::string_view kRowsWithoutItems =
    "SELECT r.job_no, '', r.row_no, r.item_count FROM rows AS r WHERE r.job_no = ?1 AND r.row_no BETWEEN ?2 AND ?3 AND "
    "r.item_count > 0 AND r.item_count <> (SELECT COUNT(*) FROM items AS i WHERE i.job_no = ?1 AND i.item BETWEEN "
    "r.first_item AND r.first_item + r.item_count - 1 AND i.row_no = r.row_no) LIMIT 100";
inline constexpr std::string_view kSharedKeys =
    "SELECT o.job_no, '', o.item, o.key FROM outputs AS o WHERE o.job_no = ?1 AND o.item BETWEEN ?2 AND ?3 AND "
    "EXISTS (SELECT 1 FROM outputs AS p INDEXED BY outputs_by_key WHERE p.key_hash = o.key_hash AND p.key = o.key AND "
    "p.sha256 <> o.sha256) LIMIT 100";

// --- Sums over items, or rows, ?2 to ?3 of job ?1 ---
inline constexpr std::string_view kItemTotals =
    "SELECT COUNT(*), COALESCE(SUM(state IN " PIXMILL_OPEN_STATES "), 0), COALESCE(SUM(state IN " PIXMILL_KEPT_STATES
    "), 0), "
    "COALESCE(SUM(state = 'failed'), 0), COALESCE(SUM(state = 'cancelled'), 0), "
    "COALESCE(SUM(CASE WHEN state IN " PIXMILL_KEPT_STATES
    " THEN bytes_in ELSE 0 END), 0), "
    "(SELECT COALESCE(SUM(o.bytes), 0) FROM outputs AS o WHERE o.job_no = ?1 AND o.item BETWEEN ?2 AND ?3), "
    "COALESCE(SUM(state = 'unchanged'), 0), COALESCE(SUM(state = 'succeeded' AND since_item IS NOT NULL), 0) "
    "FROM items WHERE job_no = ?1 AND item BETWEEN ?2 AND ?3";
inline constexpr std::string_view kFailureTotals =
    "SELECT error_code, COUNT(*) FROM items WHERE job_no = ?1 AND item BETWEEN ?2 AND ?3 AND state = 'failed' "
    "GROUP BY error_code";
inline constexpr std::string_view kRowTotals =
    "SELECT COUNT(*), COALESCE(SUM(problem <> ''), 0) FROM rows WHERE job_no = ?1 AND row_no BETWEEN ?2 AND ?3";
inline constexpr std::string_view kLastJobAfter =
    "SELECT COALESCE(MAX(job_no), 0) FROM (SELECT job_no FROM jobs WHERE job_no > ?1 ORDER BY job_no LIMIT ?2)";

// --- Repairs ---
inline constexpr std::string_view kCountItemsInState =
    "SELECT COUNT(*) FROM items INDEXED BY items_by_state WHERE job_no = ?1 AND state = ?2";
inline constexpr std::string_view kSetCounts =
    "UPDATE jobs SET leased = ?2, remaining = ?3, succeeded = ?4, failed = ?5, cancelled = ?6, total = ?7 "
    "WHERE job_no = ?1";
// Open items of a job that has ended: they get their result after all.
inline constexpr std::string_view kSettleOpenItems =
    "UPDATE items SET state = ?3, leased_until = NULL, leased_by = NULL, not_before = NULL, finished_at = ?4, "
    "error_code = ?5, error_message = ?6 WHERE job_no = ?1 AND item IN (SELECT item FROM items INDEXED BY "
    "items_by_state WHERE job_no = ?1 AND state IN " PIXMILL_OPEN_STATES " LIMIT ?2)";
inline constexpr std::string_view kEndOverdueLease =
    "UPDATE items SET leased_until = ?3 WHERE job_no = ?1 AND item = ?2 AND state = 'leased' AND leased_until IS NULL";
inline constexpr std::string_view kWakeWaiting =
    "UPDATE items SET not_before = 0 WHERE job_no = ?1 AND item IN (SELECT item FROM items INDEXED BY items_waiting "
    "WHERE job_no = ?1 AND state = 'pending' AND not_before IS NULL LIMIT ?2)";
inline constexpr std::string_view kWakeFollower =
    "UPDATE items SET not_before = 0 WHERE job_no = ?1 AND item = ?2 AND state = 'pending' AND not_before IS NULL";
inline constexpr std::string_view kForgetStrayReopening =
    "DELETE FROM reopenings WHERE job_no = ?1 AND NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.job_no = ?1 AND j.state "
    "NOT IN " PIXMILL_ENDED_STATES ")";
inline constexpr std::string_view kDateDelivery =
    "UPDATE deliveries SET state = 'pending', due_at = ?2 WHERE event_id = ?1 AND state IN ('pending', 'leased') AND "
    "due_at IS NULL";
inline constexpr std::string_view kTerminalEvent =
    "SELECT event_id, event_no FROM events INDEXED BY events_one_end WHERE job_no = ?1 AND generation = ?2 AND "
    "terminal = 1";
inline constexpr std::string_view kAddMissingDelivery =
    "INSERT INTO deliveries (event_id, event_no, url, origin, state, due_at) SELECT e.event_id, e.event_no, ?2, ?3, "
    "'pending', ?4 FROM events AS e WHERE e.event_id = ?1 ON CONFLICT (event_id) DO NOTHING";
inline constexpr std::string_view kForgetStrayOutputs =
    "DELETE FROM outputs WHERE job_no = ?1 AND item = ?2 AND NOT EXISTS (SELECT 1 FROM items AS i WHERE i.job_no = ?1 "
    "AND i.item = ?2 AND i.state IN " PIXMILL_KEPT_STATES ")";
inline constexpr std::string_view kCorrectCounters =
    "UPDATE jobs SET row_count = ?3, invalid = ?4, total = ?5, remaining = ?6, leased = 0, succeeded = ?7, failed = "
    "?8, cancelled = ?9, bytes_in = ?10, bytes_out = ?11, unchanged = ?12, changed = ?13 WHERE job_no = ?1 AND "
    "generation = ?2 AND state "
    "IN " PIXMILL_ENDED_STATES;
inline constexpr std::string_view kSetFailureCount =
    "INSERT INTO failure_counts (job_no, error_code, count, example) VALUES (?1, ?2, ?3, '') "
    "ON CONFLICT (job_no, error_code) DO UPDATE SET count = excluded.count";
inline constexpr std::string_view kForgetFailureCount =
    "DELETE FROM failure_counts WHERE job_no = ?1 AND error_code = ?2";

// --- Reviews ---
inline constexpr std::string_view kNoteReview =
    "INSERT INTO reviews (job_no, since, note) SELECT job_no, ?2, 1 FROM jobs WHERE job_no = ?1 AND state "
    "IN " PIXMILL_ENDED_STATES " ON CONFLICT (job_no) DO UPDATE SET since = excluded.since, note = reviews.note + 1";
// One that is dated ahead of now was noted before the clock was put back.
inline constexpr std::string_view kDueReviews =
    "SELECT r.job_no, r.note, j.id FROM reviews AS r INDEXED BY reviews_due CROSS JOIN jobs AS j ON j.job_no = "
    "r.job_no WHERE r.since NOT BETWEEN ?1 + 1 AND ?2 ORDER BY r.since, r.job_no LIMIT ?3";
// Not while a sweep is under way: its fence stands in the same row. Then it is put off to ?3, which is now.
inline constexpr std::string_view kEndReview =
    "DELETE FROM reviews WHERE job_no = ?1 AND note = ?2 AND sweeping_until NOT BETWEEN ?3 AND ?4";
inline constexpr std::string_view kPutReviewOff = "UPDATE reviews SET since = ?3 WHERE job_no = ?1 AND note = ?2";
// The fence is an even number. One that finds another's makes it odd: then neither lifts it, and it runs out, for
// nobody knows whether the other still works or was killed.
inline constexpr std::string_view kBeginSweep =
    "INSERT INTO reviews (job_no, since, note, sweeping_until) SELECT job_no, ?3, 1, ?4 FROM jobs WHERE job_no = ?1 "
    "AND generation = ?2 AND state IN " PIXMILL_ENDED_STATES
    " ON CONFLICT (job_no) DO UPDATE SET sweeping_until = excluded.sweeping_until + (sweeping_until BETWEEN ?3 AND ?5)";
inline constexpr std::string_view kEndSweep =
    "UPDATE reviews SET sweeping_until = 0 WHERE job_no = ?1 AND sweeping_until % 2 = 0";
inline constexpr std::string_view kIsSwept =
    "SELECT 1 FROM reviews WHERE job_no = ?1 AND sweeping_until BETWEEN ?2 AND ?3";

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

}  // namespace pixmill::jobs::sqlite

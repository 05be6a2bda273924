// Every statement of the SQLite store that reads or writes jobs. sqlite_store_test.cc checks the plan of each: none may
// walk a table that grows with the pictures. Where a hot one has a choice of indexes it names the one it is meant to
// use. Parameters are numbered in the order in which they are bound.
#pragma once

#include <string_view>

#include "jobs/stored_rows.h"

namespace pixmill::jobs::sqlite {

// --- A job by itself ---
inline constexpr std::string_view kJobNumber = "SELECT job_no FROM jobs WHERE id = ?1 AND state <> 'deleting'";
inline constexpr std::string_view kJobById =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE id = ?1 AND state <> 'deleting'";
inline constexpr std::string_view kIsTaken = "SELECT 1 FROM jobs WHERE id = ?1";
inline constexpr std::string_view kJobByNumber = "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE job_no = ?1";
inline constexpr std::string_view kJobByDigest =
    "SELECT " PIXMILL_JOB_COLUMNS
    " FROM jobs INDEXED BY jobs_by_digest WHERE source_digest = ?1 AND "
    "source_digest <> '' AND state <> 'deleting' ORDER BY job_no DESC LIMIT 1";
inline constexpr std::string_view kLastTurn = "SELECT COALESCE(MAX(turn), 0) FROM jobs";

// --- Ingest ---
inline constexpr std::string_view kInsertJob =
    "INSERT INTO jobs (id, state, origin, priority, name, recipe, webhook_url, headers, name_template, blob_prefix, "
    "source_path, source_digest, url_column, invalid_rows, created_at, recipe_name, overrides, since, since_folder, "
    "since_files, results_at, keep_ms) "
    "VALUES (?1, 'ingesting', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, "
    "?21)";
inline constexpr std::string_view kInsertIngest =
    "INSERT INTO ingests (job_no, token, leased_until, leased_by) VALUES (?1, 1, ?2, ?3)";
inline constexpr std::string_view kIngestToken = "SELECT token FROM ingests WHERE job_no = ?1";
// A lease that ends after ?1 is left from before the clock was put back.
inline constexpr std::string_view kStrandedIngests =
    "UPDATE ingests INDEXED BY ingests_until SET leased_until = 0 WHERE leased_until > ?1";
inline constexpr std::string_view kIdleIngests =
    "SELECT job_no FROM ingests INDEXED BY ingests_until WHERE leased_until <= ?1 ORDER BY leased_until, job_no LIMIT "
    "?2";
inline constexpr std::string_view kLeaseIngest =
    "UPDATE ingests SET token = token + 1, leased_until = ?2 WHERE job_no = ?1 RETURNING token";
inline constexpr std::string_view kRenewIngest =
    "UPDATE ingests SET leased_until = ?3 WHERE job_no = (SELECT job_no FROM jobs WHERE id = ?1) AND token = ?2";
inline constexpr std::string_view kForgetIngest = "DELETE FROM ingests WHERE job_no = ?1";
inline constexpr std::string_view kInsertMarkUse = "INSERT OR IGNORE INTO mark_uses (digest, job_no) VALUES (?1, ?2)";
inline constexpr std::string_view kInsertRowName =
    "INSERT INTO job_row_names (job_no, written, recipe, name) VALUES (?1, ?2, ?3, ?4)";
inline constexpr std::string_view kRowNames =
    "SELECT written, recipe, name FROM job_row_names WHERE job_no = ?1 ORDER BY written";
inline constexpr std::string_view kInsertRecipe =
    "INSERT INTO job_recipes (job_no, recipe_no, recipe, name) VALUES (?1, ?2, ?3, ?4)";
inline constexpr std::string_view kRecipesOfJob =
    "SELECT recipe_no, recipe, name FROM job_recipes WHERE job_no = ?1 ORDER BY recipe_no";
inline constexpr std::string_view kRecipe = "SELECT recipe, name FROM job_recipes WHERE job_no = ?1 AND recipe_no = ?2";
inline constexpr std::string_view kInsertRow =
    "INSERT INTO rows (job_no, row_no, cells, problem, first_item, item_count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
inline constexpr std::string_view kInsertItem =
    "INSERT INTO items (job_no, item, row_no, position, url, stem, same_as, not_before, recipe_no, since_item) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
inline constexpr std::string_view kSameUrl = "SELECT url, state, recipe_no FROM items WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kNamesAfter =
    "SELECT item, url, stem, same_as, recipe_no, since_item FROM items WHERE job_no = ?1 AND item > ?2 ORDER BY item "
    "LIMIT ?3";

// --- The job that another is compared with; its database may be another one ---
inline constexpr std::string_view kEarlierAfter =
    "SELECT item, url, recipe_no, source_sha256 IS NOT NULL AND state IN ('succeeded', 'unchanged'), row_no, position "
    "FROM items WHERE job_no = ?1 AND item > ?2 ORDER BY item LIMIT ?3";
inline constexpr std::string_view kEarlierItem =
    "SELECT url, recipe_no, state, bytes_in, validator, version_url, source_sha256, made_with FROM items "
    "WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kLastGone = "SELECT COALESCE(MAX(item), 0) FROM gone_urls WHERE job_no = ?1";
inline constexpr std::string_view kInsertGone =
    "INSERT INTO gone_urls (job_no, item, row_no, position, url) VALUES (?1, ?2, ?3, ?4, ?5)";
inline constexpr std::string_view kCountGone = "UPDATE jobs SET gone = gone + ?2 WHERE job_no = ?1";
inline constexpr std::string_view kGoneAfter =
    "SELECT item, row_no, position, url FROM gone_urls WHERE job_no = ?1 AND item > ?2 ORDER BY item LIMIT ?3";

inline constexpr std::string_view kSetColumns = "UPDATE jobs SET column_names = ?2 WHERE job_no = ?1";
inline constexpr std::string_view kCountRows =
    "UPDATE jobs SET row_count = ?2, invalid = invalid + ?3, total = total + ?4, remaining = remaining + ?4, "
    "row_recipes = ?5 WHERE job_no = ?1";
inline constexpr std::string_view kSetState = "UPDATE jobs SET state = ?2 WHERE job_no = ?1";
inline constexpr std::string_view kNoteRejection =
    "UPDATE jobs SET state = 'cancelling', error_code = ?2, error_message = ?3 WHERE job_no = ?1";

// --- Recipes that users gave names to ---
inline constexpr std::string_view kLatestRecipe =
    "SELECT name, version, recipe, created_at, removed FROM recipes WHERE name = ?1 ORDER BY version DESC LIMIT 1";
inline constexpr std::string_view kMeasureRecipes = "SELECT COUNT(*), COALESCE(SUM(LENGTH(recipe)), 0) FROM recipes";
inline constexpr std::string_view kInsertSavedRecipe =
    "INSERT INTO recipes (name, version, recipe, created_at) VALUES (?1, ?2, ?3, ?4)";
inline constexpr std::string_view kRemoveRecipe = "UPDATE recipes SET removed = 1 WHERE name = ?1 AND removed = 0";
inline constexpr std::string_view kSavedRecipes =
    "SELECT name, version, recipe, created_at, removed FROM recipes ORDER BY name, version";

// --- Claims ---
inline constexpr std::string_view kRunnableJobs =
    "SELECT job_no, priority FROM jobs INDEXED BY jobs_runnable WHERE state IN ('ingesting', 'running') AND "
    "remaining > leased AND (?1 = '' OR id = ?1) ORDER BY priority DESC, turn, job_no";
inline constexpr std::string_view kFreshItems =
    "SELECT item FROM items INDEXED BY items_pending WHERE job_no = ?1 AND state = 'pending' AND not_before = 0 "
    "ORDER BY item LIMIT ?2";
inline constexpr std::string_view kDueItems =
    "SELECT item FROM items INDEXED BY items_pending WHERE job_no = ?1 AND state = 'pending' AND "
    "not_before BETWEEN 1 AND ?2 ORDER BY not_before, item LIMIT ?3";
// A retry further away than any policy sets is left from before the clock was put back.
inline constexpr std::string_view kStrandedItems =
    "SELECT item FROM items INDEXED BY items_pending WHERE job_no = ?1 AND state = 'pending' AND not_before > ?2 "
    "ORDER BY not_before, item LIMIT ?3";
inline constexpr std::string_view kNextRetry =
    "SELECT not_before FROM items INDEXED BY items_pending WHERE job_no = ?1 AND state = 'pending' AND not_before > 0 "
    "ORDER BY not_before LIMIT 1";
inline constexpr std::string_view kItemToClaim =
    "SELECT row_no, position, url, stem, token, attempts, engine_crashes, same_as, recipe_no, since_item FROM items "
    "WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kOriginal =
    "SELECT state, bytes_in, error_code, error_message FROM items WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kLeaseItem =
    "UPDATE items SET state = 'leased', token = ?3, leased_until = ?4, leased_by = ?5, not_before = NULL "
    "WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kServeJob =
    "UPDATE jobs SET leased = leased + ?2, turn = ?3, started_at = COALESCE(started_at, ?4) WHERE job_no = ?1";
inline constexpr std::string_view kRenew =
    "UPDATE items SET leased_until = ?4 WHERE job_no = ?1 AND item = ?2 AND state = 'leased' AND token = ?3";
inline constexpr std::string_view kReleaseItem =
    "UPDATE items SET state = 'pending', not_before = ?4, leased_until = NULL, leased_by = NULL "
    "WHERE job_no = ?1 AND item = ?2 AND state = 'leased' AND token = ?3";
inline constexpr std::string_view kCancelLeasedItem =
    "UPDATE items SET state = 'cancelled', leased_until = NULL, leased_by = NULL, finished_at = ?4 "
    "WHERE job_no = ?1 AND item = ?2 AND state = 'leased' AND token = ?3";
inline constexpr std::string_view kExpiredLeases =
    "SELECT job_no, item, token FROM items INDEXED BY items_leased WHERE state = 'leased' AND leased_until <= ?1 "
    "ORDER BY leased_until LIMIT ?2";
inline constexpr std::string_view kStrandedLeases =
    "SELECT job_no, item, token FROM items INDEXED BY items_leased WHERE state = 'leased' AND leased_until > ?1 "
    "ORDER BY leased_until LIMIT ?2";
inline constexpr std::string_view kAllLeases =
    "SELECT job_no, item, token, row_no, position, url, stem, attempts, engine_crashes, same_as "
    "FROM items INDEXED BY items_leased WHERE state = 'leased'";

// --- Outcomes ---
inline constexpr std::string_view kSucceed =
    "UPDATE items SET state = ?9, leased_until = NULL, leased_by = NULL, attempts = attempts + 1, "
    "error_code = '', error_message = '', bytes_in = ?4, fetch_ms = ?5, transform_ms = ?6, store_ms = ?7, "
    "finished_at = ?8, validator = ?10, version_url = ?11, source_sha256 = ?12, made_with = ?13 "
    "WHERE job_no = ?1 AND item = ?2 AND state = 'leased' AND token = ?3 RETURNING since_item";
inline constexpr std::string_view kInsertOutput =
    "INSERT INTO outputs (job_no, item, position, rendition, key, key_hash, bytes, width_px, height_px, format, "
    "quality, sha256, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
// Of an attempt that failed: ?4 is the state that follows, ?5 when it may run again, ?6 when it ended for good.
inline constexpr std::string_view kFail =
    "UPDATE items SET state = ?4, leased_until = NULL, leased_by = NULL, not_before = ?5, finished_at = ?6, "
    "attempts = attempts + 1, engine_crashes = engine_crashes + ?7, error_code = ?8, error_message = ?9, "
    "fetch_ms = ?10, transform_ms = ?11, store_ms = ?12 "
    "WHERE job_no = ?1 AND item = ?2 AND state = 'leased' AND token = ?3";
inline constexpr std::string_view kCountFailures =
    "INSERT INTO failure_counts (job_no, error_code, count, example) VALUES (?1, ?2, ?3, ?4) "
    "ON CONFLICT (job_no, error_code) DO UPDATE SET count = count + excluded.count";
inline constexpr std::string_view kCountChange =
    "UPDATE jobs SET leased = leased + ?2, remaining = remaining + ?3, succeeded = succeeded + ?4, "
    "failed = failed + ?5, cancelled = cancelled + ?6, bytes_in = bytes_in + ?7, bytes_out = bytes_out + ?8, "
    "unchanged = unchanged + ?9, changed = changed + ?10 WHERE job_no = ?1";
// Wakes at most ?3 of those that wait for item ?2.
inline constexpr std::string_view kWakeFollowers =
    "UPDATE items SET not_before = 0 WHERE job_no = ?1 AND item IN (SELECT item FROM items INDEXED BY items_waiting "
    "WHERE job_no = ?1 AND same_as = ?2 AND state = 'pending' AND not_before IS NULL ORDER BY item LIMIT ?3)";
inline constexpr std::string_view kNoteLeader = "INSERT OR IGNORE INTO leaders_due (job_no, item) VALUES (?1, ?2)";
inline constexpr std::string_view kLeaderDue = "SELECT job_no, item FROM leaders_due ORDER BY job_no, item LIMIT 1";
inline constexpr std::string_view kForgetLeader = "DELETE FROM leaders_due WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kForgetLeaders = "DELETE FROM leaders_due WHERE job_no = ?1";

// --- The end of a job ---
inline constexpr std::string_view kEndJob = "UPDATE jobs SET state = ?2, finished_at = ?3 WHERE job_no = ?1";
inline constexpr std::string_view kInsertEvent =
    "INSERT INTO events (event_id, job_no, generation, terminal, type, body, created_at) "
    "VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)";
inline constexpr std::string_view kInsertDelivery =
    "INSERT INTO deliveries (event_id, event_no, url, origin, state, due_at) VALUES (?1, ?2, ?3, ?4, 'pending', ?5)";
inline constexpr std::string_view kSyncMark = "UPDATE sync_marks SET count = count + 1 WHERE one = 1";

// --- Control ---
inline constexpr std::string_view kCancelPending =
    "UPDATE items SET state = 'cancelled', not_before = NULL, finished_at = ?2 WHERE job_no = ?1 AND item IN "
    "(SELECT item FROM items INDEXED BY items_pending WHERE job_no = ?1 AND state = 'pending' LIMIT ?3)";
inline constexpr std::string_view kCancellingJob =
    "SELECT job_no FROM jobs INDEXED BY jobs_by_state WHERE state = 'cancelling' AND job_no > ?1 ORDER BY job_no LIMIT "
    "1";
inline constexpr std::string_view kReplaceHeaders = "UPDATE jobs SET headers = ?2 WHERE job_no = ?1";
inline constexpr std::string_view kReopenJob =
    "UPDATE jobs SET generation = generation + 1, state = 'running', finished_at = NULL WHERE job_no = ?1";
inline constexpr std::string_view kNoteReopening =
    "INSERT INTO reopenings (job_no, error_code, after_item) VALUES (?1, ?2, 0)";
inline constexpr std::string_view kReopening = "SELECT error_code, after_item FROM reopenings WHERE job_no = ?1";
inline constexpr std::string_view kReopeningDue = "SELECT job_no FROM reopenings LIMIT 1";
inline constexpr std::string_view kAdvanceReopening = "UPDATE reopenings SET after_item = ?2 WHERE job_no = ?1";
inline constexpr std::string_view kForgetReopening = "DELETE FROM reopenings WHERE job_no = ?1";
inline constexpr std::string_view kFailedAfter =
    "SELECT item FROM items INDEXED BY items_by_state WHERE job_no = ?1 AND state = 'failed' AND item > ?2 "
    "ORDER BY item LIMIT ?3";
inline constexpr std::string_view kFailedByCodeAfter =
    "SELECT item FROM items INDEXED BY items_by_error WHERE job_no = ?1 AND error_code = ?4 AND error_code <> '' AND "
    "state = 'failed' AND item > ?2 ORDER BY item LIMIT ?3";
inline constexpr std::string_view kItemToReopen =
    "SELECT error_code, same_as FROM items WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kReopenItem =
    "UPDATE items SET state = 'pending', generation = ?3, same_as = ?4, not_before = ?5, attempts = 0, "
    "engine_crashes = 0, error_code = '', error_message = '', fetch_ms = 0, transform_ms = 0, store_ms = 0, "
    "finished_at = NULL WHERE job_no = ?1 AND item = ?2";
inline constexpr std::string_view kUncountFailure =
    "UPDATE failure_counts SET count = count - 1 WHERE job_no = ?1 AND error_code = ?2";
inline constexpr std::string_view kForgetNoFailures = "DELETE FROM failure_counts WHERE job_no = ?1 AND count <= 0";

// --- Removal ---
#define PIXMILL_HAS_OPEN_DELIVERY(job)                                                                            \
  "EXISTS (SELECT 1 FROM events AS e CROSS JOIN deliveries AS d ON d.event_id = e.event_id WHERE e.job_no = " job \
  " AND d.state IN ('pending', 'leased'))"
inline constexpr std::string_view kNoteRemoval =
    "INSERT INTO removals (job_no, due_at) VALUES (?1, 0) ON CONFLICT (job_no) DO NOTHING";
// By the server's word, ended at ?1 or before it.
inline constexpr std::string_view kJobsOver =
    "SELECT j.job_no FROM jobs AS j INDEXED BY jobs_over WHERE j.keep_ms IS NULL AND j.state IN " PIXMILL_ENDED_STATES
    " AND j.finished_at <= ?1 AND NOT " PIXMILL_HAS_OPEN_DELIVERY("j.job_no") " ORDER BY j.finished_at LIMIT ?2";
// By their own.
inline constexpr std::string_view kJobsOverKept =
    "SELECT j.job_no FROM jobs AS j INDEXED BY jobs_over_kept WHERE j.keep_ms >= 0 AND j.state IN " PIXMILL_ENDED_STATES
    " AND j.finished_at + j.keep_ms <= ?1 AND NOT " PIXMILL_HAS_OPEN_DELIVERY(
        "j.job_no") " ORDER BY j.finished_at + j.keep_ms LIMIT ?2";
inline constexpr std::string_view kStrandedRemovals =
    "UPDATE removals INDEXED BY removals_due SET due_at = 0 WHERE due_at > ?1";
inline constexpr std::string_view kRemovalsDue =
    "SELECT job_no FROM removals INDEXED BY removals_due WHERE due_at <= ?1 ORDER BY due_at, job_no LIMIT ?2";
inline constexpr std::string_view kIsToldOf = "SELECT " PIXMILL_HAS_OPEN_DELIVERY("?1");
inline constexpr std::string_view kPutRemovalOff = "UPDATE removals SET due_at = ?2 WHERE job_no = ?1";
inline constexpr std::string_view kLeaseRemoval =
    "UPDATE removals SET token = token + 1, due_at = ?2 WHERE job_no = ?1 RETURNING token";
inline constexpr std::string_view kRenewRemoval =
    "UPDATE removals SET due_at = ?3 WHERE job_no = ?1 AND token = ?2 RETURNING after_item, after_row";
inline constexpr std::string_view kAdvanceRemoval =
    "UPDATE removals SET after_item = ?2, after_row = ?3 WHERE job_no = ?1";
inline constexpr std::string_view kRemoveOutputs = "DELETE FROM outputs WHERE job_no = ?1 AND item > ?2 AND item <= ?3";
inline constexpr std::string_view kRemoveItems = "DELETE FROM items WHERE job_no = ?1 AND item > ?2 AND item <= ?3";
inline constexpr std::string_view kRemoveRows = "DELETE FROM rows WHERE job_no = ?1 AND row_no > ?2 AND row_no <= ?3";
inline constexpr std::string_view kRemoveGone =
    "DELETE FROM gone_urls WHERE job_no = ?1 AND item IN (SELECT item FROM gone_urls WHERE job_no = ?1 ORDER BY item "
    "LIMIT ?2)";
inline constexpr std::string_view kForgetReview = "DELETE FROM reviews WHERE job_no = ?1";
inline constexpr std::string_view kRemoveRecipes = "DELETE FROM job_recipes WHERE job_no = ?1";
inline constexpr std::string_view kRemoveRowNames = "DELETE FROM job_row_names WHERE job_no = ?1";
inline constexpr std::string_view kRemoveFailures = "DELETE FROM failure_counts WHERE job_no = ?1";
inline constexpr std::string_view kRemoveAttempts =
    "DELETE FROM delivery_attempts WHERE event_id IN (SELECT event_id FROM events WHERE job_no = ?1)";
inline constexpr std::string_view kRemoveDeliveries =
    "DELETE FROM deliveries WHERE event_id IN (SELECT event_id FROM events WHERE job_no = ?1)";
inline constexpr std::string_view kRemoveEvents = "DELETE FROM events WHERE job_no = ?1";
// What its watermarks may be named by besides has to be looked at.
inline constexpr std::string_view kIdleMarksOfJob =
    "INSERT INTO idle_marks (digest, since) SELECT digest, ?2 FROM mark_uses WHERE job_no = ?1 "
    "ON CONFLICT (digest) DO UPDATE SET since = excluded.since";
// Nothing while its bytes are being removed.
inline constexpr std::string_view kNoteMark =
    "INSERT INTO idle_marks (digest, since) VALUES (?1, ?2) ON CONFLICT (digest) DO UPDATE SET since = excluded.since "
    "WHERE idle_marks.removing_until <= ?2 OR idle_marks.removing_until > ?3";
inline constexpr std::string_view kStrandedMarks =
    "UPDATE idle_marks INDEXED BY idle_marks_since SET since = ?1 WHERE since > ?1";
inline constexpr std::string_view kIdleMarks =
    "SELECT digest FROM idle_marks INDEXED BY idle_marks_since WHERE since <= ?1 AND (removing_until <= ?2 OR "
    "removing_until > ?3) ORDER BY since LIMIT ?4";
inline constexpr std::string_view kMarkInUse =
    "SELECT EXISTS (SELECT 1 FROM mark_uses WHERE digest = ?1) OR EXISTS (SELECT 1 FROM recipes WHERE instr(recipe, "
    "?1) > 0)";
inline constexpr std::string_view kLeaseMark = "UPDATE idle_marks SET removing_until = ?2 WHERE digest = ?1";
inline constexpr std::string_view kForgetMark = "DELETE FROM idle_marks WHERE digest = ?1";
inline constexpr std::string_view kRemoveMarkUses = "DELETE FROM mark_uses WHERE job_no = ?1";
inline constexpr std::string_view kForgetRemoval = "DELETE FROM removals WHERE job_no = ?1";
inline constexpr std::string_view kRemoveJob = "DELETE FROM jobs WHERE job_no = ?1";

// --- Reading ---
inline constexpr std::string_view kJobsBefore =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE job_no < ?1 AND state <> 'deleting' ORDER BY job_no DESC LIMIT ?2";
inline constexpr std::string_view kJobsInStateBefore =
    "SELECT " PIXMILL_JOB_COLUMNS
    " FROM jobs INDEXED BY jobs_by_state WHERE state = ?3 AND job_no < ?1 ORDER BY job_no DESC LIMIT ?2";
inline constexpr std::string_view kCountJobs =
    "SELECT (SELECT COUNT(*) FROM jobs) - (SELECT COUNT(*) FROM jobs INDEXED BY jobs_by_state WHERE state = "
    "'deleting')";
inline constexpr std::string_view kCountJobsInState =
    "SELECT COUNT(*) FROM jobs INDEXED BY jobs_by_state WHERE state = ?1";
inline constexpr std::string_view kUnfinishedIngests =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE job_no IN (SELECT job_no FROM ingests) ORDER BY job_no";
inline constexpr std::string_view kItemRange =
    "SELECT " PIXMILL_ITEM_COLUMNS " FROM items WHERE job_no = ?1 AND item BETWEEN ?2 AND ?3 ORDER BY item";
inline constexpr std::string_view kOutputRange = "SELECT " PIXMILL_OUTPUT_COLUMNS
                                                 " FROM outputs "
                                                 "WHERE job_no = ?1 AND item BETWEEN ?2 AND ?3 ORDER BY item, position";
inline constexpr std::string_view kItemsInState =
    "SELECT item FROM items INDEXED BY items_by_state WHERE job_no = ?1 AND state = ?5 AND item > ?2 "
    "ORDER BY item LIMIT ?3 OFFSET ?4";
inline constexpr std::string_view kItemsInStateWithError =
    "SELECT item FROM items INDEXED BY items_by_error WHERE job_no = ?1 AND error_code = ?6 AND error_code <> '' AND "
    "state = ?5 AND item > ?2 ORDER BY item LIMIT ?3 OFFSET ?4";
inline constexpr std::string_view kCountInStateWithError =
    "SELECT COUNT(*) FROM items INDEXED BY items_by_error WHERE job_no = ?1 AND error_code = ?2 AND error_code <> '' "
    "AND state = ?3";
inline constexpr std::string_view kRowsAfter =
    "SELECT row_no, cells, problem, first_item, item_count FROM rows WHERE job_no = ?1 AND row_no > ?2 "
    "ORDER BY row_no LIMIT ?3";
inline constexpr std::string_view kFailureGroups =
    "SELECT error_code, count, example FROM failure_counts WHERE job_no = ?1 ORDER BY count DESC, error_code";
inline constexpr std::string_view kFailureCount =
    "SELECT count FROM failure_counts WHERE job_no = ?1 AND error_code = ?2";
inline constexpr std::string_view kOutputWithKey =
    "SELECT 1 FROM outputs INDEXED BY outputs_by_key WHERE key_hash = ?1 AND key = ?2 LIMIT 1";
inline constexpr std::string_view kDepth =
    "SELECT COALESCE(SUM(remaining - leased), 0), COALESCE(SUM(leased), 0) FROM jobs INDEXED BY jobs_by_state "
    "WHERE state IN " PIXMILL_ACTIVE_STATES;
inline constexpr std::string_view kPing = "SELECT job_no FROM jobs LIMIT 1";

// --- Outbox and settings ---
inline constexpr std::string_view kDueDeliveries =
    "SELECT d.event_id, d.url, d.attempts, d.token, e.type, e.body, j.id FROM "
    "(SELECT event_id, event_no, due_at FROM deliveries INDEXED BY deliveries_due "
    "WHERE state IN ('pending', 'leased') AND due_at <= ?1 AND origin NOT IN (SELECT value FROM json_each(?3)) ORDER "
    "BY due_at, event_no LIMIT ?2) AS due "
    "CROSS JOIN deliveries AS d ON d.event_id = due.event_id CROSS JOIN events AS e ON e.event_id = d.event_id "
    "CROSS JOIN jobs AS j ON j.job_no = e.job_no ORDER BY due.due_at, due.event_no";
inline constexpr std::string_view kStrandedDeliveries =
    "UPDATE deliveries INDEXED BY deliveries_due SET due_at = 0 WHERE state IN ('pending', 'leased') AND due_at > ?1";
inline constexpr std::string_view kNextDelivery =
    "SELECT due_at FROM deliveries INDEXED BY deliveries_due WHERE state IN ('pending', 'leased') AND "
    "origin NOT IN (SELECT value FROM json_each(?1)) ORDER BY due_at LIMIT 1";
inline constexpr std::string_view kOpenDeliveries =
    "SELECT COUNT(*) FROM deliveries INDEXED BY deliveries_due WHERE state IN ('pending', 'leased')";
inline constexpr std::string_view kLeaseDelivery =
    "UPDATE deliveries SET state = 'leased', due_at = ?2, attempts = ?3, token = ?4 WHERE event_id = ?1";
inline constexpr std::string_view kRecordDelivery =
    "UPDATE deliveries SET state = ?3, due_at = ?4 WHERE event_id = ?1 AND state = 'leased' AND token = ?2";
inline constexpr std::string_view kInsertAttempt =
    "INSERT INTO delivery_attempts (event_id, attempt, at, http_status, error, answer, elapsed_ms) "
    "SELECT event_id, attempts, ?2, ?3, ?4, ?5, ?6 FROM deliveries WHERE event_id = ?1";
inline constexpr std::string_view kResend =
    "UPDATE deliveries SET state = 'pending', due_at = ?2, token = token + 1 WHERE event_id = ?1";
inline constexpr std::string_view kDeliveriesOfJob =
    "SELECT d.event_id, e.type, d.url, d.state, d.due_at FROM jobs AS j CROSS JOIN events AS e ON e.job_no = j.job_no "
    "CROSS JOIN deliveries AS d ON d.event_id = e.event_id WHERE j.id = ?1 AND j.state <> 'deleting' ORDER BY "
    "e.event_no";
inline constexpr std::string_view kAttemptsOfDelivery =
    "SELECT attempt, at, http_status, error, elapsed_ms FROM delivery_attempts WHERE event_id = ?1 ORDER BY attempt";
inline constexpr std::string_view kSetting = "SELECT value FROM settings WHERE name = ?1";
inline constexpr std::string_view kSetSetting =
    "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

}  // namespace pixmill::jobs::sqlite

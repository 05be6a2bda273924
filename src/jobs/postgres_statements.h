// Every statement of the PostgreSQL store. postgres_plans_test.cc checks the plan of those that meet large tables: none
// may walk one. Batches travel as arrays, one element per row, in the order of unnest's aliases.
//
// Where single items are looked up by number the state is compared as `(state || '') = …`: no partial index answers
// that, so that a planner that believes such an index to be nearly empty does not walk it. Single jobs and recipes are
// looked up in subqueries with a LIMIT, which are not joined the other way round.
//
// Locks are taken in one order, so that processes wait for each other and never in a circle: `ingests`, a note of
// `reopenings` or `leaders_due`, items by (job_no, item), `failure_counts` by (job_no, error_code), jobs by job_no.
// Whoever holds a job and wants its items takes only those that nobody holds (SKIP LOCKED).
#pragma once

#include <string_view>

#include "jobs/stored_rows.h"

namespace pixmill::jobs::postgres {

// --- A job by itself ---
inline constexpr std::string_view kJobNumber = "SELECT job_no FROM jobs WHERE id = $1 AND state <> 'deleting'";
inline constexpr std::string_view kJobById =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE id = $1 AND state <> 'deleting'";
inline constexpr std::string_view kJobByIdLocked =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE id = $1 AND state <> 'deleting' FOR UPDATE";
inline constexpr std::string_view kJobByNumber = "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE job_no = $1";
inline constexpr std::string_view kJobByNumberLocked =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE job_no = $1 FOR UPDATE";
inline constexpr std::string_view kJobByDigest =
    "SELECT " PIXMILL_JOB_COLUMNS
    " FROM jobs WHERE source_digest = $1 AND source_digest <> '' AND state <> 'deleting' "
    "ORDER BY job_no DESC LIMIT 1";

// --- Ingest ---
inline constexpr std::string_view kInsertJob =
    "INSERT INTO jobs (id, state, origin, priority, name, recipe, webhook_url, headers, name_template, blob_prefix, "
    "source_path, source_digest, url_column, invalid_rows, created_at, recipe_name, overrides, ingest_by, since, "
    "since_folder, since_files, results_at, keep_ms) "
    "VALUES ($1, 'ingesting', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, "
    "$21, $22) "
    "ON CONFLICT (id) DO NOTHING RETURNING job_no";
inline constexpr std::string_view kInsertIngest =
    "INSERT INTO ingests (job_no, token, leased_until, leased_by) VALUES ($1, 1, $2, $3)";
inline constexpr std::string_view kIsBeingRead = "SELECT 1 FROM ingests WHERE job_no = $1";
inline constexpr std::string_view kLockIngest = "SELECT token FROM ingests WHERE job_no = $1 FOR UPDATE";
// Whose lease is over; one that ends after $2 is left from before the clock was put back. $3 has its own tables.
inline constexpr std::string_view kIdleIngests =
    "SELECT g.job_no FROM ingests AS g JOIN jobs AS j ON j.job_no = g.job_no WHERE (g.leased_until <= $1 OR "
    "g.leased_until > $2) AND (j.source_path LIKE 'shared:%' OR j.ingest_by = $3) ORDER BY g.leased_until, g.job_no "
    "LIMIT $4 FOR UPDATE OF g SKIP LOCKED";
inline constexpr std::string_view kLeaseIngest =
    "UPDATE ingests SET token = token + 1, leased_until = $2, leased_by = $3 WHERE job_no = $1 RETURNING token";
// Those that are held.
inline constexpr std::string_view kRenewIngests =
    "UPDATE ingests AS g SET leased_until = $3 FROM unnest($1::text[], $2::bigint[]) AS p(id, token) CROSS JOIN "
    "LATERAL "
    "(SELECT job_no FROM jobs WHERE jobs.id = p.id LIMIT 1) AS j WHERE g.job_no = j.job_no AND g.token = p.token "
    "RETURNING p.id, g.token";
inline constexpr std::string_view kReleaseIngestsOfServer = "UPDATE ingests SET leased_until = 0 WHERE leased_by = $1";
inline constexpr std::string_view kForgetIngest = "DELETE FROM ingests WHERE job_no = $1";
inline constexpr std::string_view kInsertMarkUses =
    "INSERT INTO mark_uses (digest, job_no) SELECT d, $1::bigint FROM unnest($2::text[]) AS d ON CONFLICT DO NOTHING";
inline constexpr std::string_view kInsertRowNames =
    "INSERT INTO job_row_names (job_no, written, recipe, name) "
    "SELECT $1, n.* FROM unnest($2::text[], $3::text[], $4::text[]) AS n";
inline constexpr std::string_view kRowNames =
    "SELECT written, recipe, name FROM job_row_names WHERE job_no = $1 ORDER BY written";
inline constexpr std::string_view kInsertRecipes =
    "INSERT INTO job_recipes (job_no, recipe_no, recipe, name) "
    "SELECT $1, r.* FROM unnest($2::bigint[], $3::text[], $4::text[]) AS r";
inline constexpr std::string_view kRecipesOfJob =
    "SELECT recipe_no, recipe, name FROM job_recipes WHERE job_no = $1 ORDER BY recipe_no";
inline constexpr std::string_view kInsertRows =
    "INSERT INTO rows (job_no, row_no, cells, problem, first_item, item_count) "
    "SELECT $1, r.* FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) AS r";
inline constexpr std::string_view kInsertItems =
    "INSERT INTO items (job_no, item, row_no, position, url, stem, same_as, not_before, recipe_no, since_item) "
    "SELECT $1, i.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], "
    "$8::bigint[], $9::bigint[], $10::bigint[]) AS i";
// The first items with addresses that come again. Locked, so that none ends before those that wait for it can be seen.
inline constexpr std::string_view kLeaders =
    "SELECT item, url, state, recipe_no FROM items WHERE job_no = $1 AND item = ANY($2::bigint[]) ORDER BY item FOR "
    "SHARE";
inline constexpr std::string_view kNamesAfter =
    "SELECT item, url, stem, same_as, recipe_no, since_item FROM items WHERE job_no = $1 AND item > $2 ORDER BY item "
    "LIMIT $3";

// --- The job that another is compared with ---
inline constexpr std::string_view kEarlierAfter =
    "SELECT item, url, recipe_no, (source_sha256 IS NOT NULL AND state IN ('succeeded', 'unchanged'))::int::bigint, "
    "row_no, position FROM items WHERE job_no = $1 AND item > $2 ORDER BY item LIMIT $3";
inline constexpr std::string_view kEarlierUrls =
    "SELECT item, url FROM items WHERE job_no = $1 AND item = ANY($2::bigint[])";
// What the earlier jobs $1 have in their items $2, in this order.
inline constexpr std::string_view kEarlierItems =
    "SELECT p.at, e.url, e.state, e.bytes_in, e.validator, e.version_url, e.source_sha256, e.made_with, "
    "coalesce((SELECT r.recipe FROM job_recipes AS r WHERE r.job_no = p.job_no AND r.recipe_no = e.recipe_no LIMIT 1), "
    "(SELECT j.recipe FROM jobs AS j WHERE j.job_no = p.job_no LIMIT 1)) "
    "FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS p(job_no, item, at) CROSS JOIN LATERAL "
    "(SELECT * FROM items AS i WHERE i.job_no = p.job_no AND i.item = p.item LIMIT 1) AS e ORDER BY p.at";
// Of jobs $1: those that they are compared with, and their own recipes.
inline constexpr std::string_view kEarlierJobs =
    "SELECT j.job_no, e.job_no, j.recipe FROM jobs AS j CROSS JOIN LATERAL (SELECT job_no FROM jobs AS f "
    "WHERE f.id = j.since LIMIT 1) AS e WHERE j.job_no = ANY($1::bigint[]) AND j.since <> ''";
inline constexpr std::string_view kLastGone =
    "SELECT coalesce((SELECT item FROM gone_urls WHERE job_no = $1 ORDER BY item DESC LIMIT 1), 0)::bigint";
inline constexpr std::string_view kInsertGone =
    "INSERT INTO gone_urls (job_no, item, row_no, position, url) "
    "SELECT $1, g.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) AS g";
inline constexpr std::string_view kCountGone = "UPDATE jobs SET gone = gone + $2 WHERE job_no = $1";
inline constexpr std::string_view kGoneAfter =
    "SELECT item, row_no, position, url FROM gone_urls WHERE job_no = $1 AND item > $2 ORDER BY item LIMIT $3";

// Nothing when the job was cancelled meanwhile, or somebody else appended.
inline constexpr std::string_view kCountRows =
    "UPDATE jobs SET row_count = $2, invalid = invalid + $3, total = total + $4, remaining = remaining + $4, "
    "row_recipes = $5, column_names = CASE WHEN $6 = '' THEN column_names ELSE $6 END "
    "WHERE job_no = $1 AND state IN ('ingesting', 'paused') AND row_count = $7";
inline constexpr std::string_view kSetState = "UPDATE jobs SET state = $2 WHERE job_no = $1";
inline constexpr std::string_view kNoteRejection =
    "UPDATE jobs SET state = 'cancelling', error_code = $2, error_message = $3 WHERE job_no = $1";

// --- Recipes that users gave names to ---
inline constexpr std::string_view kLockRecipes = "LOCK TABLE recipes IN SHARE ROW EXCLUSIVE MODE";
inline constexpr std::string_view kLatestRecipe =
    "SELECT name, version, recipe, created_at, removed FROM recipes WHERE name = $1 ORDER BY version DESC LIMIT 1";
inline constexpr std::string_view kMeasureRecipes =
    "SELECT count(*), coalesce(sum(octet_length(recipe)), 0)::bigint FROM recipes";
inline constexpr std::string_view kInsertSavedRecipe =
    "INSERT INTO recipes (name, version, recipe, created_at) VALUES ($1, $2, $3, $4)";
inline constexpr std::string_view kRemoveRecipe = "UPDATE recipes SET removed = 1 WHERE name = $1 AND removed = 0";
inline constexpr std::string_view kSavedRecipes =
    "SELECT name, version, recipe, created_at, removed FROM recipes ORDER BY name COLLATE \"C\", version";

// --- Claims ---
// Jobs that may have something, in the order of service: whether they have, and when their next retry falls due. $2 is
// now; a retry beyond $3 is further away than any policy sets: left from before the clock was put back.
inline constexpr std::string_view kRunnableJobs =
    "SELECT j.job_no, j.priority, coalesce("
    "(SELECT i.item FROM items AS i WHERE i.job_no = j.job_no AND i.state = 'pending' AND i.not_before BETWEEN 0 AND "
    "$2 "
    "ORDER BY i.not_before, i.item LIMIT 1), "
    "(SELECT i.item FROM items AS i WHERE i.job_no = j.job_no AND i.state = 'pending' AND i.not_before > $3 "
    "ORDER BY i.not_before, i.item LIMIT 1)), "
    "(SELECT i.not_before FROM items AS i WHERE i.job_no = j.job_no AND i.state = 'pending' AND i.not_before > 0 "
    "ORDER BY i.not_before, i.item LIMIT 1) "
    "FROM jobs AS j WHERE j.state IN ('ingesting', 'running') AND j.remaining > j.leased AND ($1 = '' OR j.id = $1) "
    "ORDER BY j.priority DESC, j.turn, j.job_no";
// Retries that are due come first: others of their job can wait, they have waited already. An item that another process
// is about to take is passed over.
inline constexpr std::string_view kReadyItems =
    "SELECT item FROM (SELECT item FROM items WHERE job_no = $1 AND state = 'pending' AND not_before BETWEEN 1 AND $2 "
    "ORDER BY not_before, item LIMIT $4 FOR UPDATE SKIP LOCKED) AS due UNION ALL "
    "SELECT item FROM (SELECT item FROM items WHERE job_no = $1 AND state = 'pending' AND not_before = 0 "
    "ORDER BY item LIMIT $4 FOR UPDATE SKIP LOCKED) AS fresh UNION ALL "
    "SELECT item FROM (SELECT item FROM items WHERE job_no = $1 AND state = 'pending' AND not_before > $3 "
    "ORDER BY not_before, item LIMIT $4 FOR UPDATE SKIP LOCKED) AS stranded LIMIT $4";
// Columns 0 to 8 are the item's, 9 its job's id, 10 its recipe, 11 to 15 those of the item it waited for, 16 the
// earlier job's item.
inline constexpr std::string_view kLeaseItems =
    "WITH leased AS (UPDATE items AS i SET state = 'leased', token = i.token + 1, leased_until = $3, leased_by = $4, "
    "leased_on = $5, not_before = NULL "
    "FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS p(job_no, item, at) "
    "WHERE i.job_no = p.job_no AND i.item = p.item AND (i.state || '') = 'pending' "
    "RETURNING i.job_no, i.item, i.token, i.row_no, i.position, i.url, i.stem, i.attempts, i.engine_crashes, "
    "i.same_as, i.recipe_no, i.since_item, p.at) "
    "SELECT l.job_no, l.item, l.token, l.row_no, l.position, l.url, l.stem, l.attempts, l.engine_crashes, "
    "(SELECT j.id FROM jobs AS j WHERE j.job_no = l.job_no LIMIT 1), "
    "(SELECT r.recipe FROM job_recipes AS r WHERE r.job_no = l.job_no AND r.recipe_no = l.recipe_no LIMIT 1), "
    "o.item, o.state, o.bytes_in, o.error_code, o.error_message, l.since_item FROM leased AS l LEFT JOIN LATERAL "
    "(SELECT * FROM items AS f WHERE f.job_no = l.job_no AND f.item = l.same_as LIMIT 1) AS o ON true ORDER BY l.at";
// Jobs that gave items out; those that were cancelled meanwhile are missing from the answer.
inline constexpr std::string_view kServeJobs =
    "WITH locked AS MATERIALIZED (SELECT job_no FROM jobs WHERE job_no = ANY($1::bigint[]) ORDER BY job_no FOR NO KEY "
    "UPDATE) UPDATE jobs SET leased = jobs.leased + p.items, turn = nextval('turns'), "
    "started_at = coalesce(jobs.started_at, $3) FROM locked AS l "
    "JOIN unnest($1::bigint[], $2::bigint[]) AS p(job_no, items) ON p.job_no = l.job_no "
    "WHERE jobs.job_no = l.job_no AND jobs.state IN ('ingesting', 'running')";
inline constexpr std::string_view kRenew =
    "UPDATE items AS i SET leased_until = $4 "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS p(job_no, item, token) "
    "WHERE i.job_no = p.job_no AND i.item = p.item AND (i.state || '') = 'leased' AND i.token = p.token "
    "RETURNING i.job_no, i.item, i.token";
inline constexpr std::string_view kCancellingAmong =
    "SELECT job_no FROM jobs WHERE job_no = ANY($1::bigint[]) AND state = 'cancelling'";
// Back to pending at $4, or cancelled with the job at $5.
inline constexpr std::string_view kGiveBack =
    "UPDATE items AS i SET state = CASE j.state WHEN 'cancelling' THEN 'cancelled' ELSE 'pending' END, "
    "not_before = CASE j.state WHEN 'cancelling' THEN NULL ELSE $4::bigint END, "
    "finished_at = CASE j.state WHEN 'cancelling' THEN $5::bigint END, leased_until = NULL, leased_by = NULL, "
    "leased_on = NULL "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS p(job_no, item, token) "
    "CROSS JOIN LATERAL (SELECT state FROM jobs WHERE jobs.job_no = p.job_no LIMIT 1) AS j "
    "WHERE i.job_no = p.job_no AND i.item = p.item AND (i.state || '') = 'leased' AND i.token = p.token "
    "RETURNING i.job_no, i.state";
inline constexpr std::string_view kExpiredLeases =
    "SELECT job_no, item, token FROM items WHERE state = 'leased' AND leased_until <= $1 "
    "ORDER BY leased_until LIMIT $2 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kStrandedLeases =
    "SELECT job_no, item, token FROM items WHERE state = 'leased' AND leased_until > $1 "
    "ORDER BY leased_until LIMIT $2 FOR UPDATE SKIP LOCKED";
// Of the process that held this server's data folder before. Few are leased at a time, in the whole fleet.
inline constexpr std::string_view kLeasesOfServer =
    "SELECT i.job_no, i.item, i.token, i.row_no, i.position, i.url, i.stem, i.attempts, i.engine_crashes, j.id, "
    "i.same_as FROM items AS i JOIN jobs AS j ON j.job_no = i.job_no "
    "WHERE i.state = 'leased' AND i.leased_until > 0 AND i.leased_on = $1 ORDER BY i.leased_until FOR UPDATE OF i SKIP "
    "LOCKED";

// --- Outcomes ---
// A success has bytes ($8) and no error, a failure is tried again (pending, $5), over (failed) or, when its job is
// being cancelled, not tried again.
inline constexpr std::string_view kRecord =
    "UPDATE items AS i SET "
    "state = CASE WHEN p.state = 'pending' AND j.state = 'cancelling' THEN 'cancelled' ELSE p.state END, "
    "not_before = CASE WHEN j.state = 'cancelling' THEN NULL ELSE p.not_before END, "
    "finished_at = CASE WHEN p.state = 'pending' AND j.state <> 'cancelling' THEN NULL ELSE $13::bigint END, "
    "leased_until = NULL, leased_by = NULL, leased_on = NULL, attempts = i.attempts + 1, "
    "engine_crashes = i.engine_crashes + p.crashes, error_code = p.error_code, error_message = p.error_message, "
    "bytes_in = coalesce(p.bytes_in, i.bytes_in), fetch_ms = p.fetch_ms, transform_ms = p.transform_ms, "
    "store_ms = p.store_ms, validator = nullif(p.validator, ''), version_url = nullif(p.version_url, ''), "
    "source_sha256 = decode(nullif(p.source_sha256, ''), 'hex'), made_with = nullif(p.made_with, '') "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], "
    "$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $14::text[], $15::text[], $16::text[], "
    "$17::text[]) AS p(job_no, item, token, state, not_before, error_code, error_message, bytes_in, crashes, fetch_ms, "
    "transform_ms, store_ms, validator, version_url, source_sha256, made_with) "
    "CROSS JOIN LATERAL (SELECT state FROM jobs WHERE jobs.job_no = p.job_no LIMIT 1) AS j "
    "WHERE i.job_no = p.job_no AND i.item = p.item AND (i.state || '') = 'leased' AND i.token = p.token "
    "RETURNING i.job_no, i.item, i.token, i.state, i.since_item";
inline constexpr std::string_view kInsertOutputs =
    "INSERT INTO outputs (job_no, item, position, rendition, key, key_hash, bytes, width_px, height_px, format, "
    "quality, "
    "sha256, note) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], "
    "$6::bigint[], "
    "$7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[])";
inline constexpr std::string_view kCountFailures =
    "INSERT INTO failure_counts AS f (job_no, error_code, count, example) "
    "SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) "
    "ON CONFLICT (job_no, error_code) DO UPDATE SET count = f.count + excluded.count";
// Of each finished item wakes at most $3 of those that wait for it, and notes the ones for which more may wait.
inline constexpr std::string_view kWakeFollowers =
    "WITH woken AS (UPDATE items AS i SET not_before = 0 "
    "FROM unnest($1::bigint[], $2::bigint[]) AS p(job_no, item) CROSS JOIN LATERAL "
    "(SELECT f.item FROM items AS f WHERE f.job_no = p.job_no AND f.same_as = p.item AND f.state = 'pending' AND "
    "f.not_before IS NULL ORDER BY f.item LIMIT $3) AS w "
    "WHERE i.job_no = p.job_no AND i.item = w.item AND (i.state || '') = 'pending' AND i.not_before IS NULL "
    "RETURNING i.job_no, i.same_as) "
    "INSERT INTO leaders_due (job_no, item) SELECT job_no, same_as FROM woken GROUP BY job_no, same_as "
    "HAVING count(*) >= $3 ON CONFLICT DO NOTHING";
inline constexpr std::string_view kLeaderDue =
    "SELECT job_no, item FROM leaders_due ORDER BY job_no, item LIMIT 1 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kWakeMore =
    "UPDATE items AS i SET not_before = 0 FROM (SELECT f.item FROM items AS f WHERE f.job_no = $1 AND f.same_as = $2 "
    "AND "
    "f.state = 'pending' AND f.not_before IS NULL ORDER BY f.item LIMIT $3) AS w "
    "WHERE i.job_no = $1 AND i.item = w.item AND (i.state || '') = 'pending' AND i.not_before IS NULL";
inline constexpr std::string_view kForgetLeader = "DELETE FROM leaders_due WHERE job_no = $1 AND item = $2";
// The last lock of a transaction.
inline constexpr std::string_view kCountChanges =
    "WITH locked AS MATERIALIZED (SELECT job_no FROM jobs WHERE job_no = ANY($1::bigint[]) ORDER BY job_no FOR NO KEY "
    "UPDATE) UPDATE jobs SET leased = jobs.leased + p.leased, remaining = jobs.remaining + p.remaining, "
    "succeeded = jobs.succeeded + p.succeeded, failed = jobs.failed + p.failed, "
    "cancelled = jobs.cancelled + p.cancelled, bytes_in = jobs.bytes_in + p.bytes_in, "
    "bytes_out = jobs.bytes_out + p.bytes_out, unchanged = jobs.unchanged + p.unchanged, "
    "changed = jobs.changed + p.changed FROM locked AS l JOIN unnest($1::bigint[], $2::bigint[], $3::bigint[], "
    "$4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) AS p(job_no, "
    "leased, remaining, succeeded, failed, cancelled, bytes_in, bytes_out, unchanged, changed) ON p.job_no = l.job_no "
    "WHERE jobs.job_no = l.job_no "
    "RETURNING jobs.job_no, jobs.remaining";

// --- The end of a job ---
inline constexpr std::string_view kEndJob = "UPDATE jobs SET state = $2, finished_at = $3 WHERE job_no = $1";
inline constexpr std::string_view kInsertEvent =
    "INSERT INTO events (event_id, job_no, generation, terminal, type, body, created_at) "
    "VALUES ($1, $2, $3, 1, $4, $5, $6) RETURNING event_no";
inline constexpr std::string_view kInsertDelivery =
    "INSERT INTO deliveries (event_id, event_no, url, origin, state, due_at) VALUES ($1, $2, $3, $4, 'pending', $5)";
// Heard by every process when the transaction has committed.
inline constexpr std::string_view kNotifyEvent = "SELECT pg_notify('pixmill_events', '')";

// --- Control ---
inline constexpr std::string_view kCancelPending =
    "UPDATE items AS i SET state = 'cancelled', not_before = NULL, finished_at = $2 FROM (SELECT item FROM items WHERE "
    "job_no = $1 AND state = 'pending' ORDER BY not_before, item LIMIT $3 FOR UPDATE SKIP LOCKED) AS p "
    "WHERE i.job_no = $1 AND i.item = p.item";
inline constexpr std::string_view kCancellingJob =
    "SELECT job_no FROM jobs WHERE state = 'cancelling' AND job_no > $1 ORDER BY job_no LIMIT 1 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kReplaceHeaders = "UPDATE jobs SET headers = $2 WHERE job_no = $1";
inline constexpr std::string_view kReopenJob =
    "UPDATE jobs SET generation = generation + 1, state = 'running', finished_at = NULL WHERE job_no = $1";
inline constexpr std::string_view kNoteReopening =
    "INSERT INTO reopenings (job_no, error_code, after_item) VALUES ($1, $2, 0)";
inline constexpr std::string_view kIsReopening = "SELECT 1 FROM reopenings WHERE job_no = $1";
inline constexpr std::string_view kReopening =
    "SELECT error_code, after_item FROM reopenings WHERE job_no = $1 FOR UPDATE";
inline constexpr std::string_view kReopeningDue = "SELECT job_no FROM reopenings LIMIT 1 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kAdvanceReopening = "UPDATE reopenings SET after_item = $2 WHERE job_no = $1";
inline constexpr std::string_view kForgetReopening = "DELETE FROM reopenings WHERE job_no = $1";
inline constexpr std::string_view kFailedAfter =
    "SELECT item, error_code, same_as FROM items WHERE job_no = $1 AND state = 'failed' AND item > $2 "
    "ORDER BY item LIMIT $3";
inline constexpr std::string_view kFailedByCodeAfter =
    "SELECT item, error_code, same_as FROM items WHERE job_no = $1 AND error_code = $4 AND error_code <> '' AND "
    "state = 'failed' AND item > $2 ORDER BY item LIMIT $3";
inline constexpr std::string_view kReopenItems =
    "UPDATE items AS i SET state = 'pending', generation = $5, same_as = p.same_as, not_before = p.not_before, "
    "attempts = 0, engine_crashes = 0, error_code = '', error_message = '', fetch_ms = 0, transform_ms = 0, "
    "store_ms = 0, finished_at = NULL "
    "FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS p(item, same_as, not_before) "
    "WHERE i.job_no = $1 AND i.item = p.item";
inline constexpr std::string_view kUncountFailures =
    "UPDATE failure_counts AS f SET count = f.count - p.count "
    "FROM unnest($2::text[], $3::bigint[]) AS p(error_code, count) "
    "WHERE f.job_no = $1 AND f.error_code = p.error_code";
inline constexpr std::string_view kForgetNoFailures = "DELETE FROM failure_counts WHERE job_no = $1 AND count <= 0";

// --- Removal ---
#define PIXMILL_HAS_OPEN_DELIVERY(job)                                                                           \
  "EXISTS (SELECT 1 FROM events AS e JOIN LATERAL (SELECT 1 FROM deliveries AS d WHERE d.event_id = e.event_id " \
  "AND (d.state || '') IN ('pending', 'leased') LIMIT 1) AS o ON true WHERE e.job_no = " job ")"
inline constexpr std::string_view kNoteRemovals =
    "INSERT INTO removals (job_no, due_at) SELECT j, 0 FROM unnest($1::bigint[]) AS j ON CONFLICT (job_no) DO NOTHING";
inline constexpr std::string_view kSetDeleting = "UPDATE jobs SET state = 'deleting' WHERE job_no = ANY($1::bigint[])";
// By the server's word, ended at $1 or before it.
inline constexpr std::string_view kJobsOver =
    "SELECT j.job_no FROM jobs AS j WHERE j.keep_ms IS NULL AND j.state IN " PIXMILL_ENDED_STATES
    " AND j.finished_at <= $1 AND NOT " PIXMILL_HAS_OPEN_DELIVERY(
        "j.job_no") " ORDER BY j.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED";
// By their own.
inline constexpr std::string_view kJobsOverKept =
    "SELECT j.job_no FROM jobs AS j WHERE j.keep_ms >= 0 AND j.state IN " PIXMILL_ENDED_STATES
    " AND j.finished_at + j.keep_ms <= $1 AND NOT " PIXMILL_HAS_OPEN_DELIVERY(
        "j.job_no") " ORDER BY j.finished_at + j.keep_ms LIMIT $2 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kStrandedRemovals = "UPDATE removals SET due_at = 0 WHERE due_at > $1";
inline constexpr std::string_view kRemovalsDue =
    "SELECT job_no FROM removals WHERE due_at <= $1 ORDER BY due_at, job_no LIMIT $2 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kIsToldOf = "SELECT 1 WHERE " PIXMILL_HAS_OPEN_DELIVERY("$1");
inline constexpr std::string_view kPutRemovalOff = "UPDATE removals SET due_at = $2 WHERE job_no = $1";
inline constexpr std::string_view kLeaseRemoval =
    "UPDATE removals SET token = token + 1, due_at = $2 WHERE job_no = $1 RETURNING token";
inline constexpr std::string_view kRenewRemoval =
    "UPDATE removals SET due_at = $3 WHERE job_no = $1 AND token = $2 RETURNING after_item, after_row";
inline constexpr std::string_view kAdvanceRemoval =
    "UPDATE removals SET after_item = $2, after_row = $3 WHERE job_no = $1";
inline constexpr std::string_view kRemoveOutputs = "DELETE FROM outputs WHERE job_no = $1 AND item > $2 AND item <= $3";
inline constexpr std::string_view kRemoveItems = "DELETE FROM items WHERE job_no = $1 AND item > $2 AND item <= $3";
inline constexpr std::string_view kRemoveRows = "DELETE FROM rows WHERE job_no = $1 AND row_no > $2 AND row_no <= $3";
inline constexpr std::string_view kRemoveGone =
    "DELETE FROM gone_urls WHERE job_no = $1 AND item = ANY(ARRAY(SELECT item FROM gone_urls WHERE job_no = $1 ORDER "
    "BY "
    "item LIMIT $2))";
inline constexpr std::string_view kForgetReviews = "DELETE FROM reviews WHERE job_no = ANY($1::bigint[])";
inline constexpr std::string_view kRemoveRecipes = "DELETE FROM job_recipes WHERE job_no = $1";
inline constexpr std::string_view kRemoveRowNames = "DELETE FROM job_row_names WHERE job_no = $1";
inline constexpr std::string_view kRemoveFailures = "DELETE FROM failure_counts WHERE job_no = $1";
inline constexpr std::string_view kForgetLeaders = "DELETE FROM leaders_due WHERE job_no = $1";
inline constexpr std::string_view kRemoveAttempts =
    "DELETE FROM delivery_attempts WHERE event_id = ANY(ARRAY(SELECT event_id FROM events WHERE job_no = $1))";
inline constexpr std::string_view kRemoveDeliveries =
    "DELETE FROM deliveries WHERE event_id = ANY(ARRAY(SELECT event_id FROM events WHERE job_no = $1))";
inline constexpr std::string_view kRemoveEvents = "DELETE FROM events WHERE job_no = $1";
// What its watermarks may be named by besides has to be looked at.
inline constexpr std::string_view kIdleMarksOfJob =
    "INSERT INTO idle_marks AS m (digest, since) SELECT digest, $2::bigint FROM mark_uses WHERE job_no = $1 ORDER BY "
    "digest "
    "ON CONFLICT (digest) DO UPDATE SET since = excluded.since";
// Nothing while its bytes are being removed.
inline constexpr std::string_view kNoteMark =
    "INSERT INTO idle_marks AS m (digest, since) VALUES ($1, $2) ON CONFLICT (digest) DO UPDATE SET since = "
    "excluded.since WHERE m.removing_until <= $2 OR m.removing_until > $3";
inline constexpr std::string_view kStrandedMarks = "UPDATE idle_marks SET since = $1 WHERE since > $1";
inline constexpr std::string_view kIdleMarks =
    "SELECT digest FROM idle_marks WHERE since <= $1 AND (removing_until <= $2 OR removing_until > $3) ORDER BY since "
    "LIMIT $4 FOR UPDATE SKIP LOCKED";
inline constexpr std::string_view kMarkInUse =
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM mark_uses WHERE digest = $1) OR EXISTS (SELECT 1 FROM recipes WHERE "
    "strpos(recipe, $1) > 0)";
inline constexpr std::string_view kLeaseMark = "UPDATE idle_marks SET removing_until = $2 WHERE digest = $1";
inline constexpr std::string_view kForgetMark = "DELETE FROM idle_marks WHERE digest = $1";
inline constexpr std::string_view kRemoveMarkUses = "DELETE FROM mark_uses WHERE job_no = $1";
inline constexpr std::string_view kForgetRemoval = "DELETE FROM removals WHERE job_no = $1";
inline constexpr std::string_view kRemoveJob = "DELETE FROM jobs WHERE job_no = $1";

// --- Reading ---
inline constexpr std::string_view kJobsBefore =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE job_no < $1 AND state <> 'deleting' ORDER BY job_no DESC LIMIT $2";
inline constexpr std::string_view kJobsInStateBefore =
    "SELECT " PIXMILL_JOB_COLUMNS " FROM jobs WHERE state = $3 AND job_no < $1 ORDER BY job_no DESC LIMIT $2";
inline constexpr std::string_view kCountJobs =
    "SELECT (SELECT count(*) FROM jobs) - (SELECT count(*) FROM jobs WHERE state = 'deleting')";
inline constexpr std::string_view kCountJobsInState = "SELECT count(*) FROM jobs WHERE state = $1";
inline constexpr std::string_view kUnfinishedIngests =
    "SELECT " PIXMILL_JOB_COLUMNS
    " FROM jobs WHERE job_no = ANY(ARRAY(SELECT job_no FROM ingests)) AND ingest_by = $1 ORDER BY job_no";
inline constexpr std::string_view kItemRange =
    "SELECT " PIXMILL_ITEM_COLUMNS " FROM items WHERE job_no = $1 AND item BETWEEN $2 AND $3 ORDER BY item";
inline constexpr std::string_view kItemsAmong =
    "SELECT " PIXMILL_ITEM_COLUMNS " FROM items WHERE job_no = $1 AND item = ANY($2::bigint[]) ORDER BY item";
inline constexpr std::string_view kOutputRange = "SELECT " PIXMILL_OUTPUT_COLUMNS
                                                 " FROM outputs WHERE job_no = $1 AND item BETWEEN $2 AND $3 "
                                                 "ORDER BY item, position";
inline constexpr std::string_view kOutputsAmong =
    "SELECT " PIXMILL_OUTPUT_COLUMNS
    " FROM outputs WHERE job_no = $1 AND item = ANY($2::bigint[]) ORDER BY item, position";
inline constexpr std::string_view kRecipesAmong =
    "SELECT recipe_no, recipe, name FROM job_recipes WHERE job_no = $1 AND recipe_no = ANY($2::bigint[])";
inline constexpr std::string_view kItemsInState =
    "SELECT item FROM items WHERE job_no = $1 AND state = $5 AND item > $2 ORDER BY item LIMIT $3 OFFSET $4";
inline constexpr std::string_view kItemsInStateWithError =
    "SELECT item FROM items WHERE job_no = $1 AND error_code = $6 AND error_code <> '' AND state = $5 AND item > $2 "
    "ORDER BY item LIMIT $3 OFFSET $4";
inline constexpr std::string_view kCountInStateWithError =
    "SELECT count(*) FROM items WHERE job_no = $1 AND error_code = $2 AND error_code <> '' AND state = $3";
// Not more than a row beyond $4 bytes of cells: the whole answer is in memory at once.
inline constexpr std::string_view kRowsAfter =
    "SELECT row_no, cells, problem, first_item, item_count FROM (SELECT r.*, coalesce(sum(octet_length(r.cells)) OVER "
    "(ORDER BY r.row_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before FROM (SELECT row_no, "
    "cells, "
    "problem, first_item, item_count FROM rows WHERE job_no = $1 AND row_no > $2 ORDER BY row_no LIMIT $3) AS r) AS w "
    "WHERE bytes_before < $4 ORDER BY row_no";
inline constexpr std::string_view kFailureGroups =
    "SELECT error_code, count, example FROM failure_counts WHERE job_no = $1 ORDER BY count DESC, error_code COLLATE "
    "\"C\"";
inline constexpr std::string_view kFailureCount =
    "SELECT count FROM failure_counts WHERE job_no = $1 AND error_code = $2";
inline constexpr std::string_view kUnreferenced =
    "SELECT k.key FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS k(key, hash, at) LEFT JOIN LATERAL "
    "(SELECT 1 AS found FROM outputs AS o WHERE o.key_hash = k.hash AND o.key = k.key LIMIT 1) AS f ON true "
    "WHERE f.found IS NULL ORDER BY k.at";
inline constexpr std::string_view kDepth =
    "SELECT coalesce(sum(remaining - leased), 0)::bigint, coalesce(sum(leased), 0)::bigint FROM jobs "
    "WHERE state IN ('ingesting', 'running', 'paused', 'cancelling')";
inline constexpr std::string_view kPing = "SELECT job_no FROM jobs LIMIT 1";

// --- Outbox and settings ---
inline constexpr std::string_view kDueDeliveries =
    "SELECT d.event_id, d.url, d.attempts, d.token, e.type, e.body, j.id FROM deliveries AS d "
    "JOIN events AS e ON e.event_id = d.event_id JOIN jobs AS j ON j.job_no = e.job_no "
    "WHERE d.state IN ('pending', 'leased') AND d.due_at <= $1 AND d.origin <> ALL($3::text[]) "
    "ORDER BY d.due_at, d.event_no LIMIT $2 FOR UPDATE OF d SKIP LOCKED";
inline constexpr std::string_view kStrandedDeliveries =
    "UPDATE deliveries SET due_at = 0 WHERE state IN ('pending', 'leased') AND due_at > $1";
inline constexpr std::string_view kNextDelivery =
    "SELECT due_at FROM deliveries WHERE state IN ('pending', 'leased') AND origin <> ALL($1::text[]) "
    "ORDER BY due_at, event_no LIMIT 1";
inline constexpr std::string_view kOpenDeliveries =
    "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'leased') AND due_at >= 0";
inline constexpr std::string_view kLeaseDeliveries =
    "UPDATE deliveries SET state = 'leased', due_at = $2, attempts = attempts + 1, token = token + 1 "
    "WHERE event_id = ANY($1::text[])";
inline constexpr std::string_view kRecordDelivery =
    "UPDATE deliveries SET state = $3, due_at = $4 WHERE event_id = $1 AND (state || '') = 'leased' AND token = $2";
inline constexpr std::string_view kInsertAttempt =
    "INSERT INTO delivery_attempts (event_id, attempt, at, http_status, error, answer, elapsed_ms) "
    "SELECT event_id, attempts, $2, $3, $4, $5, $6 FROM deliveries WHERE event_id = $1";
inline constexpr std::string_view kResend =
    "UPDATE deliveries SET state = 'pending', due_at = $2, token = token + 1 WHERE event_id = $1";
inline constexpr std::string_view kDeliveriesOfJob =
    "SELECT d.event_id, e.type, d.url, d.state, d.due_at FROM jobs AS j JOIN events AS e ON e.job_no = j.job_no "
    "JOIN deliveries AS d ON d.event_id = e.event_id WHERE j.id = $1 AND j.state <> 'deleting' ORDER BY e.event_no";
inline constexpr std::string_view kAttemptsOfDelivery =
    "SELECT attempt, at, http_status, error, elapsed_ms FROM delivery_attempts WHERE event_id = $1 ORDER BY attempt";
inline constexpr std::string_view kSetting = "SELECT value FROM settings WHERE name = $1";
inline constexpr std::string_view kSetSetting =
    "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
inline constexpr std::string_view kSetSettingOnce =
    "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

}  // namespace pixmill::jobs::postgres

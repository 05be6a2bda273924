-- Jobs that are removed with everything that belongs to them, and tables that are read in under a lease.

-- For how long after its end a job is kept: NULL is as the server says, -1 for ever.
ALTER TABLE jobs ADD COLUMN keep_ms INTEGER;

-- What retention walks, the longest over first.
CREATE INDEX jobs_over ON jobs (finished_at)
  WHERE keep_ms IS NULL AND state IN ('completed', 'completed_with_errors', 'failed', 'cancelled', 'rejected');
CREATE INDEX jobs_over_kept ON jobs (finished_at + keep_ms)
  WHERE keep_ms >= 0 AND state IN ('completed', 'completed_with_errors', 'failed', 'cancelled', 'rejected');

-- Jobs whose tables are not all in. Whoever holds the lease reads, and only with its token can rows be appended.
CREATE TABLE ingests (
  job_no        INTEGER PRIMARY KEY,
  token         INTEGER NOT NULL,
  leased_until  INTEGER NOT NULL,
  leased_by     TEXT    NOT NULL      -- for people
) STRICT;
CREATE INDEX ingests_until ON ingests (leased_until, job_no);
INSERT INTO ingests SELECT job_no, 1, 0, '' FROM jobs WHERE state = 'ingesting';

-- Jobs that are to be removed: when they have ended and their events are delivered. The lease is that of the process that
-- removes their files and then, a slice at a time, their rows.
CREATE TABLE removals (
  job_no       INTEGER PRIMARY KEY,
  token        INTEGER NOT NULL DEFAULT 0,
  due_at       INTEGER NOT NULL,             -- when it may be taken up; while it is leased, when the lease ends
  after_item   INTEGER NOT NULL DEFAULT 0,   -- how far its items and rows are gone
  after_row    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX removals_due ON removals (due_at, job_no);

-- Which jobs name which uploaded watermarks, by their SHA-256 in hex.
CREATE TABLE mark_uses (
  digest  TEXT    NOT NULL,
  job_no  INTEGER NOT NULL,
  PRIMARY KEY (digest, job_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX mark_uses_of_job ON mark_uses (job_no);

-- Watermarks that perhaps nothing names any more, and from when on that counts.
CREATE TABLE idle_marks (
  digest          TEXT    NOT NULL PRIMARY KEY,
  since           INTEGER NOT NULL,
  removing_until  INTEGER NOT NULL DEFAULT 0   -- the lease of whoever removes the bytes
) STRICT, WITHOUT ROWID;
CREATE INDEX idle_marks_since ON idle_marks (since);

WITH RECURSIVE texts (job_no, rest) AS (
  SELECT job_no, recipe FROM jobs
  UNION ALL SELECT job_no, recipe FROM job_recipes
  UNION ALL SELECT job_no, recipe FROM job_row_names
), named (job_no, rest) AS (
  SELECT job_no, substr(rest, instr(rest, 'upload:') + 7) FROM texts WHERE instr(rest, 'upload:') > 0
  UNION ALL
  SELECT job_no, substr(rest, instr(rest, 'upload:') + 7) FROM named WHERE instr(rest, 'upload:') > 0
)
INSERT OR IGNORE INTO mark_uses (digest, job_no) SELECT substr(rest, 1, 64), job_no FROM named;

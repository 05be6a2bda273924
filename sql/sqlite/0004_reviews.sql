-- Jobs that ended, or in whose files somebody wrote afterwards whose lease had passed on, and that nobody has looked
-- through since: jobs/upkeep.h.
CREATE TABLE reviews (
  job_no          INTEGER PRIMARY KEY,
  since           INTEGER NOT NULL,             -- when it was noted last
  note            INTEGER NOT NULL,             -- rises with every note: what began before one does not settle it
  sweeping_until  INTEGER NOT NULL DEFAULT 0    -- files without a row are being removed: a retry waits
) STRICT;

CREATE INDEX reviews_due ON reviews (since, job_no);

INSERT INTO reviews (job_no, since, note) SELECT job_no, 0, 1 FROM jobs
  WHERE state IN ('completed', 'completed_with_errors', 'failed', 'cancelled', 'rejected');

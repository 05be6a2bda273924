-- Jobs that ended, or in whose files somebody wrote afterwards whose lease had passed on, and that nobody has looked
-- through since: jobs/upkeep.h.
CREATE TABLE reviews (
  job_no          bigint  PRIMARY KEY,
  since           bigint  NOT NULL,             -- when it was noted last
  note            bigint  NOT NULL,             -- rises with every note: what began before one does not settle it
  sweeping_until  bigint  NOT NULL DEFAULT 0    -- files without a row are being removed: a retry waits
);

CREATE INDEX reviews_due ON reviews (since, job_no);

INSERT INTO reviews (job_no, since, note) SELECT job_no, 0, 1 FROM jobs
  WHERE state IN ('completed', 'completed_with_errors', 'failed', 'cancelled', 'rejected');

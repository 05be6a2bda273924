-- A job may be compared with an earlier one: what that made is used again where the source has not changed.

ALTER TABLE jobs ADD COLUMN since        text NOT NULL DEFAULT '';  -- the earlier job's id; '' for none
ALTER TABLE jobs ADD COLUMN since_folder text NOT NULL DEFAULT '';  -- whose database has it; '' for this one
ALTER TABLE jobs ADD COLUMN since_files  text NOT NULL DEFAULT '';  -- where its results lie; '' for where this job's do
ALTER TABLE jobs ADD COLUMN results_at   text NOT NULL DEFAULT '';  -- where this job's lie; '' for with the database
ALTER TABLE jobs ADD COLUMN unchanged bigint NOT NULL DEFAULT 0;      -- of `succeeded`: made by the earlier job
ALTER TABLE jobs ADD COLUMN changed   bigint NOT NULL DEFAULT 0;      -- of `succeeded`: made anew from a URL that it had too
ALTER TABLE jobs ADD COLUMN gone      bigint NOT NULL DEFAULT 0;      -- how many there are in gone_urls

-- The item of the earlier job with the same URL and recipe, whose result may serve; 0 when that job only had the URL.
ALTER TABLE items ADD COLUMN since_item bigint;
-- What a success was made from. Those from before there was such a thing have none of it.
ALTER TABLE items ADD COLUMN validator     text;   -- an entity tag or a date
ALTER TABLE items ADD COLUMN version_url   text;   -- what the validator belongs to; NULL for `url`
ALTER TABLE items ADD COLUMN source_sha256 bytea;
ALTER TABLE items ADD COLUMN made_with     text;

-- URLs of the earlier job that the new one does not have, by that job's numbers.
CREATE TABLE gone_urls (
  job_no    bigint NOT NULL,
  item      bigint NOT NULL,
  row_no    bigint NOT NULL,
  position  bigint NOT NULL,
  url       text NOT NULL,
  PRIMARY KEY (job_no, item)
);

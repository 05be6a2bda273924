-- Jobs, their rows and items, and the events they end with. One process owns the file, so counters are kept in the rows of
-- `jobs` and change in the transaction that changes what they count. Times are milliseconds since 1970, states the texts of
-- jobs/model.h. The large tables are WITHOUT ROWID: what belongs to one job lies together, in input order.

CREATE TABLE jobs (
  job_no         INTEGER PRIMARY KEY,
  id             TEXT    NOT NULL UNIQUE,
  state          TEXT    NOT NULL,
  origin         TEXT    NOT NULL,
  generation     INTEGER NOT NULL DEFAULT 1,
  priority       INTEGER NOT NULL DEFAULT 0,
  turn           INTEGER NOT NULL DEFAULT 0,   -- when it was served last; rises by one per claim
  name           TEXT    NOT NULL,
  recipe         TEXT    NOT NULL,
  webhook_url    TEXT    NOT NULL,
  headers        BLOB,                         -- JSON, sealed under the master key; NULL for none
  name_template  TEXT    NOT NULL,
  blob_prefix    TEXT    NOT NULL,
  source_path    TEXT    NOT NULL,
  source_digest  TEXT    NOT NULL,
  url_column     TEXT    NOT NULL,
  invalid_rows   TEXT    NOT NULL,
  column_names   TEXT    NOT NULL DEFAULT '[]',  -- JSON
  row_count      INTEGER NOT NULL DEFAULT 0,
  invalid        INTEGER NOT NULL DEFAULT 0,
  total          INTEGER NOT NULL DEFAULT 0,
  remaining      INTEGER NOT NULL DEFAULT 0,     -- pending and leased
  leased         INTEGER NOT NULL DEFAULT 0,
  succeeded      INTEGER NOT NULL DEFAULT 0,
  failed         INTEGER NOT NULL DEFAULT 0,
  cancelled      INTEGER NOT NULL DEFAULT 0,
  bytes_in       INTEGER NOT NULL DEFAULT 0,
  bytes_out      INTEGER NOT NULL DEFAULT 0,
  error_code     TEXT    NOT NULL DEFAULT '',
  error_message  TEXT    NOT NULL DEFAULT '',
  created_at     INTEGER NOT NULL,
  started_at     INTEGER,
  finished_at    INTEGER,
  CHECK (leased BETWEEN 0 AND remaining),
  CHECK (total = remaining + succeeded + failed + cancelled)
) STRICT;

-- What a claim walks: only jobs that have something pending.
CREATE INDEX jobs_runnable ON jobs (priority DESC, turn, job_no)
  WHERE state IN ('ingesting', 'running') AND remaining > leased;
CREATE INDEX jobs_by_state ON jobs (state, job_no);
CREATE INDEX jobs_by_digest ON jobs (source_digest, job_no) WHERE source_digest <> '';

CREATE TABLE rows (
  job_no      INTEGER NOT NULL,
  row_no      INTEGER NOT NULL,
  cells       TEXT    NOT NULL,      -- JSON array of texts
  problem     TEXT    NOT NULL,
  first_item  INTEGER NOT NULL,      -- its items are first_item … first_item + item_count - 1
  item_count  INTEGER NOT NULL,
  PRIMARY KEY (job_no, row_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE items (
  job_no          INTEGER NOT NULL,
  item            INTEGER NOT NULL,              -- from 1 without gaps
  row_no          INTEGER NOT NULL,
  position        INTEGER NOT NULL,              -- of the URL in its row, from 1
  url             TEXT    NOT NULL,
  stem            TEXT    NOT NULL,
  same_as         INTEGER,                       -- the first item with this URL
  state           TEXT    NOT NULL DEFAULT 'pending',
  not_before      INTEGER,                       -- pending: 0 is at once, NULL waits for same_as
  token           INTEGER NOT NULL DEFAULT 0,
  leased_until    INTEGER,
  leased_by       TEXT,
  attempts        INTEGER NOT NULL DEFAULT 0,    -- finished ones; a lost lease is none
  engine_crashes  INTEGER NOT NULL DEFAULT 0,
  generation      INTEGER NOT NULL DEFAULT 1,
  error_code      TEXT    NOT NULL DEFAULT '',
  error_message   TEXT    NOT NULL DEFAULT '',
  bytes_in        INTEGER NOT NULL DEFAULT 0,
  fetch_ms        INTEGER NOT NULL DEFAULT 0,
  transform_ms    INTEGER NOT NULL DEFAULT 0,
  store_ms        INTEGER NOT NULL DEFAULT 0,
  finished_at     INTEGER,
  PRIMARY KEY (job_no, item)
) STRICT, WITHOUT ROWID;

CREATE INDEX items_by_state ON items (job_no, state, item);
CREATE INDEX items_pending ON items (job_no, not_before, item) WHERE state = 'pending';
CREATE INDEX items_waiting ON items (job_no, same_as, item) WHERE state = 'pending' AND not_before IS NULL;
CREATE INDEX items_leased ON items (leased_until) WHERE state = 'leased';
CREATE INDEX items_by_error ON items (job_no, error_code, state, item) WHERE error_code <> '';

CREATE TABLE outputs (
  job_no     INTEGER NOT NULL,
  item       INTEGER NOT NULL,
  position   INTEGER NOT NULL,
  rendition  TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  key_hash   INTEGER NOT NULL,     -- the index by key holds 8 bytes instead of a path
  bytes      INTEGER NOT NULL,
  width_px   INTEGER NOT NULL,
  height_px  INTEGER NOT NULL,
  format     TEXT    NOT NULL,
  quality    INTEGER NOT NULL,
  sha256     TEXT    NOT NULL,
  note       TEXT    NOT NULL,
  PRIMARY KEY (job_no, item, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX outputs_by_key ON outputs (key_hash);

-- How many items of a job failed for what reason.
CREATE TABLE failure_counts (
  job_no      INTEGER NOT NULL,
  error_code  TEXT    NOT NULL,
  count       INTEGER NOT NULL,
  example     TEXT    NOT NULL,
  PRIMARY KEY (job_no, error_code)
) STRICT, WITHOUT ROWID;

-- Finished items that more others wait for than one transaction may wake.
CREATE TABLE leaders_due (
  job_no  INTEGER NOT NULL,
  item    INTEGER NOT NULL,
  PRIMARY KEY (job_no, item)
) STRICT, WITHOUT ROWID;

-- Retries of failed items that more items belong to than one transaction may move. While there is one its job cannot end.
CREATE TABLE reopenings (
  job_no      INTEGER PRIMARY KEY,
  error_code  TEXT    NOT NULL,      -- '' for every failed item
  after_item  INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
  event_no    INTEGER PRIMARY KEY,
  event_id    TEXT    NOT NULL UNIQUE,
  job_no      INTEGER NOT NULL REFERENCES jobs (job_no),
  generation  INTEGER NOT NULL,
  terminal    INTEGER NOT NULL,
  type        TEXT    NOT NULL,
  body        TEXT    NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_one_end ON events (job_no, generation) WHERE terminal = 1;
CREATE INDEX events_by_job ON events (job_no, event_no);

CREATE TABLE deliveries (
  event_id  TEXT    NOT NULL PRIMARY KEY REFERENCES events (event_id),
  event_no  INTEGER NOT NULL,      -- of events due at the same time the older goes first
  url       TEXT    NOT NULL,
  origin    TEXT    NOT NULL,      -- of the URL: "https://example.com:8443"
  state     TEXT    NOT NULL DEFAULT 'pending',
  due_at    INTEGER,               -- pending: the next attempt; leased: when the lease ends
  attempts  INTEGER NOT NULL DEFAULT 0,
  token     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (due_at, event_no, origin, state) WHERE state IN ('pending', 'leased');

CREATE TABLE delivery_attempts (
  event_id     TEXT    NOT NULL REFERENCES deliveries (event_id),
  attempt      INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  http_status  INTEGER NOT NULL,
  error        TEXT    NOT NULL,
  answer       TEXT    NOT NULL,
  elapsed_ms   INTEGER NOT NULL,
  PRIMARY KEY (event_id, attempt)
) STRICT, WITHOUT ROWID;

-- Small values of the installation, sealed under the master key.
CREATE TABLE settings (
  name   TEXT NOT NULL PRIMARY KEY,
  value  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row that a durable commit touches when it turns out afterwards that a transaction should have been one.
CREATE TABLE sync_marks (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  count  INTEGER NOT NULL
) STRICT;
INSERT INTO sync_marks VALUES (1, 0);

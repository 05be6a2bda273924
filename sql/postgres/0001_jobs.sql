-- Jobs, their rows and items, the events they end with, and named recipes. Several processes work on them at once. Times
-- are milliseconds since 1970, states the texts of jobs/model.h; every number is a bigint, so that readers need one kind.
--
-- Counters stand in the rows of `jobs` and change in the transaction that changes what they count, at its end, so that the
-- row is locked for a moment only. No index holds what changes with a claim or an outcome, so these updates stay on
-- their page (HOT) and leave nothing behind for a vacuum.

CREATE TABLE jobs (
  job_no         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id             text    NOT NULL UNIQUE,
  state          text    NOT NULL,
  origin         text    NOT NULL,
  generation     bigint  NOT NULL DEFAULT 1,
  priority       bigint  NOT NULL DEFAULT 0,
  turn           bigint  NOT NULL DEFAULT 0,   -- when it was served last; of the sequence `turns`
  name           text    NOT NULL,
  recipe         text    NOT NULL,
  recipe_name    text    NOT NULL,             -- "shop@2"; '' for a recipe in words
  overrides      bigint  NOT NULL,             -- whether columns of the table may change the recipe
  row_recipes    bigint  NOT NULL DEFAULT 0,   -- how many there are in job_recipes
  webhook_url    text    NOT NULL,
  headers        bytea,                        -- JSON, sealed under the master key; NULL for none
  name_template  text    NOT NULL,
  blob_prefix    text    NOT NULL,
  source_path    text    NOT NULL,
  source_digest  text    NOT NULL,
  ingest_by      text    NOT NULL,             -- the server in whose data folder source_path lies; it alone reads it
  url_column     text    NOT NULL,
  invalid_rows   text    NOT NULL,
  column_names   text    NOT NULL DEFAULT '[]',  -- JSON
  row_count      bigint  NOT NULL DEFAULT 0,
  invalid        bigint  NOT NULL DEFAULT 0,
  total          bigint  NOT NULL DEFAULT 0,
  remaining      bigint  NOT NULL DEFAULT 0,     -- pending and leased
  leased         bigint  NOT NULL DEFAULT 0,
  succeeded      bigint  NOT NULL DEFAULT 0,
  failed         bigint  NOT NULL DEFAULT 0,
  cancelled      bigint  NOT NULL DEFAULT 0,
  bytes_in       bigint  NOT NULL DEFAULT 0,
  bytes_out      bigint  NOT NULL DEFAULT 0,
  error_code     text    NOT NULL DEFAULT '',
  error_message  text    NOT NULL DEFAULT '',
  created_at     bigint  NOT NULL,
  started_at     bigint,
  finished_at    bigint,
  CHECK (leased BETWEEN 0 AND remaining),
  CHECK (total = remaining + succeeded + failed + cancelled)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

CREATE SEQUENCE turns;

-- What a claim walks.
CREATE INDEX jobs_active ON jobs (job_no) WHERE state IN ('ingesting', 'running');
CREATE INDEX jobs_by_state ON jobs (state, job_no);
CREATE INDEX jobs_by_digest ON jobs (source_digest, job_no) WHERE source_digest <> '';

CREATE TABLE rows (
  job_no      bigint  NOT NULL,
  row_no      bigint  NOT NULL,
  cells       text    NOT NULL,      -- JSON array of texts
  problem     text    NOT NULL,
  first_item  bigint  NOT NULL,      -- its items are first_item … first_item + item_count - 1
  item_count  bigint  NOT NULL,
  PRIMARY KEY (job_no, row_no)
);

CREATE TABLE items (
  job_no          bigint  NOT NULL,
  item            bigint  NOT NULL,              -- from 1 without gaps
  row_no          bigint  NOT NULL,
  position        bigint  NOT NULL,              -- of the URL in its row, from 1
  url             text    NOT NULL,
  stem            text    NOT NULL,
  same_as         bigint,                        -- the first item with this URL
  recipe_no       bigint,                        -- NULL: the job's own
  state           text    NOT NULL DEFAULT 'pending',
  not_before      bigint,                        -- pending: 0 is at once, NULL waits for same_as
  token           bigint  NOT NULL DEFAULT 0,
  leased_until    bigint,
  leased_by       text,                          -- for people
  leased_on       text,                          -- the server whose data folder the worker holds; '' for none
  attempts        bigint  NOT NULL DEFAULT 0,    -- finished ones; a lost lease is none
  engine_crashes  bigint  NOT NULL DEFAULT 0,
  generation      bigint  NOT NULL DEFAULT 1,
  error_code      text    NOT NULL DEFAULT '',
  error_message   text    NOT NULL DEFAULT '',
  bytes_in        bigint  NOT NULL DEFAULT 0,
  fetch_ms        bigint  NOT NULL DEFAULT 0,
  transform_ms    bigint  NOT NULL DEFAULT 0,
  store_ms        bigint  NOT NULL DEFAULT 0,
  finished_at     bigint,
  PRIMARY KEY (job_no, item)
-- Three versions of each row are written in its life: a fifth of a table of millions must not be dead before it is cleaned.
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX items_by_state ON items (job_no, state, item);
CREATE INDEX items_pending ON items (job_no, not_before, item) WHERE state = 'pending';
CREATE INDEX items_waiting ON items (job_no, same_as, item) WHERE state = 'pending' AND not_before IS NULL;
CREATE INDEX items_leased ON items (leased_until) WHERE state = 'leased';
CREATE INDEX items_by_error ON items (job_no, error_code, state, item) WHERE error_code <> '';

CREATE TABLE outputs (
  job_no     bigint  NOT NULL,
  item       bigint  NOT NULL,
  position   bigint  NOT NULL,
  rendition  text    NOT NULL,
  key        text    NOT NULL,
  key_hash   bigint  NOT NULL,     -- the index by key holds 8 bytes instead of a path
  bytes      bigint  NOT NULL,
  width_px   bigint  NOT NULL,
  height_px  bigint  NOT NULL,
  format     text    NOT NULL,
  quality    bigint  NOT NULL,
  sha256     text    NOT NULL,
  note       text    NOT NULL,
  PRIMARY KEY (job_no, item, position)
);

CREATE INDEX outputs_by_key ON outputs (key_hash);

-- How many items of a job failed for what reason.
CREATE TABLE failure_counts (
  job_no      bigint  NOT NULL,
  error_code  text    NOT NULL,
  count       bigint  NOT NULL,
  example     text    NOT NULL,
  PRIMARY KEY (job_no, error_code)
) WITH (fillfactor = 50);

-- Finished items that more others wait for than one transaction may wake.
CREATE TABLE leaders_due (
  job_no  bigint  NOT NULL,
  item    bigint  NOT NULL,
  PRIMARY KEY (job_no, item)
);

-- Retries of failed items that more items belong to than one transaction may move. While there is one its job cannot end.
CREATE TABLE reopenings (
  job_no      bigint  PRIMARY KEY,
  error_code  text    NOT NULL,      -- '' for every failed item
  after_item  bigint  NOT NULL
);

CREATE TABLE events (
  event_no    bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id    text    NOT NULL UNIQUE,
  job_no      bigint  NOT NULL REFERENCES jobs (job_no),
  generation  bigint  NOT NULL,
  terminal    bigint  NOT NULL,
  type        text    NOT NULL,
  body        text    NOT NULL,
  created_at  bigint  NOT NULL
);

CREATE UNIQUE INDEX events_one_end ON events (job_no, generation) WHERE terminal = 1;
CREATE INDEX events_by_job ON events (job_no, event_no);

CREATE TABLE deliveries (
  event_id  text    NOT NULL PRIMARY KEY REFERENCES events (event_id),
  event_no  bigint  NOT NULL,      -- of events due at the same time the older goes first
  url       text    NOT NULL,
  origin    text    NOT NULL,      -- of the URL: "https://example.com:8443"
  state     text    NOT NULL DEFAULT 'pending',
  due_at    bigint,                -- pending: the next attempt; leased: when the lease ends
  attempts  bigint  NOT NULL DEFAULT 0,
  token     bigint  NOT NULL DEFAULT 0
);

CREATE INDEX deliveries_due ON deliveries (due_at, event_no) WHERE state IN ('pending', 'leased');

CREATE TABLE delivery_attempts (
  event_id     text    NOT NULL REFERENCES deliveries (event_id),
  attempt      bigint  NOT NULL,
  at           bigint  NOT NULL,
  http_status  bigint  NOT NULL,
  error        text    NOT NULL,
  answer       text    NOT NULL,
  elapsed_ms   bigint  NOT NULL,
  PRIMARY KEY (event_id, attempt)
);

-- Small values of the installation, sealed under the master key.
CREATE TABLE settings (
  name   text   NOT NULL PRIMARY KEY,
  value  bytea  NOT NULL
);

-- The recipes of a job's rows, each once: few, however many rows there are.
CREATE TABLE job_recipes (
  job_no     bigint  NOT NULL,
  recipe_no  bigint  NOT NULL,     -- from 1 without gaps
  recipe     text    NOT NULL,     -- canonical
  name       text    NOT NULL,     -- "shop@2"; '' for a recipe in words
  PRIMARY KEY (job_no, recipe_no)
);

-- What the recipes stood for that a table's rows ask for by name, when the job came in.
CREATE TABLE job_row_names (
  job_no   bigint  NOT NULL,
  written  text    NOT NULL,
  recipe   text    NOT NULL,
  name     text    NOT NULL,
  PRIMARY KEY (job_no, written)
);

-- Recipes that users gave names to. What a version says never changes, and its number is never given again.
CREATE TABLE recipes (
  name        text    NOT NULL,
  version     bigint  NOT NULL,              -- from 1 without gaps
  recipe      text    NOT NULL,              -- canonical
  created_at  bigint  NOT NULL,
  removed     bigint  NOT NULL DEFAULT 0,    -- 1: the name no longer stands for it; its number does
  PRIMARY KEY (name, version)
);

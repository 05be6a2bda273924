-- Rows of a job's table may ask for recipes of their own.

ALTER TABLE jobs ADD COLUMN recipe_name TEXT NOT NULL DEFAULT '';   -- "shop@2"; '' for a recipe in words
-- Whether columns of the table may change the recipe. Jobs that were under way before there was such a thing go on
-- without.
ALTER TABLE jobs ADD COLUMN overrides INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN row_recipes INTEGER NOT NULL DEFAULT 0;  -- how many there are in job_recipes
ALTER TABLE items ADD COLUMN recipe_no INTEGER;                      -- NULL: the job's own

-- The recipes of a job's rows, each once: few, however many rows there are.
CREATE TABLE job_recipes (
  job_no     INTEGER NOT NULL,
  recipe_no  INTEGER NOT NULL,     -- from 1 without gaps
  recipe     TEXT    NOT NULL,     -- canonical
  name       TEXT    NOT NULL,     -- "shop@2"; '' for a recipe in words
  PRIMARY KEY (job_no, recipe_no)
) STRICT, WITHOUT ROWID;

-- What the recipes stood for that a table's rows ask for by name, when the job came in.
CREATE TABLE job_row_names (
  job_no   INTEGER NOT NULL,
  written  TEXT    NOT NULL,
  recipe   TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  PRIMARY KEY (job_no, written)
) STRICT, WITHOUT ROWID;

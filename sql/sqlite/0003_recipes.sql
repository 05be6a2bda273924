-- Recipes that users gave names to. What a version says never changes, and its number is never given again.

CREATE TABLE recipes (
  name        TEXT    NOT NULL,
  version     INTEGER NOT NULL,              -- from 1 without gaps
  recipe      TEXT    NOT NULL,              -- canonical
  created_at  INTEGER NOT NULL,
  removed     INTEGER NOT NULL DEFAULT 0,    -- 1: the name no longer stands for it; its number does
  PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

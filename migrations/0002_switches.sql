-- Modes that were switched while the gateway ran, the newest of a plugin counts. A switch holds as
-- long as the configuration still says what it said then.
CREATE TABLE switches (
    id          INTEGER PRIMARY KEY,
    plugin      TEXT    NOT NULL,
    configured  TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    switched_us INTEGER NOT NULL
) STRICT;

-- How many commits were made within a window is asked before each one.
CREATE INDEX commits_by_time ON commits (committed_us);

-- The chain has a further kind of record; SQLite changes a CHECK only by making the table anew.
CREATE TABLE chain_with_switches (
    position INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL CHECK (kind IN ('event', 'decision', 'outcome', 'switch')),
    subject  INTEGER NOT NULL,
    digest   BLOB    NOT NULL,
    head     BLOB    NOT NULL,
    UNIQUE (kind, subject)
) STRICT;
INSERT INTO chain_with_switches SELECT position, kind, subject, digest, head FROM chain;
DROP TABLE chain;
ALTER TABLE chain_with_switches RENAME TO chain;

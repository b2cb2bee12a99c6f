-- An event that reports again what an earlier one has reported: it was routed to nobody.
ALTER TABLE events ADD COLUMN repeat_of INTEGER REFERENCES events (seq);

-- The newest dispatched event of an incident is asked for each event; and the repeats of one.
CREATE INDEX events_dispatched ON events (fingerprint, seq) WHERE routed_us IS NOT NULL AND repeat_of IS NULL;
CREATE INDEX events_repeats ON events (repeat_of) WHERE repeat_of IS NOT NULL;

-- The chain has further kinds of records. Which there are is the program's to know: it refuses to
-- verify one that it does not.
CREATE TABLE chain_of_all_kinds (
    position INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL,
    subject  INTEGER NOT NULL,
    digest   BLOB    NOT NULL,
    head     BLOB    NOT NULL,
    UNIQUE (kind, subject)
) STRICT;
INSERT INTO chain_of_all_kinds SELECT position, kind, subject, digest, head FROM chain;
DROP TABLE chain;
ALTER TABLE chain_of_all_kinds RENAME TO chain;

-- When nothing was to be committed, and when again; the newest of each way counts.
CREATE TABLE pauses (
    id          INTEGER PRIMARY KEY,
    by          TEXT    NOT NULL CHECK (by IN ('api', 'file')),
    paused      INTEGER NOT NULL CHECK (paused IN (0, 1)),
    reason      TEXT    NOT NULL,
    recorded_us INTEGER NOT NULL
) STRICT;

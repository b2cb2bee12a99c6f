-- When a burst of proposals is over depends on when they were decided, and on how many different
-- changes they are. Both are derived from what is in the chain, and empty for decisions of before.
ALTER TABLE reactions ADD COLUMN decided_us INTEGER;
ALTER TABLE reactions ADD COLUMN changes_digest BLOB;

-- Calls that were about to be made to change something at GitHub, so that a restart does not forget
-- what is spent of the budget. Rows of no use any more are deleted.
CREATE TABLE calls (
    called_us INTEGER NOT NULL,
    calls     INTEGER NOT NULL
) STRICT;

CREATE INDEX calls_by_time ON calls (called_us);

-- Until when a server has asked us to wait; the newest counts.
CREATE TABLE waits (
    id       INTEGER PRIMARY KEY,
    until_us INTEGER NOT NULL,
    reason   TEXT    NOT NULL
) STRICT;

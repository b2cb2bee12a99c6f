-- A reaction may take another one back. It is to the same event, for the same plugin, so a reaction's name
-- is no longer these two alone; SQLite changes a UNIQUE only by making the table anew, and with it those
-- that refer to it.
CREATE TABLE kept_attempts AS SELECT * FROM attempts;
CREATE TABLE kept_commits AS SELECT * FROM commits;
CREATE TABLE kept_pull_requests AS SELECT * FROM pull_requests;
DROP TABLE attempts;
DROP TABLE commits;
DROP TABLE pull_requests;

CREATE TABLE reactions_and_reverts (
    id            INTEGER PRIMARY KEY,
    event_seq     INTEGER NOT NULL REFERENCES events (seq),
    plugin        TEXT    NOT NULL,
    replay_id     INTEGER NOT NULL DEFAULT 0,
    mode          TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('pending', 'proposed', 'settled')),
    created_us    INTEGER NOT NULL,
    due_us        INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    -- The decision and what it was made from.
    plugin_digest TEXT,
    config_digest TEXT,
    base_commit   TEXT,
    decision      TEXT,
    fuel          INTEGER,
    -- The end.
    outcome       TEXT,
    reason        TEXT,
    diff          TEXT,
    settled_us    INTEGER,
    -- The reaction that this one takes back, and on whose word.
    reverts       INTEGER REFERENCES reactions_and_reverts (id),
    reverted_by   TEXT    CHECK (reverted_by IN ('request', 'expiry')),
    CHECK ((state = 'settled') = (outcome IS NOT NULL)),
    CHECK ((reverts IS NULL) = (reverted_by IS NULL))
) STRICT;
INSERT INTO reactions_and_reverts
    SELECT id, event_seq, plugin, replay_id, mode, state, created_us, due_us, attempts, plugin_digest,
           config_digest, base_commit, decision, fuel, outcome, reason, diff, settled_us, NULL, NULL
    FROM reactions;
DROP TABLE reactions;
ALTER TABLE reactions_and_reverts RENAME TO reactions;

CREATE INDEX reactions_waiting ON reactions (state, plugin, id) WHERE state <> 'settled';
CREATE INDEX reactions_of_event ON reactions (event_seq, id);
CREATE UNIQUE INDEX reactions_once ON reactions (event_seq, plugin, replay_id) WHERE reverts IS NULL;
-- Of a reaction's reverts one may be open or have succeeded.
CREATE UNIQUE INDEX reverts_once ON reactions (reverts)
    WHERE reverts IS NOT NULL AND (outcome IS NULL OR outcome IN ('committed', 'unchanged'));
CREATE INDEX reverts_of_reaction ON reactions (reverts) WHERE reverts IS NOT NULL;

CREATE TABLE attempts (
    reaction_id INTEGER NOT NULL REFERENCES reactions (id),
    number      INTEGER NOT NULL,
    stage       TEXT    NOT NULL CHECK (stage IN ('dispatch', 'commit')),
    started_us  INTEGER NOT NULL,
    ended_us    INTEGER,
    result      TEXT,
    detail      TEXT,
    PRIMARY KEY (reaction_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO attempts SELECT reaction_id, number, stage, started_us, ended_us, result, detail FROM kept_attempts;
DROP TABLE kept_attempts;

CREATE TABLE commits (
    reaction_id  INTEGER PRIMARY KEY REFERENCES reactions (id),
    sha          TEXT    NOT NULL,
    base         TEXT    NOT NULL,
    message      TEXT    NOT NULL,
    committed_us INTEGER NOT NULL
) STRICT;
INSERT INTO commits SELECT reaction_id, sha, base, message, committed_us FROM kept_commits;
DROP TABLE kept_commits;
CREATE INDEX commits_by_time ON commits (committed_us);
-- Whether all that is new in the branch is our own is asked when its head has moved.
CREATE INDEX commits_by_sha ON commits (sha);

CREATE TABLE pull_requests (
    reaction_id INTEGER PRIMARY KEY REFERENCES reactions (id),
    number      INTEGER NOT NULL,
    url         TEXT    NOT NULL,
    branch      TEXT    NOT NULL
) STRICT;
INSERT INTO pull_requests SELECT reaction_id, number, url, branch FROM kept_pull_requests;
DROP TABLE kept_pull_requests;
CREATE INDEX pull_requests_by_branch ON pull_requests (branch, reaction_id);

-- What takes a commit back, or why nothing does. A part of its reaction's outcome, but for `due_us`: when
-- its end is to be looked at, NULL when there is no more to do.
CREATE TABLE undos (
    reaction_id INTEGER PRIMARY KEY REFERENCES reactions (id),
    kept_us     INTEGER NOT NULL,
    undo        TEXT,
    missing     TEXT,
    expires_us  INTEGER,
    due_us      INTEGER,
    CHECK ((undo IS NULL) <> (missing IS NULL))
) STRICT;
CREATE INDEX undos_by_time ON undos (kept_us);
CREATE INDEX undos_due ON undos (due_us) WHERE due_us IS NOT NULL;

-- Commits that a person has taken back, and the head at which it was seen.
CREATE TABLE overrides (
    reaction_id INTEGER PRIMARY KEY REFERENCES reactions (id),
    head        TEXT    NOT NULL,
    seen_us     INTEGER NOT NULL
) STRICT;
CREATE INDEX overrides_by_time ON overrides (seen_us);

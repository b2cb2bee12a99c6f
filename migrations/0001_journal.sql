-- The journal: every request, event, reaction, attempt and commit. Times are microseconds since
-- 1970-01-01 UTC. Rows are added and settled, never rewritten; `chain` makes a rewrite visible.

CREATE TABLE journal (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    -- Eight hexadecimal digits that tell this journal's numbers from another's in commit trailers.
    name       TEXT    NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- A request as it came, less the credentials. `headers` is a JSON array of [name, base64 value].
CREATE TABLE requests (
    id           INTEGER PRIMARY KEY,
    received_us  INTEGER NOT NULL,
    content_mode TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    body         BLOB    NOT NULL
) STRICT;

CREATE TABLE events (
    seq             INTEGER PRIMARY KEY,
    request_id      INTEGER NOT NULL REFERENCES requests (id),
    batch_index     INTEGER NOT NULL,
    received_us     INTEGER NOT NULL,
    id              TEXT    NOT NULL,
    source          TEXT    NOT NULL,
    type            TEXT    NOT NULL,
    subject         TEXT,
    time            TEXT,
    dataschema      TEXT,
    datacontenttype TEXT,
    extensions      TEXT    NOT NULL,
    data            BLOB,
    content_digest  BLOB    NOT NULL,
    fingerprint     TEXT    NOT NULL,
    rule            TEXT,
    priority        TEXT,
    namespace       TEXT,
    pod             TEXT,
    output          TEXT,
    -- When its reactions were made; NULL is open work.
    routed_us       INTEGER,
    UNIQUE (source, id)
) STRICT;

CREATE INDEX events_unrouted ON events (seq) WHERE routed_us IS NULL;
CREATE INDEX events_rule ON events (rule, seq);
CREATE INDEX events_namespace ON events (namespace, seq);

CREATE TABLE replays (
    id          INTEGER PRIMARY KEY,
    created_us  INTEGER NOT NULL,
    mode        TEXT    NOT NULL CHECK (mode IN ('dry-run', 'apply')),
    base        TEXT    NOT NULL CHECK (base IN ('recorded', 'head')),
    selection   TEXT    NOT NULL,
    events      INTEGER NOT NULL
) STRICT;

-- One event for one plugin (and one replay, 0 for none): the unit of work, of retry and of audit.
CREATE TABLE reactions (
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
    CHECK ((state = 'settled') = (outcome IS NOT NULL)),
    UNIQUE (event_seq, plugin, replay_id)
) STRICT;

CREATE INDEX reactions_open ON reactions (state, due_us, id) WHERE state <> 'settled';

-- One row a try, made before the try begins, so that a try that ends the process is counted too.
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

-- At most one commit a reaction.
CREATE TABLE commits (
    reaction_id  INTEGER PRIMARY KEY REFERENCES reactions (id),
    sha          TEXT    NOT NULL,
    base         TEXT    NOT NULL,
    message      TEXT    NOT NULL,
    committed_us INTEGER NOT NULL
) STRICT;

-- head(n) = SHA-256(head(n-1) || digest(n)), where digest(n) is of the record named here.
CREATE TABLE chain (
    position INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL CHECK (kind IN ('event', 'decision', 'outcome')),
    subject  INTEGER NOT NULL,
    digest   BLOB    NOT NULL,
    head     BLOB    NOT NULL,
    UNIQUE (kind, subject)
) STRICT;

-- The pull request by which a reaction's commit was proposed, or that its reaction found moot. Several
-- reactions share one as long as it is open.
CREATE TABLE pull_requests (
    reaction_id INTEGER PRIMARY KEY REFERENCES reactions (id),
    number      INTEGER NOT NULL,
    url         TEXT    NOT NULL,
    branch      TEXT    NOT NULL
) STRICT;

CREATE INDEX pull_requests_by_branch ON pull_requests (branch, reaction_id);

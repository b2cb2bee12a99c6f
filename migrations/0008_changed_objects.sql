-- Which objects a reaction's commit is for, as its decision names them: a guardrail counts those of a window,
-- and a decision can be long.
CREATE TABLE changed_objects (
    reaction_id INTEGER NOT NULL REFERENCES reactions (id),
    object      TEXT    NOT NULL,
    PRIMARY KEY (reaction_id, object)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO changed_objects
    SELECT reactions.id, json_extract(patch.value, '$.target')
    FROM commits JOIN reactions ON reactions.id = reaction_id, json_each(reactions.decision, '$.patches') patch;

-- What waits is asked for a plugin at a time, so that one plugin's backlog never stands before another's.
DROP INDEX reactions_open;
CREATE INDEX reactions_waiting ON reactions (state, plugin, id) WHERE state <> 'settled';

-- The cluster that a decision is for, where the repository serves several: by the configuration of then.
-- It is told by the event, which is in the chain; guardrails count, and commits are followed, by it.
ALTER TABLE reactions ADD COLUMN cluster TEXT;

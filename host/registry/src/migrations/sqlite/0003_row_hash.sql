-- The hash of everything else in the row, so that a row that was damaged or edited is not taken for what was registered.
-- SQLite cannot compute it: rows from before get theirs when this program opens the file for the first time, which is
-- the one change that a row may see.
ALTER TABLE adapter_versions ADD COLUMN row_hash TEXT CHECK (length(row_hash) = 64);

DROP TRIGGER adapter_versions_never_change;

CREATE TRIGGER adapter_versions_never_change BEFORE UPDATE ON adapter_versions WHEN OLD.row_hash IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'versions are append only');
END;

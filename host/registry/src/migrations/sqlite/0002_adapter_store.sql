-- Whether the adapter's files are the registry's own, in `adapters/<hash>` beside this file. `adapter_folder` is then that
-- path, relative to this file's folder. Versions from before keep the path of the folder that they were registered from.
ALTER TABLE adapter_versions ADD COLUMN kept BIGINT NOT NULL DEFAULT 0 CHECK (kept IN (0, 1));

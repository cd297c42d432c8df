-- Versions of adapters. Types, constraints and queries are those that SQLite and PostgreSQL share; the triggers below
-- are SQLite's own words for "append only".
CREATE TABLE adapter_versions (
    name             TEXT   NOT NULL CHECK (name <> ''),
    version          BIGINT NOT NULL CHECK (version >= 1),
    adapter          TEXT   NOT NULL CHECK (length(adapter) = 64),
    adapter_folder   TEXT   NOT NULL,
    base_model       TEXT   NOT NULL CHECK (length(base_model) = 64),
    dataset_manifest TEXT   NOT NULL CHECK (length(dataset_manifest) = 64),
    config           TEXT   NOT NULL CHECK (length(config) = 64),
    evaluation       TEXT   NOT NULL CHECK (length(evaluation) = 64),
    code_version     TEXT   NOT NULL,
    summary          TEXT   NOT NULL,
    gate             TEXT   NOT NULL,
    gate_passed      BIGINT NOT NULL CHECK (gate_passed = 1),
    created_unix_s   BIGINT NOT NULL,
    PRIMARY KEY (name, version),
    UNIQUE (name, adapter, evaluation)
);

CREATE TRIGGER adapter_versions_never_change BEFORE UPDATE ON adapter_versions
BEGIN
    SELECT RAISE(ABORT, 'versions are append only');
END;

CREATE TRIGGER adapter_versions_never_go BEFORE DELETE ON adapter_versions
BEGIN
    SELECT RAISE(ABORT, 'versions are append only');
END;

-- +goose Up

-- All of this can be run again, where some of it was dropped.

-- When two processes run one migration at the same time, the second fails as a whole.
CREATE UNIQUE INDEX IF NOT EXISTS metadata_version_id ON metadata_version (version_id);

CREATE TABLE IF NOT EXISTS users (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    username   TEXT      NOT NULL UNIQUE, -- compared by its bytes
    email      TEXT      NOT NULL,
    created_at TIMESTAMP NOT NULL -- text, UTC
);

CREATE TABLE IF NOT EXISTS devices (
    id         INTEGER PRIMARY KEY, -- as the device reports it
    name       TEXT      NOT NULL,
    user_id    INTEGER   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    location   TEXT,
    created_at TIMESTAMP NOT NULL -- text, UTC
);

CREATE INDEX IF NOT EXISTS devices_user_id ON devices (user_id, id);

-- One row: what the generation of device ids remembers.
CREATE TABLE IF NOT EXISTS device_ids (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    last_generated   INTEGER NOT NULL,
    greatest_deleted INTEGER NOT NULL
);

INSERT OR IGNORE INTO device_ids (id, last_generated, greatest_deleted) VALUES (1, 0, 0);

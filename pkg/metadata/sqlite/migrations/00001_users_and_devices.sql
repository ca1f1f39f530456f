-- +goose Up

-- When two processes run one migration at the same time, the second fails as a whole.
CREATE UNIQUE INDEX IF NOT EXISTS metadata_version_id ON metadata_version (version_id);

CREATE TABLE users (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    username   TEXT      NOT NULL UNIQUE, -- compared by its bytes
    email      TEXT      NOT NULL,
    created_at TIMESTAMP NOT NULL -- text, UTC
);

CREATE TABLE devices (
    id         INTEGER PRIMARY KEY, -- as the device reports it
    name       TEXT      NOT NULL,
    user_id    INTEGER   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    location   TEXT,
    created_at TIMESTAMP NOT NULL -- text, UTC
);

CREATE INDEX devices_user_id ON devices (user_id, id);

-- One row: what the generation of device ids remembers.
CREATE TABLE device_ids (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    last_generated   INTEGER NOT NULL,
    greatest_deleted INTEGER NOT NULL
);

INSERT INTO device_ids (id, last_generated, greatest_deleted) VALUES (1, 0, 0);

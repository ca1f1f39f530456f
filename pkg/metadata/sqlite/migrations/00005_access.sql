-- +goose Up

-- Who may do what. Versions 6 to 9 are steps in Go: they add role, password_hash, disabled_at and identity to users.
--
-- No table refers to users or devices, which could not be dropped and made again then: who deletes a row there deletes
-- what belongs to it here. AUTOINCREMENT: no id is given twice. Times are ms since 1970; secrets are SHA-256, in hex.

-- Of programs, and of browsers.
CREATE TABLE IF NOT EXISTS tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    devices    TEXT, -- ids, as JSON; NULL: all
    session    INTEGER NOT NULL, -- 1 is a browser's
    secret     TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used  INTEGER
);
CREATE INDEX IF NOT EXISTS tokens_user_id ON tokens (user_id, id);
CREATE INDEX IF NOT EXISTS tokens_expires_at ON tokens (expires_at);

CREATE TABLE IF NOT EXISTS device_credentials (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    type       TEXT    NOT NULL,
    name       TEXT    NOT NULL, -- compared by its bytes
    device_id  INTEGER NOT NULL, -- 0 is a gateway's or a viewer's
    devices    TEXT, -- of a gateway: ids, as JSON
    viewer     INTEGER NOT NULL,
    secret     TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE INDEX IF NOT EXISTS device_credentials_name ON device_credentials (name);
CREATE INDEX IF NOT EXISTS device_credentials_device_id ON device_credentials (device_id, id);
CREATE INDEX IF NOT EXISTS device_credentials_expires_at ON device_credentials (expires_at);

CREATE TABLE IF NOT EXISTS provisioning_keys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    user_id    INTEGER NOT NULL, -- 0 is the default user
    uses       INTEGER NOT NULL, -- that are left
    devices    TEXT, -- ids, as JSON; NULL: any
    secret     TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);

-- Each index has the order of ids for one filter.
CREATE TABLE IF NOT EXISTS audit (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    recorded_at INTEGER NOT NULL,
    actor       TEXT    NOT NULL,
    token       TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    noun        TEXT    NOT NULL, -- of the action
    action      TEXT    NOT NULL,
    object      TEXT    NOT NULL,
    old_row     TEXT, -- JSON
    new_row     TEXT
);
CREATE INDEX IF NOT EXISTS audit_recorded_at ON audit (recorded_at);
CREATE INDEX IF NOT EXISTS audit_actor ON audit (actor, id);
CREATE INDEX IF NOT EXISTS audit_noun ON audit (noun, id);
CREATE INDEX IF NOT EXISTS audit_action ON audit (action, id);
CREATE INDEX IF NOT EXISTS audit_object ON audit (object, id);

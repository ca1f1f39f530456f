-- +goose Up

-- When readings of a device arrived last. Version 4 is a step in Go: it adds offline_after to devices.
CREATE TABLE IF NOT EXISTS device_contacts (
    device_id INTEGER PRIMARY KEY,
    last_seen INTEGER NOT NULL -- ms since 1970
);

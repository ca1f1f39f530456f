-- +goose Up

-- When readings of a device arrived last. Version 4 is a step in Go: it adds offline_after to devices.
-- Half of a page is left free: a row that changes stays on its page, and its index as it is.
CREATE TABLE IF NOT EXISTS device_contacts (
    device_id BIGINT PRIMARY KEY,
    last_seen BIGINT NOT NULL -- ms since 1970
) WITH (fillfactor = 50);

-- +goose Up

-- When readings of a device arrived last. Version 4 is a step in Go: it adds offline_after to devices.
CREATE TABLE IF NOT EXISTS device_contacts (
    device_id BIGINT NOT NULL PRIMARY KEY,
    last_seen BIGINT NOT NULL COMMENT 'ms since 1970'
) ENGINE = InnoDB;

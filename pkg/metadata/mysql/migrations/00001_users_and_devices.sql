-- +goose Up

-- MySQL commits each of these statements by itself. Each can be run again: after a failure half-way, or where
-- some of it was dropped.

-- Two usernames are the same only when they are the same to the letter: utf8mb4_0900_bin compares code
-- points and does not ignore spaces at the end.
CREATE TABLE IF NOT EXISTS users (
    id         BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    username   VARCHAR(150) NOT NULL,
    email      VARCHAR(254) NOT NULL,
    created_at DATETIME(3)  NOT NULL COMMENT 'UTC',
    UNIQUE KEY users_username (username)
) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS devices (
    id         BIGINT       NOT NULL PRIMARY KEY COMMENT 'as the device reports it',
    name       VARCHAR(255) NOT NULL,
    user_id    BIGINT       NOT NULL,
    location   VARCHAR(255) NULL,
    created_at DATETIME(3)  NOT NULL COMMENT 'UTC',
    KEY devices_user_id (user_id, id),
    CONSTRAINT devices_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_0900_bin;

-- One row: what the generation of device ids remembers.
CREATE TABLE IF NOT EXISTS device_ids (
    id               INT    NOT NULL PRIMARY KEY CHECK (id = 1),
    last_generated   BIGINT NOT NULL,
    greatest_deleted BIGINT NOT NULL
) ENGINE = InnoDB;

INSERT INTO device_ids (id, last_generated, greatest_deleted) VALUES (1, 0, 0)
ON DUPLICATE KEY UPDATE id = id;

-- +goose Up

-- Who may do what. Versions 6 to 9 are steps in Go: they add role, password_hash, disabled_at and identity to users.
--
-- No table refers to users or devices, which could not be dropped and made again then: who deletes a row there deletes
-- what belongs to it here. Times are ms since 1970; secrets are SHA-256, in hex.

CREATE TABLE IF NOT EXISTS tokens (
    id         BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id    BIGINT       NOT NULL,
    name       VARCHAR(255) NOT NULL,
    role       VARCHAR(16)  NOT NULL,
    devices    MEDIUMTEXT   NULL COMMENT 'ids, as JSON; NULL: all',
    session    SMALLINT     NOT NULL COMMENT '1 is a browser''s',
    secret     VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT       NOT NULL,
    expires_at BIGINT       NULL,
    last_used  BIGINT       NULL,
    UNIQUE KEY tokens_secret (secret),
    KEY tokens_user_id (user_id, id),
    KEY tokens_expires_at (expires_at)
) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_0900_bin, COMMENT 'of programs, and of browsers';

CREATE TABLE IF NOT EXISTS device_credentials (
    id         BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    type       VARCHAR(16)  NOT NULL,
    name       VARCHAR(255) NOT NULL,
    device_id  BIGINT       NOT NULL COMMENT '0 is a gateway''s or a viewer''s',
    devices    MEDIUMTEXT   NULL COMMENT 'of a gateway: ids, as JSON',
    viewer     SMALLINT     NOT NULL,
    secret     VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at BIGINT       NOT NULL,
    expires_at BIGINT       NULL,
    UNIQUE KEY device_credentials_secret (secret),
    KEY device_credentials_name (name),
    KEY device_credentials_device_id (device_id, id),
    KEY device_credentials_expires_at (expires_at)
) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_0900_bin;

CREATE TABLE IF NOT EXISTS provisioning_keys (
    id         BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name       VARCHAR(255) NOT NULL,
    user_id    BIGINT       NOT NULL COMMENT '0 is the default user',
    uses       BIGINT       NOT NULL COMMENT 'that are left',
    devices    MEDIUMTEXT   NULL COMMENT 'ids, as JSON; NULL: any',
    secret     VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT       NOT NULL,
    expires_at BIGINT       NULL,
    UNIQUE KEY provisioning_keys_secret (secret)
) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_0900_bin;

-- Each index has the order of ids for one filter.
CREATE TABLE IF NOT EXISTS audit (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    recorded_at BIGINT       NOT NULL,
    actor       VARCHAR(255) NOT NULL,
    token       VARCHAR(255) NOT NULL,
    address     VARCHAR(255) NOT NULL,
    noun        VARCHAR(64)  NOT NULL COMMENT 'of the action',
    action      VARCHAR(64)  NOT NULL,
    object      VARCHAR(255) NOT NULL,
    old_row     MEDIUMTEXT   NULL COMMENT 'JSON',
    new_row     MEDIUMTEXT   NULL,
    KEY audit_recorded_at (recorded_at),
    KEY audit_actor (actor, id),
    KEY audit_noun (noun, id),
    KEY audit_action (action, id),
    KEY audit_object (object, id)
) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_0900_bin;

"""The tables of the state file, as numbered migrations.

A migration is never edited once released; a change is a new one. `PRAGMA user_version` counts those applied.
Times are seconds since the epoch; columns named `*_json` hold a JSON document.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE layers (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- also the directory: layers/<id>/diff
        diff_id   TEXT UNIQUE,                        -- sha256:<hex> of the uncompressed tar, NULL until asked for
        size      INTEGER NOT NULL,                   -- bytes of its regular files, unpacked
        created   REAL NOT NULL
    ) STRICT;
    CREATE TABLE layer_blobs (                        -- the forms in which a layer can leave: blobs/sha256/<hex>
        digest     TEXT PRIMARY KEY,
        layer_id   INTEGER NOT NULL REFERENCES layers(id) ON DELETE CASCADE,
        media_type TEXT NOT NULL,
        size       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX layer_blobs_layer ON layer_blobs(layer_id);
    CREATE TABLE images (
        id            TEXT PRIMARY KEY,               -- sha256:<hex> of the config blob
        created       REAL NOT NULL,
        architecture  TEXT NOT NULL,
        os            TEXT NOT NULL,
        variant       TEXT NOT NULL,
        size          INTEGER NOT NULL,
        document      TEXT NOT NULL                   -- the config blob, byte for byte
    ) STRICT;
    CREATE TABLE image_layers (
        image_id  TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        position  INTEGER NOT NULL,                   -- 0 is the lowest
        layer_id  INTEGER NOT NULL REFERENCES layers(id),
        PRIMARY KEY (image_id, position)
    ) STRICT;
    CREATE INDEX image_layers_layer ON image_layers(layer_id);
    CREATE TABLE tags (
        name      TEXT PRIMARY KEY,                   -- normalised: docker.io/library/busybox:latest
        image_id  TEXT NOT NULL REFERENCES images(id)
    ) STRICT;
    CREATE INDEX tags_image ON tags(image_id);
    CREATE TABLE tag_moves (                          -- every move of a tag
        seq       INTEGER PRIMARY KEY AUTOINCREMENT,
        name      TEXT NOT NULL,
        image_id  TEXT,                               -- NULL: the tag was removed
        at        REAL NOT NULL,
        reason    TEXT NOT NULL                       -- load, import, bootstrap, tag, commit, rmi, ...
    ) STRICT;
    CREATE TABLE image_digests (                      -- repository digests: name@sha256:...
        name      TEXT PRIMARY KEY,
        image_id  TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
    ) STRICT;
    CREATE TABLE build_cache (                        -- inputs of bootstrap (and later build) -> what they made
        key       TEXT PRIMARY KEY,
        image_id  TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        used      REAL NOT NULL
    ) STRICT;

    CREATE TABLE containers (
        id              TEXT PRIMARY KEY,
        name            TEXT NOT NULL UNIQUE,
        created         REAL NOT NULL,
        image_id        TEXT NOT NULL REFERENCES images(id),
        image_name      TEXT NOT NULL,
        config_json     TEXT NOT NULL,                -- model.container.ContainerConfig
        status          TEXT NOT NULL,
        pid             INTEGER NOT NULL DEFAULT 0,
        pid_start       INTEGER NOT NULL DEFAULT 0,
        monitor_pid     INTEGER NOT NULL DEFAULT 0,
        boot_id         TEXT NOT NULL DEFAULT '',
        started         REAL NOT NULL DEFAULT 0,
        finished        REAL NOT NULL DEFAULT 0,
        exit_code       INTEGER NOT NULL DEFAULT 0,
        oom_killed      INTEGER NOT NULL DEFAULT 0,
        error           TEXT NOT NULL DEFAULT '',
        restart_count   INTEGER NOT NULL DEFAULT 0,
        stopped_by_user INTEGER NOT NULL DEFAULT 0,
        health_json     TEXT NOT NULL DEFAULT '{}'
    ) STRICT;
    CREATE INDEX containers_image ON containers(image_id);
    CREATE INDEX containers_status ON containers(status);

    CREATE TABLE networks (
        id           TEXT PRIMARY KEY,
        name         TEXT NOT NULL UNIQUE,
        driver       TEXT NOT NULL,
        created      REAL NOT NULL,
        subnet       TEXT NOT NULL,
        gateway      TEXT NOT NULL,
        bridge       TEXT NOT NULL,
        internal     INTEGER NOT NULL,
        labels_json  TEXT NOT NULL,
        options_json TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX networks_bridge ON networks(bridge) WHERE bridge <> '';
    CREATE TABLE endpoints (
        network_id     TEXT NOT NULL REFERENCES networks(id),
        container_id   TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        address        TEXT NOT NULL,
        prefix_length  INTEGER NOT NULL,
        gateway        TEXT NOT NULL,
        mac            TEXT NOT NULL,
        interface      TEXT NOT NULL,
        host_interface TEXT NOT NULL UNIQUE,
        aliases_json   TEXT NOT NULL,
        PRIMARY KEY (network_id, container_id),
        UNIQUE (network_id, address)
    ) STRICT;
    CREATE INDEX endpoints_container ON endpoints(container_id);
    CREATE TABLE ports (                              -- claimed while the container runs
        protocol       TEXT NOT NULL,
        host_address   TEXT NOT NULL,
        host_port      INTEGER NOT NULL,
        container_id   TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        container_port INTEGER NOT NULL,
        PRIMARY KEY (protocol, host_address, host_port)
    ) STRICT;
    CREATE INDEX ports_container ON ports(container_id);
    CREATE TABLE links (
        consumer_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        target_id   TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        alias       TEXT NOT NULL,
        PRIMARY KEY (consumer_id, alias)
    ) STRICT;
    CREATE INDEX links_target ON links(target_id);

    CREATE TABLE volumes (
        name         TEXT PRIMARY KEY,
        created      REAL NOT NULL,
        anonymous    INTEGER NOT NULL,
        driver       TEXT NOT NULL,
        labels_json  TEXT NOT NULL,
        options_json TEXT NOT NULL
    ) STRICT;
    CREATE TABLE container_volumes (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        volume       TEXT NOT NULL REFERENCES volumes(name),
        target       TEXT NOT NULL,
        PRIMARY KEY (container_id, target)
    ) STRICT;
    CREATE INDEX container_volumes_volume ON container_volumes(volume);

    CREATE TABLE events (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT,
        at         REAL NOT NULL,
        type       TEXT NOT NULL,                     -- container, image, network, volume
        action     TEXT NOT NULL,
        actor      TEXT NOT NULL,                     -- id or name
        attributes_json TEXT NOT NULL
    ) STRICT;
    """,
    """
    -- sha256:<hex> of the tree's canonical tar stream, by which check finds what was altered; it is the diff_id
    -- except for layers that came from outside
    ALTER TABLE layers ADD COLUMN canonical TEXT;
    """,
    """
    ALTER TABLE networks ADD COLUMN ip_range TEXT NOT NULL DEFAULT '';        -- CIDR that addresses are taken from
    ALTER TABLE networks ADD COLUMN own_subnet INTEGER NOT NULL DEFAULT 0;    -- the user gave the subnet
    """,
    """
    CREATE TABLE build_steps (                        -- what a step of a build made, by all that went in
        key       TEXT PRIMARY KEY,                   -- hex
        layer_id  INTEGER REFERENCES layers(id) ON DELETE CASCADE,  -- NULL: it changed no file
        result    TEXT NOT NULL,                      -- the key that the next step goes on from
        boot_id   TEXT NOT NULL,                      -- empty when its files are surely on the disk
        what      TEXT NOT NULL,                      -- the instruction, for people
        created   REAL NOT NULL,
        used      REAL NOT NULL
    ) STRICT;
    CREATE INDEX build_steps_layer ON build_steps(layer_id);
    CREATE TABLE build_memos (                        -- digests of what builds read, so that it is not read again
        key       TEXT PRIMARY KEY,
        value     BLOB NOT NULL,
        used      REAL NOT NULL
    ) STRICT;
    CREATE TABLE build_mounts (                       -- RUN --mount=type=cache: caches/<id>
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        key       TEXT NOT NULL UNIQUE,
        created   REAL NOT NULL,
        used      REAL NOT NULL
    ) STRICT;
    CREATE TABLE build_leases (                       -- addresses of RUN steps that are under way
        network_id TEXT NOT NULL REFERENCES networks(id) ON DELETE CASCADE,
        address    TEXT NOT NULL,
        pid        INTEGER NOT NULL,                  -- of the build
        pid_start  INTEGER NOT NULL,
        PRIMARY KEY (network_id, address)
    ) STRICT;
    """,
    """
    CREATE TABLE layer_forms (                        -- compressed streams of a layer that registries have
        digest     TEXT PRIMARY KEY,
        layer_id   INTEGER NOT NULL REFERENCES layers(id) ON DELETE CASCADE,
        media_type TEXT NOT NULL,
        size       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX layer_forms_layer ON layer_forms(layer_id);
    CREATE TABLE layer_places (                       -- repositories that had such a stream
        digest     TEXT NOT NULL REFERENCES layer_forms(digest) ON DELETE CASCADE,
        repository TEXT NOT NULL,                     -- docker.io/library/busybox
        PRIMARY KEY (digest, repository)
    ) STRICT;
    CREATE TABLE manifest_lists (                     -- of `manifest create`, until they are pushed or removed
        name       TEXT PRIMARY KEY,                  -- normalised, as in tags
        document   TEXT NOT NULL                      -- image.lists
    ) STRICT;
    """,
    """
    CREATE TABLE tag_platforms (                      -- what a name means for other platforms than its tag's image
        name      TEXT NOT NULL,                      -- normalised, as in tags
        platform  TEXT NOT NULL,                      -- linux/arm64, linux/arm/v7
        image_id  TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        PRIMARY KEY (name, platform)
    ) STRICT;
    CREATE INDEX tag_platforms_image ON tag_platforms(image_id);
    ALTER TABLE images ADD COLUMN annotations_json TEXT NOT NULL DEFAULT '{}';  -- of `build --annotation`
    """,
    """
    CREATE TABLE layer_uploads (                      -- that are under way, or were when the line broke
        repository TEXT NOT NULL,                     -- docker.io/library/busybox
        layer_id   INTEGER NOT NULL REFERENCES layers(id) ON DELETE CASCADE,
        method     TEXT NOT NULL,                     -- gzip, zstd
        location   TEXT NOT NULL,                     -- where the registry takes the rest
        PRIMARY KEY (repository, layer_id, method)
    ) STRICT;
    CREATE INDEX layer_uploads_layer ON layer_uploads(layer_id);
    """,
)

-- Version 3: what came back from beyond the relay.

-- Append only, but for what a person's wish removes. message, relay, bucket, day, campaign: the send that it is about, where one was
-- found. key: only where no message says it. counts: the first of its fate for its message.
CREATE TABLE report (
    id INTEGER PRIMARY KEY,
    way INTEGER NOT NULL,
    event TEXT NOT NULL,
    at INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    fate INTEGER NOT NULL,
    message INTEGER,
    key TEXT,
    relay INTEGER,
    bucket INTEGER,
    day INTEGER,
    campaign INTEGER,
    counts INTEGER NOT NULL,
    code INTEGER,
    enhanced INTEGER,
    text TEXT NOT NULL,
    stage INTEGER,
    remote TEXT,
    signal INTEGER NOT NULL,
    action INTEGER,
    reason INTEGER NOT NULL,
    rule INTEGER,
    suppress INTEGER,
    mailbox_after INTEGER,
    evidence TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX report_event ON report (way, event);
CREATE INDEX report_message ON report (message) WHERE message IS NOT NULL;
CREATE INDEX report_key ON report (key) WHERE key IS NOT NULL;
-- What a relay's owner acts on: throttle, block, stop-campaign (codes of codec.rs).
CREATE INDEX report_act ON report (relay, id) WHERE counts AND action IN (3, 4, 5);

-- The newest report that a lane's mail went through, for its relay's owner.
CREATE TABLE went_well (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    report INTEGER NOT NULL,
    PRIMARY KEY (relay, bucket)
) STRICT, WITHOUT ROWID;

-- Up to which report a relay's owner has acted.
CREATE TABLE acted (relay INTEGER PRIMARY KEY, report INTEGER NOT NULL) STRICT;

-- What came back for a lane's plan day, each message once per column.
CREATE TABLE health (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    day INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    bounced INTEGER NOT NULL DEFAULT 0,
    unknown INTEGER NOT NULL DEFAULT 0,
    complaints INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (relay, bucket, day)
) STRICT, WITHOUT ROWID;

-- What came back for a campaign: messages.
CREATE TABLE came_back (
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    fate INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    way INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (campaign, bucket, fate, reason, way)
) STRICT, WITHOUT ROWID;

-- Messages refused by a full or suspended mailbox since something reached it.
CREATE TABLE mailbox (key TEXT PRIMARY KEY, n INTEGER NOT NULL, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Replies that no rule knows, like ones together. origin: a bucket, or a relay where it speaks itself.
CREATE TABLE unknown_reply (
    origin TEXT NOT NULL,
    shape TEXT NOT NULL,
    code INTEGER,
    enhanced INTEGER,
    text TEXT NOT NULL,
    stage INTEGER,
    n INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (origin, shape)
) STRICT, WITHOUT ROWID;

-- Whom a message went to that was sent and whose details were folded: its token must still find an address.
CREATE TABLE recipient (message INTEGER PRIMARY KEY, campaign INTEGER NOT NULL, key TEXT NOT NULL) STRICT;
CREATE INDEX recipient_key ON recipient (key);

-- With what addresses are hashed of which nothing but the hash is kept.
CREATE TABLE salt (value BLOB NOT NULL) STRICT;
INSERT INTO salt VALUES (randomblob(32));

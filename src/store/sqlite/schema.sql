-- Version 1. Times are microseconds since the epoch, days are yyyymmdd, names are numbers of table `name`.
-- Codes of states, classes, places, causes and so on are fixed in codec.rs.

CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('generation', 0);

CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

-- start, not_after and class repeat the current revision's, so that a claim need not read it.
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    pool INTEGER NOT NULL,
    sender TEXT NOT NULL,
    state INTEGER NOT NULL,
    because TEXT,
    changed INTEGER NOT NULL,
    created INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    loads INTEGER NOT NULL DEFAULT 0,
    start INTEGER NOT NULL,
    not_after INTEGER,
    class INTEGER NOT NULL
) STRICT;
CREATE INDEX campaign_state ON campaign (state);

CREATE TABLE revision (
    id INTEGER PRIMARY KEY,
    campaign INTEGER NOT NULL,
    content TEXT NOT NULL,
    start INTEGER NOT NULL,
    finish_by INTEGER,
    not_after INTEGER,
    class INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    digest TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- What was submitted. A message is, at any time, in exactly one of: ready, later, claimed, parked, final.
-- address is null where it equals key.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    score INTEGER NOT NULL,
    load INTEGER NOT NULL,
    key TEXT NOT NULL,
    address TEXT,
    columns TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX message_key ON message (key, campaign);
CREATE INDEX message_list ON message (campaign);
-- Seeds: store::SEED_SCORE.
CREATE INDEX message_seed ON message (campaign) WHERE score >= 2000000000000000;

-- What may be claimed now, in the order of leaving. tier 0: tried before, 1: never tried. rank is minus the score.
-- A campaign has one pool, and its class may be changed by a revision, so neither is part of the key.
CREATE TABLE ready (
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    tier INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (campaign, bucket, tier, rank, message)
) STRICT, WITHOUT ROWID;

CREATE TABLE later (
    due INTEGER NOT NULL,
    message INTEGER NOT NULL,
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    PRIMARY KEY (due, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX later_of ON later (campaign, message);

-- In the air. Carries what `tried` says, so that a settle reads one row.
CREATE TABLE claimed (
    message INTEGER PRIMARY KEY,
    relay INTEGER NOT NULL,
    token INTEGER NOT NULL,
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    class INTEGER NOT NULL,
    day INTEGER NOT NULL,
    warmup_day INTEGER NOT NULL,
    claimed_at INTEGER NOT NULL,
    retry INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_attempt INTEGER,
    uncertain INTEGER NOT NULL,
    last_attempt INTEGER
) STRICT;

CREATE TABLE parked (
    message INTEGER PRIMARY KEY,
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    at INTEGER NOT NULL,
    because TEXT NOT NULL
) STRICT;
CREATE INDEX parked_of ON parked (campaign);

-- Facts of messages that were tried and are not final. uncertain: how often the fate of an attempt was unknown.
CREATE TABLE tried (
    message INTEGER PRIMARY KEY,
    attempts INTEGER NOT NULL,
    first_attempt INTEGER NOT NULL,
    uncertain INTEGER NOT NULL,
    last_attempt INTEGER,
    relay INTEGER NOT NULL,
    at INTEGER NOT NULL,
    note TEXT
) STRICT;

CREATE TABLE final (
    message INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    at INTEGER NOT NULL,
    because TEXT,
    relay INTEGER,
    last_attempt INTEGER,
    attempts INTEGER NOT NULL
) STRICT;

-- Append only. before: the same message's attempt before this one, which saves an index by message.
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    class INTEGER NOT NULL,
    day INTEGER NOT NULL,
    warmup_day INTEGER NOT NULL,
    released INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    code INTEGER,
    enhanced INTEGER,
    text TEXT,
    fault TEXT,
    signal INTEGER NOT NULL,
    action INTEGER,
    rule INTEGER,
    counted INTEGER NOT NULL,
    before INTEGER
) STRICT;
CREATE INDEX attempt_of_lane ON attempt (relay, bucket, day);

-- Claims of owners that died: their quota stays spent, their fate is unknown.
CREATE TABLE lost (
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    day INTEGER NOT NULL,
    warmup_day INTEGER NOT NULL,
    token INTEGER NOT NULL,
    claimed_at INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX lost_of_lane ON lost (relay, bucket, day);

-- How many messages are where; kept in the transactions that move them, so that nothing ever scans to count.
CREATE TABLE counter (
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    place INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (campaign, bucket, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    day INTEGER NOT NULL,
    warmup_day INTEGER NOT NULL,
    quota INTEGER NOT NULL,
    quota_peak INTEGER NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0,
    spent_retries INTEGER NOT NULL DEFAULT 0,
    spent_transactional INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    deferred INTEGER NOT NULL DEFAULT 0,
    bounced INTEGER NOT NULL DEFAULT 0,
    emptied INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (relay, bucket, day),
    CHECK (spent BETWEEN 0 AND quota_peak AND spent_retries BETWEEN 0 AND spent AND spent_transactional BETWEEN 0 AND spent)
) STRICT, WITHOUT ROWID;

CREATE TABLE cell (
    start INTEGER NOT NULL,
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (start, relay, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdict (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    day INTEGER NOT NULL,
    days INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    before INTEGER NOT NULL,
    after INTEGER NOT NULL,
    because TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (relay, bucket, day)
) STRICT, WITHOUT ROWID;

-- owner is null after a release.
CREATE TABLE lease (
    relay INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    owner TEXT,
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE need (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    n INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (relay, bucket)
) STRICT, WITHOUT ROWID;

-- scope: '*', 'relay' or 'relay/bucket'.
CREATE TABLE pause (
    scope TEXT NOT NULL,
    cause INTEGER NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    times INTEGER NOT NULL,
    PRIMARY KEY (scope, cause)
) STRICT, WITHOUT ROWID;

-- sender is empty where every sender is meant.
CREATE TABLE suppression (
    key TEXT NOT NULL,
    reason INTEGER NOT NULL,
    sender TEXT NOT NULL,
    note TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (key, reason, sender)
) STRICT, WITHOUT ROWID;

CREATE TABLE plan (
    id INTEGER PRIMARY KEY,
    relay INTEGER NOT NULL,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    by TEXT NOT NULL
) STRICT;
CREATE INDEX plan_of ON plan (relay);

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

-- When a pool last had transactional mail.
CREATE TABLE transactional (pool INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;

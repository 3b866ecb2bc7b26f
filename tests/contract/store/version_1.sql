-- A store of version 1 as the program of that version left it: spring is finished, summer was cancelled half-way, autumn is paused.
PRAGMA application_id = 1214998382;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
INSERT INTO "attempt" VALUES(1,4,4,3,2,20261125,1,1795642735317366,1795642735317481,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(2,2,4,3,2,20261125,1,1795642735317243,1795642735317521,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(3,8,4,3,2,20261125,1,1795642735317525,1795642735318144,6,550,NULL,'Unknown user u4@docomo.ne.jp',NULL,0,0,25,1,NULL);
INSERT INTO "attempt" VALUES(4,3,4,2,2,20261125,1,1795642735318185,1795642735318360,6,550,5001001,'<a2@example.co.jp>: Recipient address rejected: User unknown in virtual alias table',NULL,0,0,26,1,NULL);
INSERT INTO "attempt" VALUES(5,6,4,3,2,20261125,1,1795642735317501,1795642735318479,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(6,5,4,2,2,20261125,1,1795642735318394,1795642735318510,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(7,1,4,2,2,20261125,1,1795642735318107,1795642735318556,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(8,7,4,2,2,20261125,1,1795642735318517,1795642735318601,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(9,9,4,3,2,20261125,1,1795642736547771,1795642736547976,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
INSERT INTO "attempt" VALUES(10,10,4,3,2,20261125,1,1795642736547878,1795642736548010,8,250,2000000,'Ok: taken',NULL,6,NULL,NULL,1,NULL);
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
INSERT INTO "campaign" VALUES(1,'spring',1,'News <news@m.example.jp>',4,NULL,1795642735510157,1795642735007849,1,1,1795642734960454,NULL,2);
INSERT INTO "campaign" VALUES(2,'summer',1,'News <news@m.example.jp>',3,'by the operator',1795642737394715,1795642736159400,2,1,1795642736150299,NULL,2);
INSERT INTO "campaign" VALUES(3,'autumn',1,'News <news@m.example.jp>',2,'a wrong price',1795642736269407,1795642736221379,3,1,1795642736218213,NULL,2);
CREATE TABLE cell (
    start INTEGER NOT NULL,
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (start, relay, bucket)
) STRICT, WITHOUT ROWID;
INSERT INTO "cell" VALUES(1795642725000000,4,2,4);
INSERT INTO "cell" VALUES(1795642725000000,4,3,6);
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
CREATE TABLE counter (
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    place INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (campaign, bucket, place)
) STRICT, WITHOUT ROWID;
INSERT INTO "counter" VALUES(1,2,0,0);
INSERT INTO "counter" VALUES(1,2,3,0);
INSERT INTO "counter" VALUES(1,2,14,3);
INSERT INTO "counter" VALUES(1,2,15,1);
INSERT INTO "counter" VALUES(1,3,0,0);
INSERT INTO "counter" VALUES(1,3,3,0);
INSERT INTO "counter" VALUES(1,3,14,3);
INSERT INTO "counter" VALUES(1,3,15,1);
INSERT INTO "counter" VALUES(2,3,0,0);
INSERT INTO "counter" VALUES(2,3,3,0);
INSERT INTO "counter" VALUES(2,3,14,2);
INSERT INTO "counter" VALUES(2,3,17,1);
INSERT INTO "counter" VALUES(2,3,18,1);
INSERT INTO "counter" VALUES(3,2,0,3);
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
INSERT INTO "event" VALUES(1,1795642735512754,'campaign-ended','spring','every message of spring is in a final state');
CREATE TABLE final (
    message INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    at INTEGER NOT NULL,
    because TEXT,
    relay INTEGER,
    last_attempt INTEGER,
    attempts INTEGER NOT NULL
) STRICT;
INSERT INTO "final" VALUES(1,4,1795642735318556,NULL,4,7,1);
INSERT INTO "final" VALUES(2,4,1795642735317521,NULL,4,2,1);
INSERT INTO "final" VALUES(3,5,1795642735318360,NULL,4,4,1);
INSERT INTO "final" VALUES(4,4,1795642735317481,NULL,4,1,1);
INSERT INTO "final" VALUES(5,4,1795642735318510,NULL,4,6,1);
INSERT INTO "final" VALUES(6,4,1795642735318479,NULL,4,5,1);
INSERT INTO "final" VALUES(7,4,1795642735318601,NULL,4,8,1);
INSERT INTO "final" VALUES(8,5,1795642735318144,NULL,4,3,1);
INSERT INTO "final" VALUES(9,4,1795642736547976,NULL,4,9,1);
INSERT INTO "final" VALUES(10,4,1795642736548010,NULL,4,10,1);
INSERT INTO "final" VALUES(11,8,1795642737448797,'its campaign was cancelled',NULL,NULL,0);
INSERT INTO "final" VALUES(12,7,1795642736165143,'unknown since 2026-11-25T21:38:55.318144Z: 550 Unknown user u4@docomo.ne.jp',NULL,NULL,0);
CREATE TABLE later (
    due INTEGER NOT NULL,
    message INTEGER NOT NULL,
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    PRIMARY KEY (due, message)
) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
    relay INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    owner TEXT,
    since INTEGER NOT NULL
) STRICT;
INSERT INTO "lease" VALUES(4,3,NULL,1795642737444800);
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
INSERT INTO "ledger" VALUES(4,2,20261125,1,100,100,4,0,0,3,0,1,0);
INSERT INTO "ledger" VALUES(4,3,20261125,1,6,6,6,0,0,5,0,1,1);
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
INSERT INTO "message" VALUES(1,1,2,0,0,'a1@example.co.jp',NULL,'{"email":"a1@example.co.jp","name":"Nr 1"}');
INSERT INTO "message" VALUES(2,1,3,0,0,'u1@docomo.ne.jp',NULL,'{"email":"u1@docomo.ne.jp","name":"Nr 1"}');
INSERT INTO "message" VALUES(3,1,2,0,0,'a2@example.co.jp',NULL,'{"email":"a2@example.co.jp","name":"Nr 2"}');
INSERT INTO "message" VALUES(4,1,3,0,0,'u2@docomo.ne.jp',NULL,'{"email":"u2@docomo.ne.jp","name":"Nr 2"}');
INSERT INTO "message" VALUES(5,1,2,0,0,'a3@example.co.jp',NULL,'{"email":"a3@example.co.jp","name":"Nr 3"}');
INSERT INTO "message" VALUES(6,1,3,0,0,'u3@docomo.ne.jp',NULL,'{"email":"u3@docomo.ne.jp","name":"Nr 3"}');
INSERT INTO "message" VALUES(7,1,2,0,0,'a4@example.co.jp',NULL,'{"email":"a4@example.co.jp","name":"Nr 4"}');
INSERT INTO "message" VALUES(8,1,3,0,0,'u4@docomo.ne.jp',NULL,'{"email":"u4@docomo.ne.jp","name":"Nr 4"}');
INSERT INTO "message" VALUES(9,2,3,0,0,'u1@docomo.ne.jp',NULL,'{"email":"u1@docomo.ne.jp","name":"Nr 1"}');
INSERT INTO "message" VALUES(10,2,3,0,0,'u2@docomo.ne.jp',NULL,'{"email":"u2@docomo.ne.jp","name":"Nr 2"}');
INSERT INTO "message" VALUES(11,2,3,0,0,'u3@docomo.ne.jp',NULL,'{"email":"u3@docomo.ne.jp","name":"Nr 3"}');
INSERT INTO "message" VALUES(12,2,3,0,0,'u4@docomo.ne.jp',NULL,'{"email":"u4@docomo.ne.jp","name":"Nr 4"}');
INSERT INTO "message" VALUES(13,3,2,0,0,'b1@example.co.jp',NULL,'{"email":"b1@example.co.jp","name":"Nr 1"}');
INSERT INTO "message" VALUES(14,3,2,0,0,'b2@example.co.jp',NULL,'{"email":"b2@example.co.jp","name":"Nr 2"}');
INSERT INTO "message" VALUES(15,3,2,0,0,'b3@example.co.jp',NULL,'{"email":"b3@example.co.jp","name":"Nr 3"}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('generation',3);
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO "name" VALUES(1,'news');
INSERT INTO "name" VALUES(2,'default');
INSERT INTO "name" VALUES(3,'docomo');
INSERT INTO "name" VALUES(4,'one');
INSERT INTO "name" VALUES(5,'au');
INSERT INTO "name" VALUES(6,'biglobe');
INSERT INTO "name" VALUES(7,'docomo-legacy');
INSERT INTO "name" VALUES(8,'google');
INSERT INTO "name" VALUES(9,'icloud');
INSERT INTO "name" VALUES(10,'jcom');
INSERT INTO "name" VALUES(11,'jp-freemail-other');
INSERT INTO "name" VALUES(12,'jp-isp-other');
INSERT INTO "name" VALUES(13,'kddi-isp');
INSERT INTO "name" VALUES(14,'microsoft365');
INSERT INTO "name" VALUES(15,'mvno');
INSERT INTO "name" VALUES(16,'nifty');
INSERT INTO "name" VALUES(17,'ocn');
INSERT INTO "name" VALUES(18,'outlook');
INSERT INTO "name" VALUES(19,'plala');
INSERT INTO "name" VALUES(20,'rakuten');
INSERT INTO "name" VALUES(21,'softbank');
INSERT INTO "name" VALUES(22,'sonet');
INSERT INTO "name" VALUES(23,'yahoo-inc');
INSERT INTO "name" VALUES(24,'yahoo-jp');
INSERT INTO "name" VALUES(25,'docomo-unknown');
INSERT INTO "name" VALUES(26,'postfix-unknown');
CREATE TABLE need (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    n INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (relay, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE parked (
    message INTEGER PRIMARY KEY,
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    at INTEGER NOT NULL,
    because TEXT NOT NULL
) STRICT;
CREATE TABLE pause (
    scope TEXT NOT NULL,
    cause INTEGER NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    times INTEGER NOT NULL,
    PRIMARY KEY (scope, cause)
) STRICT, WITHOUT ROWID;
CREATE TABLE plan (
    id INTEGER PRIMARY KEY,
    relay INTEGER NOT NULL,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    by TEXT NOT NULL
) STRICT;
INSERT INTO "plan" VALUES(1,4,1795642735100991,'plan','plan: plan
timezone: Etc/UTC
defaults: { window: "00:00-24:00", spread: asap }
groups:
  default: { curve: [100], rate: 100/s, avoid: { minutes: [] } }
  docomo: { curve: [6], rate: 100/s, avoid: { minutes: [] } }
','vm, process 9662');
CREATE TABLE ready (
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    tier INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (campaign, bucket, tier, rank, message)
) STRICT, WITHOUT ROWID;
INSERT INTO "ready" VALUES(3,2,1,0,13);
INSERT INTO "ready" VALUES(3,2,1,0,14);
INSERT INTO "ready" VALUES(3,2,1,0,15);
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
INSERT INTO "revision" VALUES(1,1,'{"campaign":"spring","from":"News <news@m.example.jp>","reply_to":null,"subject":"To {{ name }}","text":"{{ name }}\n{{ unsubscribe_url }}\n","html":null,"headers":[],"unsubscribe":{"url":"https://example.jp/u/{token}","mailto":null,"one_click":true}}',1795642734960454,NULL,NULL,2,1,'4384ad72ad07a4424aab466e343dcc156dea16770fe80e874511efba7a76ef58',1795642735007849);
INSERT INTO "revision" VALUES(2,2,'{"campaign":"summer","from":"News <news@m.example.jp>","reply_to":null,"subject":"To {{ name }}","text":"{{ name }}\n{{ unsubscribe_url }}\n","html":null,"headers":[],"unsubscribe":{"url":"https://example.jp/u/{token}","mailto":null,"one_click":true}}',1795642736150299,NULL,NULL,2,1,'797da2073ea2f48a0a6aa5137e92c3ea1ead6bf5905ddca9f3f0a347913a3589',1795642736159400);
INSERT INTO "revision" VALUES(3,3,'{"campaign":"autumn","from":"News <news@m.example.jp>","reply_to":null,"subject":"To {{ name }}","text":"{{ name }}\n{{ unsubscribe_url }}\n","html":null,"headers":[],"unsubscribe":{"url":"https://example.jp/u/{token}","mailto":null,"one_click":true}}',1795642736218213,NULL,NULL,2,1,'458ccebdc50ad8a062bd8c9c86ce9abea21b1509e8011977419742087ca83880',1795642736221379);
CREATE TABLE suppression (
    key TEXT NOT NULL,
    reason INTEGER NOT NULL,
    sender TEXT NOT NULL,
    note TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (key, reason, sender)
) STRICT, WITHOUT ROWID;
INSERT INTO "suppression" VALUES('a2@example.co.jp',0,'','550 5.1.1 <a2@example.co.jp>: Recipient address rejected: User unknown in virtual alias table',1795642735318360);
INSERT INTO "suppression" VALUES('u4@docomo.ne.jp',0,'','550 Unknown user u4@docomo.ne.jp',1795642735318144);
CREATE TABLE transactional (pool INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
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
CREATE INDEX campaign_state ON campaign (state);
CREATE UNIQUE INDEX message_key ON message (key, campaign);
CREATE INDEX message_list ON message (campaign);
CREATE INDEX later_of ON later (campaign, message);
CREATE INDEX parked_of ON parked (campaign);
CREATE INDEX attempt_of_lane ON attempt (relay, bucket, day);
CREATE INDEX lost_of_lane ON lost (relay, bucket, day);
CREATE INDEX plan_of ON plan (relay);
COMMIT;

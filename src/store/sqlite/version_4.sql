-- Version 4: how each plan day was answered, what a lane carries from day to day, and who or what decided.

-- Distinct messages of the day: tried; last answered by a deferral that speaks of the lane; unknown users. Answers that blocked.
ALTER TABLE ledger ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN put_off INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN blocks INTEGER NOT NULL DEFAULT 0;
-- The ramp: core::lane::Ramp.
ALTER TABLE ledger ADD COLUMN idle INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN peak INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN ceiling INTEGER;
ALTER TABLE ledger ADD COLUMN held TEXT;
ALTER TABLE ledger ADD COLUMN eased INTEGER NOT NULL DEFAULT 1000;
ALTER TABLE ledger ADD COLUMN eased_because TEXT;
-- Days of before this version were judged by volume: what was answered then is taken as tried.
UPDATE ledger SET tried = accepted + bounced, peak = CASE WHEN spent > 0 THEN quota ELSE 0 END;

-- Whether it was a deferral that speaks of the lane.
ALTER TABLE attempt ADD COLUMN put_off INTEGER NOT NULL DEFAULT 0;

-- Messages that were delayed and of which nothing more was heard.
ALTER TABLE health ADD COLUMN put_off INTEGER NOT NULL DEFAULT 0;
UPDATE health SET put_off = max(0, delayed - delivered - bounced);

ALTER TABLE verdict ADD COLUMN inputs TEXT NOT NULL DEFAULT '{}';

-- Append only. relay and bucket are numbers of names; kind is core::journal::Kind's word; inputs a JSON object of texts.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    relay INTEGER,
    bucket INTEGER,
    day INTEGER,
    kind TEXT NOT NULL,
    because TEXT NOT NULL,
    inputs TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL
) STRICT;
CREATE INDEX journal_of ON journal (relay, bucket, id);

-- What operators ordered about lanes and the relay's owner has not done yet. A number is never used again: the owner remembers
-- which it has done.
CREATE TABLE lane_order (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    course TEXT NOT NULL,
    warmup_day INTEGER,
    by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX lane_order_of ON lane_order (relay);

-- Version 2: details of messages and attempts may be folded into counts; a campaign's seeds are found at once.

-- When the last message of a campaign that is over became final; null before that. Nothing is ever added to such a campaign.
ALTER TABLE campaign ADD COLUMN ended INTEGER;
-- A finished one changed its state then; one that was cancelled may have had mail in the air for a while.
UPDATE campaign SET ended = CASE state WHEN 4 THEN changed ELSE max(changed, coalesce(
        (SELECT max(f.at) FROM message m JOIN final f ON f.message = m.id WHERE m.campaign = campaign.id), changed)) END
    WHERE state IN (3, 4) AND NOT EXISTS (SELECT 1 FROM counter n WHERE n.campaign = campaign.id AND n.place <= 4 AND n.n > 0);
CREATE INDEX campaign_ended ON campaign (ended);
CREATE INDEX campaign_open ON campaign (state) WHERE ended IS NULL;

-- Messages without a row of their own any more. day: the local day on which the state began. `counter` counts them still.
CREATE TABLE folded (
    campaign INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    state INTEGER NOT NULL,
    day INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n > 0),
    PRIMARY KEY (campaign, bucket, state, day)
) STRICT, WITHOUT ROWID;

-- Their rows of `attempt` and `lost`. day: the plan day that paid.
CREATE TABLE folded_attempt (
    relay INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    day INTEGER NOT NULL,
    warmup_day INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    PRIMARY KEY (relay, bucket, day, warmup_day)
) STRICT, WITHOUT ROWID;

CREATE INDEX lost_of_message ON lost (message);

-- Seeds: store::SEED_SCORE.
CREATE INDEX message_seed ON message (campaign) WHERE score >= 2000000000000000;

-- migrate:up
-- From which networks calls of other systems were refused last, until something of theirs is accepted.
CREATE TABLE refusals (
    sender     text NOT NULL,
    network    text NOT NULL,
    refused_at timestamptz NOT NULL,
    PRIMARY KEY (sender, network)
);

-- migrate:down
DROP TABLE refusals;

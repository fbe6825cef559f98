-- migrate:up
-- The index of the partitions as one: nothing is built, it is there at once.
CREATE INDEX workflow_event_trace ON ONLY workflow_event (substr(traceparent, 4, 32));
ALTER INDEX workflow_event_trace ATTACH PARTITION workflow_event_0_trace;
ALTER INDEX workflow_event_trace ATTACH PARTITION workflow_event_1_trace;
ALTER INDEX workflow_event_trace ATTACH PARTITION workflow_event_2_trace;
ALTER INDEX workflow_event_trace ATTACH PARTITION workflow_event_3_trace;

-- migrate:down
DROP INDEX workflow_event_trace;

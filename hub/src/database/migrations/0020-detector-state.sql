-- What a detector knows about a series, so that a restart does not have to learn again.

-- One record a series and detector (layout: shared/src/detect/record.ts), rewritten at every snapshot that finds it changed.
create table detector_state (
  series_id   int not null references series,
  detector    text not null,
  state       bytea not null,
  -- newest event time taken in; null before the first reading
  frontier_us int8,
  readings    int8 not null,
  -- readings behind the frontier, left out
  late        int8 not null,
  updated_at  timestamptz not null default now(),
  primary key (series_id, detector)
) with (fillfactor = 50);
-- Under 2 KB and incompressible in the long run.
alter table detector_state alter column state set storage external;

-- How far the rows above are behind the anomalies. Memory = snapshot + the records in `pending`, in the order of their offsets:
-- whoever takes over reads those again from the log. Moves in every transaction of the consumer; `pending` is emptied by the
-- transaction that writes a snapshot.
create table detector_checkpoint (
  partition   int primary key,
  last_offset int8 not null,
  -- SHA-256 of that record's batch: tells another log under the same name
  last_digest bytea not null,
  pending     int8multirange not null,
  snapshot_at timestamptz not null default now()
) with (fillfactor = 50);

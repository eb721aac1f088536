-- One row a series and minute, always computed from all stored readings of that minute, so that the order of arrival does not show.

create table rollup_1m (
  series_id int not null,
  bucket    timestamptz not null,
  -- readings of any kind and quality
  readings  int not null,
  -- of them, those that the rest is about: numbers and booleans that are not bad
  n         int not null,
  -- null when n = 0; sum, mean and m2 also when a value is beyond ±1e150
  sum       float8,
  mean      float8,
  -- sum of squared differences from the mean
  m2        float8,
  min       float8,
  max       float8,
  first     float8,
  last      float8,
  primary key (series_id, bucket)
);

-- Minutes whose readings changed: inserted with the readings, in their transaction, taken by the recompute worker. Rows may repeat:
-- a unique row that is there already could be taken by the worker just before its new readings are committed.
create table rollup_dirty (
  series_id int not null,
  bucket    timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create index rollup_dirty_bucket on rollup_dirty (bucket, series_id);

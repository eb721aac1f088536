-- Aggregates that agents sent: windows of one series over event time, each merged from its parts.

-- Partitioned by start, a table a month: a minute a series is 44,640 rows of about 200 bytes in one. Tables are made ahead and on demand.
create table aggregate (
  series_id int not null,
  -- of the window, which is [start, start + size_us)
  start     timestamptz not null,
  size_us   int8 not null,
  -- windows start every hop_us; smaller than size_us when they overlap
  hop_us    int8 not null,
  -- of the parts merged so far, ascending: a part that is among them is a repeat
  revisions int8[] not null,
  -- numbers and booleans that are not bad
  n         int8 not null,
  -- the doubles nearest to the exact values; sum is infinite, and m2 too, beyond the largest double
  sum       float8 not null,
  mean      float8 not null,
  m2        float8 not null,
  min       float8 not null,
  max       float8 not null,
  first_us  int8 not null,
  first     float8 not null,
  last_us   int8 not null,
  last      float8 not null,
  -- all of it, exactly, with the sketch if there is one (shared/src/window/aggregate-codec.ts): what merges
  data      bytea not null,
  primary key (series_id, start, size_us, hop_us)
) partition by range (start);

do $$
begin
  alter table aggregate alter column data set compression lz4;
exception when feature_not_supported or invalid_parameter_value then
  raise notice 'this server has no lz4: aggregates are compressed with pglz';
end $$;

-- The aggregates of one series whose windows start in [from_ts, to_ts), by start, shortest first. Inlined like readings(), so that
-- constants or parameters prune tables and the primary key gives the range.
create function aggregates(series int, from_ts timestamptz, to_ts timestamptz)
returns table (start timestamptz, size interval, hop interval, parts int, n int8, sum float8, mean float8, m2 float8, min float8,
               max float8, first_ts timestamptz, first float8, last_ts timestamptz, last float8)
language sql stable
begin atomic
  select a.start, a.size_us * interval '1 microsecond', a.hop_us * interval '1 microsecond', cardinality(a.revisions), a.n, a.sum, a.mean, a.m2, a.min,
         a.max, 'epoch'::timestamptz + a.first_us * interval '1 microsecond', a.first,
         'epoch'::timestamptz + a.last_us * interval '1 microsecond', a.last
  from aggregate a
  where a.series_id = aggregates.series and a.start >= aggregates.from_ts and a.start < aggregates.to_ts
  order by a.start, a.size_us, a.hop_us;
end;

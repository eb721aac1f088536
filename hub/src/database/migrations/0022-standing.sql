-- What stands: the newest reading of a series, how much is stored, how fast it comes, what an agent still holds. Kept by the store in
-- the transaction of the readings, so that to look at a fleet reads a row a series and not its segments.

create table series_latest (
  series_id int primary key references series,
  -- stored since the first, of any kind and quality; only ever grows, also when retention takes readings away
  readings  int8 not null,
  -- of the reading with the newest time (of several the one that came last): value and text as in the view reading
  ts_us     int8 not null,
  value     float8,
  text      text,
  quality   int2 not null
) with (fillfactor = 50);

-- Readings that are stored, by the partition of the event log that they came through, so that consumers do not wait for each other.
-- Partition −1: what was stored before this table was there, less what retention took away.
create table stored_count (
  partition int primary key,
  readings  int8 not null
) with (fillfactor = 10);

-- Readings stored in each of the last 16 seconds: a ring a partition.
create table stored_pace (
  partition int not null,
  slot      int not null,
  -- since 1970
  second    int8 not null,
  readings  int8 not null,
  primary key (partition, slot)
) with (fillfactor = 50);

alter table agent
  -- of the header in `counters`: its place in its epoch, and the gateway's clock when it was sealed; null before this column was there
  add column header_seq bigint,
  add column header_wall_us bigint,
  -- of its batches taken by the store, less what has to be left out of account (store/agent-headers.ts)
  add column received_readings bigint not null default 0,
  -- newest event time stored
  add column last_reading_us bigint;

create index anomaly_open on anomaly (series_id) where closed_us is null;
create index anomaly_updated on anomaly (updated_at);

-- Readings within a segment stand in order of time.
insert into series_latest (series_id, readings, ts_us, value, text, quality)
select distinct on (g.series_id)
       g.series_id, sum(g.n) over (partition by g.series_id), (extract(epoch from g.t1) * 1000000)::int8, g.v[g.n],
       case when g.booleans then case when g.v[g.n] = 1 then 'true' else 'false' end else g.s[g.n] end, coalesce(g.q[g.n], 0)
from segment g
order by g.series_id, g.t1 desc, g.segment_id desc;

insert into stored_count (partition, readings) select -1, coalesce(sum(readings), 0) from series_latest;

update agent a
set last_reading_us = (select max(l.ts_us) from series s join series_latest l using (series_id) where s.agent_no = a.agent_no),
    -- how much of these was received is not known: as if the agent had held nothing more when it was last heard
    received_readings = coalesce((a.counters ->> 'stored')::int8, 0);

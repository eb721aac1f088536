-- Readings as stored: segments, each a run of readings of one series as arrays.

create sequence segment_id_seq;

-- Partitioned by t0: a table a day, a table a month for what was old when it came. Tables are made ahead and on demand, never by
-- default. A segment lies within one UTC day and one table. Time of reading i: t0 + coalesce(dt[i], i − 1) · tick_us.
create table segment (
  series_id  int not null,
  -- order of arrival, among readings of equal time
  segment_id int8 not null default nextval('segment_id_seq'),
  t0         timestamptz not null,
  t1         timestamptz not null,
  n          int not null,
  -- unit of dt; the interval when dt is null
  tick_us    int8 not null,
  -- every v is a boolean: 0 or 1, text is 'false' or 'true'
  booleans   bool not null,
  -- null: regular
  dt         int4[],
  -- null: strings only; a null element: a string, in s
  v          float8[],
  s          text[],
  -- null: all good
  q          int2[],
  primary key (series_id, t0, segment_id)
) partition by range (t0);

-- lz4 where the server has it (3–5 times faster than pglz at the same size); without it pglz stays.
do $$
begin
  alter table segment alter column dt set compression lz4, alter column v set compression lz4,
                      alter column s set compression lz4, alter column q set compression lz4;
exception when feature_not_supported or invalid_parameter_value then
  raise notice 'this server has no lz4: segments are compressed with pglz';
end $$;

-- For people, to browse. For a span of time use readings(): a condition on ts of this view prunes nothing.
create view reading as
select g.series_id,
       g.t0 + (coalesce(p.dt, p.i - 1) * g.tick_us) * interval '1 microsecond' as ts,
       p.v as value,
       case when g.booleans then case when p.v = 1 then 'true' else 'false' end else p.s end as text,
       coalesce(p.q, 0::int2) as quality
from segment g
cross join lateral unnest(g.v, g.s, g.dt, g.q) with ordinality as p (v, s, dt, q, i);

-- The readings of one series in [from_ts, to_ts), by time, then arrival. Written so that the planner inlines it (one STABLE SQL
-- select): constants or parameters then prune tables, and the primary key gives the range. No segment is longer than a day, so
-- that t0 needs to be looked for no more than 24 hours before from_ts.
create function readings(series int, from_ts timestamptz, to_ts timestamptz)
returns table (ts timestamptz, value float8, text text, quality int2)
language sql stable
begin atomic
  select at.ts, p.v, case when g.booleans then case when p.v = 1 then 'true' else 'false' end else p.s end, coalesce(p.q, 0::int2)
  from segment g
  cross join lateral unnest(g.v, g.s, g.dt, g.q) with ordinality as p (v, s, dt, q, i)
  cross join lateral (select g.t0 + (coalesce(p.dt, p.i - 1) * g.tick_us) * interval '1 microsecond') as at (ts)
  where g.series_id = readings.series
    and g.t0 >= readings.from_ts - interval '24 hours'
    and g.t0 < readings.to_ts
    and g.t1 >= readings.from_ts
    and at.ts >= readings.from_ts
    and at.ts < readings.to_ts
  order by at.ts, g.segment_id, p.i;
end;

-- The event log as tables, for a hub without Kafka.

-- One row a partition. Appending updates it inside the appending transaction: whoever comes later waits for that row, so that the
-- order of offsets is the order of commits. (A sequence hands out a later offset that may commit first; a consumer that passed it
-- never sees the earlier one.)
create table log_head (
  topic       text not null,
  partition   int not null,
  next_offset int8 not null default 0,
  primary key (topic, partition)
) with (fillfactor = 50);

-- Partitioned by the time of appending, so that old records go by DROP TABLE. Tables are made ahead and on demand; there is no
-- default partition, because making a table beside one has to scan it under a lock.
create table log_record (
  topic      text not null,
  partition  int not null,
  log_offset int8 not null,
  at         timestamptz not null default now(),
  key        text not null,
  bytes      bytea not null,
  primary key (topic, partition, log_offset, at)
) partition by range (at);
-- Batches arrive compressed.
alter table log_record alter column bytes set storage external;

-- A running member of a consumer group. It is alive while its lease has not run out and its connection is there: a killed process
-- is seen at once, a frozen one after its lease.
create table log_member (
  member        uuid primary key,
  topic         text not null,
  consumer      text not null,
  backend_pid   int not null,
  backend_start timestamptz not null,
  expires_at    timestamptz not null
);

create view log_member_alive as
select m.member, m.topic, m.consumer
from log_member m
where m.expires_at > now()
  and exists (select from pg_stat_activity a where a.pid = m.backend_pid and a.backend_start = m.backend_start);

-- Which member has which partition, and how far its group has come (for lag and for dropping; consumers keep their own position).
create table log_lease (
  topic       text not null,
  consumer    text not null,
  partition   int not null,
  member      uuid,
  next_offset int8 not null default 0,
  primary key (topic, consumer, partition)
) with (fillfactor = 50);

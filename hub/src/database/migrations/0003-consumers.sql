-- What each consumer of the event log has done: its position, and the identities that it has recorded.

-- Moves in the transaction of the consumer's effect, and only for its owner: UPDATE … WHERE owner = me AND next_offset = expected.
create table consumer_position (
  consumer    text not null,
  topic       text not null,
  partition   int not null,
  next_offset int8 not null default 0,
  owner       uuid,
  -- SHA-256 of the record before next_offset: tells another log under the same name
  last_record bytea,
  moved_at    timestamptz not null default now(),
  primary key (consumer, topic, partition)
) with (fillfactor = 50);

-- The batch identities (agent, epoch, seq) whose effect is committed, as ranges of seq. A record is left out only because its
-- identity is here. What an agent reports as lost stands apart, so that a batch that turns up after all is still taken.
create table received (
  consumer text not null,
  agent_no int not null references agent,
  epoch    int8 not null,
  seqs     int8multirange not null default '{}',
  lost     int8multirange not null default '{}',
  primary key (consumer, agent_no, epoch)
) with (fillfactor = 50);

-- The digest of each batch, 30 days: the same identity with another digest is a conflict (a cloned or restored gateway).
create table batch_digest (
  agent_no int not null,
  epoch    int8 not null,
  seq      int8 not null,
  digest   bytea not null,
  at       timestamptz not null default now()
) partition by range (at);
create index batch_digest_identity on batch_digest (agent_no, epoch, seq);

-- The agents' loss ledger: what they had promised and no longer have.
create table loss (
  agent_no    int not null references agent,
  epoch       int8 not null,
  from_seq    int8 not null,
  to_seq      int8 not null,
  readings    int8 not null,
  exact       boolean not null,
  reason      text not null,
  reported_at timestamptz not null default now(),
  primary key (agent_no, epoch, from_seq, to_seq, reason)
);

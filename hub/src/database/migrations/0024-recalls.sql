-- Ranges of readings that somebody asked an agent to send after all: it had folded them, or kept them back.

create table recall (
  recall_id    bigint generated always as identity primary key,
  agent_no     int not null references agent,
  device       text not null,
  metric       text not null,
  -- from_us ≤ time < to_us
  from_us      int8 not null,
  to_us        int8 not null check (to_us > from_us),
  requested_at timestamptz not null default now(),
  -- id of the API key that asked; null from the command line without one
  requested_by text,
  -- first given to the agent
  sent_at      timestamptz,
  -- told by the agent, in the transaction of the batch that tells it; all three or none
  done_at      timestamptz,
  readings     int8,
  complete     boolean,
  check ((done_at is null) = (readings is null) and (done_at is null) = (complete is null))
);
create index recall_agent on recall (agent_no, recall_id);
create index recall_open on recall (agent_no, recall_id) where done_at is null;

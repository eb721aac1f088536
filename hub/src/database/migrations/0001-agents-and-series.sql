-- Who sends, and what they send: the rows every other table refers to.

create table agent (
  agent_no     int generated always as identity primary key,
  agent_id     text not null unique,
  site         text not null,
  name         text not null,
  labels       jsonb not null default '{}',
  created_at   timestamptz not null default now(),
  revoked_at   timestamptz,
  last_seen_at timestamptz,
  -- the newest header the store has seen: counters of promise 3, boot, epoch
  counters     jsonb,
  boot_id      text,
  epoch        bigint
);

-- A rotated key stays valid beside its successor until valid_until: overlap.
create table agent_key (
  public_key  bytea primary key check (octet_length(public_key) = 32),
  agent_no    int not null references agent,
  valid_from  timestamptz not null default now(),
  valid_until timestamptz
);
create index agent_key_agent on agent_key (agent_no);

-- Tokens are kept as SHA-256; token_id is the public part that lists and logs show.
create table enrollment_token (
  token_id   text primary key,
  token_hash bytea not null unique,
  site       text not null,
  labels     jsonb not null default '{}',
  -- set: the token gives this agent a new key (rotation); null: it makes a new agent
  agent_no   int references agent,
  uses       int not null check (uses > 0),
  used       int not null default 0 check (used <= uses),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);

-- Which key a token enrolled: the same request repeated after a lost answer finds its agent here.
create table enrollment (
  token_id    text not null references enrollment_token,
  public_key  bytea not null,
  agent_no    int not null references agent,
  enrolled_at timestamptz not null default now(),
  primary key (token_id, public_key)
);

-- Keys of people and machines for the REST API, as SHA-256.
create table api_key (
  key_id     text primary key,
  key_hash   bytea not null unique,
  role       text not null check (role in ('admin')),
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

create table series (
  series_id  int generated always as identity primary key,
  agent_no   int not null references agent,
  device     text not null,
  metric     text not null,
  unit       text not null default '',
  created_at timestamptz not null default now(),
  unique (agent_no, device, metric)
);

-- What was refused, at ingest or by a consumer: one row a batch and reason, with the bytes needed to look again.
create table dead_letter (
  dead_letter_id bigint generated always as identity primary key,
  at             timestamptz not null default now(),
  agent_no       int references agent,
  -- 'ingest' (readings judged and rejected) or a consumer's group (a record that poisoned its transaction)
  stage          text not null,
  reason         text not null,
  epoch          bigint,
  seq            bigint,
  readings       int not null,
  -- JSON for people: the first rejected readings, or the error
  detail         jsonb not null,
  bytes          bytea,
  -- a replay of the log writes the same letters once
  unique nulls not distinct (stage, reason, agent_no, epoch, seq)
);

create table anomaly (
  -- UUIDv5 of (series, detector, event time): a replay upserts
  anomaly_id uuid primary key,
  series_id  int not null references series,
  detector   text not null,
  opened_us  bigint not null,
  closed_us  bigint,
  -- highest S while open, score = 1 − 10^(−S)
  surprise   float8 not null,
  score      float8 not null,
  severity   text not null check (severity in ('warning', 'critical')),
  stream     text not null,
  value      float8,
  expected   float8,
  seen_before float8 not null,
  learning   boolean not null,
  historic   boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index anomaly_series_time on anomaly (series_id, opened_us);
create index anomaly_time on anomaly (opened_us);

-- People who opened the page with an API key: one row a browser.

create table session (
  -- SHA-256 of the token in the cookie
  token_hash bytea primary key check (octet_length(token_hash) = 32),
  key_id     text not null references api_key,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index session_key on session (key_id, created_at);
create index session_expiry on session (expires_at);

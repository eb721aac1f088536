-- Batches that came under an identity under which the hub has other contents: a gateway was cloned, or restored from an image. Each
-- other contents once, however often it comes. Kept as long as the digests that tell it.
create table conflict (
  agent_no int not null references agent,
  epoch    int8 not null,
  seq      int8 not null,
  -- SHA-256 of what came; what the hub has stands in batch_digest
  digest   bytea not null check (octet_length(digest) = 32),
  readings int not null,
  -- 'ingest': refused with 409, so that the gateway knows. 'store': the answer had been 200, and answers tell of it from then on
  seen_by  text not null check (seen_by in ('ingest', 'store')),
  at       timestamptz not null default now(),
  primary key (agent_no, epoch, seq, digest)
);

-- What is below an agent's floor of an epoch was sent or is in its ledger: what is neither received nor lost there is missing for good.
alter table received
  -- the highest that came with a batch of the epoch, and no higher than that batch's own seq
  add column floor int8 not null default 1,
  -- in the batches of `seqs`, refused ones included; null where the count has no known beginning
  add column readings int8;
alter table received alter column readings set default 0;

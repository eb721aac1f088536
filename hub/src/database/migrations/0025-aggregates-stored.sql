-- Parts of aggregates stored of a series, ever: tells those who look at it that it changed.
alter table series_latest add column aggregates int8 not null default 0;

/**
 * Sharing the partitions of a topic between the members of a group, through rows in Postgres.
 *
 * A member is alive while its heartbeat is younger than `leaseMs` and the connection that it was made on exists: a killed process
 * is replaced at once, a frozen one after its lease. Partitions are shared evenly; a member gives back what is above its share.
 * Inside its own process a member counts as stale, and delivers nothing, once its last heartbeat is `leaseMs` old. A member that
 * was frozen in the middle of a delivery may overlap with its successor: the owner token in the consumer's position catches that.
 */
import { randomUUID } from 'node:crypto'
import pg from 'pg'

export interface MembershipOptions {
  readonly connectionString: string
  readonly topic: string
  readonly group: string
  readonly leaseMs: number
  /** Some partition of this topic has new records: a hint, never relied on. */
  readonly onNotify: (partition: number) => void
  /** The connection broke: every partition counts as lost. */
  readonly onLost: (error: Error) => void
}

export const notifyChannel = 'tributary_log'

export class LogMembership {
  private readonly options: MembershipOptions
  private readonly client: pg.Client
  private readonly member = randomUUID()
  private heartbeatAt = 0
  private left = false
  private last: Promise<unknown> = Promise.resolve()

  private constructor(options: MembershipOptions, client: pg.Client) {
    this.options = options
    this.client = client
  }

  static async join(options: MembershipOptions): Promise<LogMembership> {
    const client = new pg.Client({
      connectionString: options.connectionString,
      application_name: `tributary ${options.group}`,
      statement_timeout: 30_000,
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    })
    const membership = new LogMembership(options, client)
    client.on('error', error => membership.lost(error))
    client.on('end', () => membership.lost(new Error('Connection terminated')))
    client.on('notification', ({ payload }) => membership.notified(payload ?? ''))
    await client.connect()
    await client.query(`listen ${notifyChannel}`)
    await client.query(
      `insert into log_member (member, topic, consumer, backend_pid, backend_start, expires_at)
       select $1, $2, $3, pid, backend_start, now() + $4 * interval '1 ms' from pg_stat_activity where pid = pg_backend_pid()`,
      [membership.member, options.topic, options.group, options.leaseMs],
    )
    return membership
  }

  /** Whether partitions may be worked on: the lease as this process sees it has not run out. */
  get fresh(): boolean {
    return !this.left && performance.now() - this.heartbeatAt < this.options.leaseMs
  }

  /** Renew the lease, give back and claim; returns every partition that is this member's now. */
  async heartbeat(running: readonly number[], stop: (partition: number) => Promise<void>): Promise<number[]> {
    const { topic, group, leaseMs } = this.options
    const startedAt = performance.now()
    await this.query(`update log_member set expires_at = now() + $2 * interval '1 ms' where member = $1`, [
      this.member,
      leaseMs,
    ])
    await this.query(
      `insert into log_lease (topic, consumer, partition)
       select topic, $2, partition from log_head where topic = $1
       on conflict do nothing`,
      [topic, group],
    )
    const { rows } = await this.query<{ partition: number; mine: boolean }>(
      `select partition, member is not distinct from $3 as mine from log_lease where topic = $1 and consumer = $2 order by partition`,
      [topic, group, this.member],
    )
    let mine = rows.filter(row => row.mine).map(({ partition }) => partition)
    for (const partition of running) if (!mine.includes(partition)) await stop(partition)
    const share = await this.share(rows.length)
    for (const partition of mine.slice(share)) {
      await stop(partition)
      await this.query(
        'update log_lease set member = null where topic = $1 and consumer = $2 and partition = $3 and member = $4',
        [topic, group, partition, this.member],
      )
    }
    mine = mine.slice(0, share)
    if (mine.length < share) mine.push(...(await this.claim(share - mine.length)))
    this.heartbeatAt = startedAt
    return mine
  }

  /** Remember how far the group has come; only while the partition is this member's. */
  async progress(partition: number, nextOffset: bigint): Promise<void> {
    await this.query(
      'update log_lease set next_offset = $5 where topic = $1 and consumer = $2 and partition = $3 and member = $4',
      [this.options.topic, this.options.group, partition, this.member, String(nextOffset)],
    )
  }

  /** Give everything back. */
  async leave(): Promise<void> {
    this.left = true
    try {
      await this.query('update log_lease set member = null where member = $1', [this.member])
      await this.query("delete from log_member where member = $1 or expires_at < now() - interval '1 hour'", [
        this.member,
      ])
    } finally {
      await this.client.end()
    }
  }

  /** How many partitions this member is due: members in the order of their ids, the first ones take the remainder. */
  private async share(partitions: number): Promise<number> {
    const { rows } = await this.query<{ member: string }>(
      'select member from log_member_alive where topic = $1 and consumer = $2 order by member',
      [this.options.topic, this.options.group],
    )
    const place = rows.findIndex(({ member }) => member === this.member)
    const members = Math.max(rows.length, 1)
    return Math.floor(partitions / members) + (place >= 0 && place < partitions % members ? 1 : 0)
  }

  private async claim(count: number): Promise<number[]> {
    const { rows } = await this.query<{ partition: number }>(
      `update log_lease set member = $3
       where topic = $1 and consumer = $2 and partition in (
         select partition from log_lease
         where topic = $1 and consumer = $2
           and (member is null or member not in (select member from log_member_alive))
         order by partition limit $4
         for update skip locked)
       returning partition`,
      [this.options.topic, this.options.group, this.member, count],
    )
    return rows.map(({ partition }) => partition)
  }

  /** Heartbeat and progress of several partitions share the connection: one statement at a time. */
  private query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<pg.QueryResult<Row>> {
    const result = this.last.then(() => this.client.query<Row>(text, [...values]))
    this.last = result.catch(() => undefined)
    return result
  }

  private notified(payload: string): void {
    const [topic, partition] = payload.split('/')
    if (topic === this.options.topic) this.options.onNotify(Number(partition))
  }

  private lost(error: Error): void {
    if (this.left) return
    this.left = true
    this.options.onLost(error)
  }
}

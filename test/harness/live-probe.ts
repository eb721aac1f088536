/**
 * One sensor that publishes numbered readings in real time, and somebody who looks for them in the hub's SQL: how long from the
 * publish until a query finds each of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { MqttDevice } from '../../firmware-sim/src/transports/mqtt-device.ts'

const device = 'live'
const metric = 'n'
const lookEveryMs = 100
/** A clock is read twice, here and at the device's payload: looked for from this much before. */
const marginMs = 1000

export class LiveProbe {
  readonly #pool: pg.Pool
  readonly #agentId: string
  readonly #device: MqttDevice
  readonly #everyMs: number
  /** Of readings not found yet: number → when it was published, ms. */
  readonly #outstanding = new Map<number, number>()
  readonly #tookMs: number[] = []
  readonly #stopping = new AbortController()
  readonly #unpublished = new Set<Promise<void>>()
  #loops: Promise<unknown>[] = []

  constructor(options: { pool: pg.Pool; agentId: string; mqttPort: number; perS: number }) {
    this.#pool = options.pool
    this.#agentId = options.agentId
    this.#everyMs = 1000 / options.perS
    const backoff = { baseMs: 50, capMs: 400 }
    this.#device = new MqttDevice({ port: options.mqttPort, clientId: 'proof-live', backoff })
  }

  start(): void {
    this.#loops = [this.#publish(), this.#look()]
  }

  /** Readings published and found so far. */
  get found(): number {
    return this.#tookMs.length
  }

  /** Ends the publishing, waits until all are found or `timeoutMs` have passed; one not found counts as that long. */
  async stop(timeoutMs: number): Promise<{ published: number; notFound: number; p50Ms: number; p99Ms: number }> {
    this.#stopping.abort()
    await this.#loops[0]
    await Promise.all(this.#unpublished)
    for (const endMs = Date.now() + timeoutMs; this.#outstanding.size > 0 && Date.now() < endMs; ) {
      await this.#findSome()
      await sleep(lookEveryMs)
    }
    await this.#loops[1]
    await this.#device.close()
    const nowMs = Date.now()
    const notFound = this.#outstanding.size
    for (const publishedMs of this.#outstanding.values()) this.#tookMs.push(Math.max(timeoutMs, nowMs - publishedMs))
    const sorted = [...this.#tookMs].sort((a, b) => a - b)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Infinity
    return { published: sorted.length, notFound, p50Ms: at(0.5), p99Ms: at(0.99) }
  }

  async #publish(): Promise<void> {
    const startMs = Date.now()
    for (let n = 0; !this.#stopping.signal.aborted; n++) {
      await sleep(Math.max(0, startMs + n * this.#everyMs - Date.now()))
      const nowMs = Date.now()
      this.#outstanding.set(n, nowMs)
      const published = this.#device
        .publish(`sensors/${device}/${metric}`, `{"value":${n},"ts":${nowMs * 1000 + (n % 1000)}}`, 1)
        .finally(() => this.#unpublished.delete(published))
      this.#unpublished.add(published)
    }
  }

  async #look(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#findSome()
      await sleep(lookEveryMs)
    }
  }

  async #findSome(): Promise<void> {
    const [oldestMs] = this.#outstanding.values()
    if (oldestMs === undefined) return
    const { rows } = await this.#pool.query<{ value: number }>(
      `select r.value from series s join agent a using (agent_no),
              readings(s.series_id, $2::timestamptz, now() + interval '1 minute') r
       where a.agent_id = $1 and s.device = $3 and s.metric = $4`,
      [this.#agentId, new Date(oldestMs - marginMs), device, metric],
    )
    const foundMs = Date.now()
    for (const { value } of rows) {
      const publishedMs = this.#outstanding.get(value)
      if (publishedMs === undefined) continue
      this.#tookMs.push(foundMs - publishedMs)
      this.#outstanding.delete(value)
    }
  }
}

/** For tests: an MQTT source over a buffer in memory whose commits a test can hold back, fail or let pass. */
import { TributaryError } from '@tributary/shared/errors'
import { pino } from 'pino'
import type { Message, Receipt } from '../../buffer/buffer.ts'
import { type MqttConfig, parseAgentConfig } from '../../config/agent-config.ts'
import { createDecoder } from '../../decode/decoder.ts'
import { MqttSource, type MqttSourceOptions } from './mqtt-source.ts'

export class MemoryBuffer {
  readonly messages: Message[] = []
  readonly released: string[] = []
  /** `pass`: commit on the next turn; `hold`: when `commit` is called; `fail`: never. */
  mode: 'pass' | 'hold' | 'fail' = 'pass'
  readonly #restored: readonly Receipt[]
  #held: (() => void)[] = []
  #listeners: ((writable: boolean) => void)[] = []

  constructor(restored: readonly Receipt[] = []) {
    this.#restored = restored
  }

  accept(message: Message, done: (error: TributaryError | null) => void): void {
    if (this.mode === 'fail') {
      setImmediate(done, new TributaryError('storage', 'no room'))
      return
    }
    this.#commit(() => {
      this.messages.push(message)
      done(null)
    })
  }

  receipts(): readonly Receipt[] {
    return this.#restored
  }

  release(scope: string, id: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#commit(() => {
      this.released.push(`${scope} ${id}`)
      resolve()
    })
    return promise
  }

  onWritable(listener: (writable: boolean) => void): void {
    this.#listeners.push(listener)
  }

  setWritable(writable: boolean): void {
    for (const listener of this.#listeners) listener(writable)
  }

  /** Commit all that is held. */
  commit(): void {
    const held = this.#held
    this.#held = []
    for (const run of held) run()
  }

  get held(): number {
    return this.#held.length
  }

  /** What a restart would find: the last receipt of every scope and id, without what was released. */
  survivors(): Receipt[] {
    const latest = new Map(
      [...this.#restored, ...this.messages.flatMap(({ receipt }) => receipt ?? [])].map(r => [`${r.scope} ${r.id}`, r]),
    )
    for (const key of this.released) latest.delete(key)
    return [...latest.values()]
  }

  get values(): unknown[] {
    return this.messages.flatMap(({ readings }) => readings.map(({ value }) => value))
  }

  #commit(run: () => void): void {
    if (this.mode === 'hold') this.#held.push(run)
    else setImmediate(run)
  }
}

export interface TestSource {
  readonly source: MqttSource
  readonly buffer: MemoryBuffer
  readonly port: number
}

/** A source on a free port of loopback. Close it with `source.stop()`. */
export async function startSource(
  given: { buffer?: MemoryBuffer; config?: Partial<MqttConfig> } & Partial<
    Pick<MqttSourceOptions, 'users' | 'monotonicMs' | 'sabotage' | 'refuseIfTaken' | 'retry'>
  > = {},
): Promise<TestSource> {
  const buffer = given.buffer ?? new MemoryBuffer()
  const config = { ...parseAgentConfig('', 'test', {}).mqtt, port: 0, ...given.config }
  const source = new MqttSource({
    config,
    users: given.users ?? [],
    accept: (message, done) => buffer.accept(message, done),
    buffer,
    decoder: createDecoder({ routes: [], maxPayloadBytes: config.maxPayload }),
    maxReceipts: 1000,
    log: pino({ level: 'silent' }),
    sabotage: given.sabotage ?? { ackBeforeCommit: false, noDuplicateCheck: false },
    stamp: () => ({ tsUs: Date.now() * 1000, placed: true }),
    ...(given.monotonicMs && { monotonicMs: given.monotonicMs }),
    ...(given.refuseIfTaken !== undefined && { refuseIfTaken: given.refuseIfTaken }),
    ...(given.retry && { retry: given.retry }),
  })
  await source.start()
  return { source, buffer, port: source.port }
}

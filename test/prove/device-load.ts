/** The load of the proof `durability`: MQTT devices at QoS 1 and 2 that never give a message up, and what they sent and saw acknowledged. */
import { setTimeout as sleep } from 'node:timers/promises'
import { MqttDevice } from '../../firmware-sim/src/transports/mqtt-device.ts'
import { Multiset, readingKey } from '../harness/multiset.ts'

const devices = 24
const inFlightEach = 10
/** A device waits this long between messages, so that a round of kills stays comparable in memory. */
const burstPauseMs = 60
const stopTimeoutMs = 120_000

export class DeviceLoad {
  readonly sent = new Multiset()
  readonly acknowledged = new Multiset()
  readonly byQos: Record<string, number> = { '1': 0, '2': 0 }
  outstanding = 0
  readonly #devices: MqttDevice[] = []
  readonly #loops: Promise<void>[] = []
  readonly #recentMs: number[] = []
  #listener: (() => void) | null = null
  #stopping = false

  constructor(port: number) {
    for (let i = 0; i < devices; i++) {
      const device = new MqttDevice({ port, clientId: `proof-${i}`, backoff: { baseMs: 50, capMs: 400 } })
      this.#devices.push(device)
      for (let slot = 0; slot < inFlightEach; slot++) {
        const loop = this.#publish(device, `dev${i}`, slot, i % 2 === 0 ? 1 : 2)
        loop.catch(() => undefined) // abandoned: `stop` has waited for it
        this.#loops.push(loop)
      }
    }
  }

  async #publish(device: MqttDevice, name: string, slot: number, qos: 1 | 2): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const tsUs = Date.now() * 1000 + slot
      const value = n % 50 === 0 ? -0 : Math.fround(20 + Math.sin(n / 9 + slot)) + n / 1e6
      const key = readingKey(name, `m${slot}`, tsUs, value)
      this.sent.add(key)
      this.outstanding++
      const text = Object.is(value, -0) ? '-0.0' : String(value)
      await device.publish(`sensors/${name}/m${slot}`, `{"value":${text},"ts":${tsUs},"seq":${n}}`, qos)
      this.outstanding--
      this.acknowledged.add(key)
      this.byQos[qos]!++
      this.#heard()
      await sleep(burstPauseMs)
    }
  }

  #heard(): void {
    const now = performance.now()
    this.#recentMs.push(now)
    if (this.#recentMs.length > 4096) this.#recentMs.splice(0, 2048)
    const listener = this.#listener
    this.#listener = null
    listener?.()
  }

  onceAcknowledged(listener: () => void): void {
    this.#listener = listener
  }

  acknowledgedWithinMs(ms: number): number {
    const since = performance.now() - ms
    return this.#recentMs.filter(at => at > since).length
  }

  /** Resolves when acknowledgements came in the first and in the last quarter of the past `ms`. */
  async flowing(ms: number): Promise<void> {
    const endMs = Date.now() + 60_000
    for (;;) {
      const now = performance.now()
      const early = this.#recentMs.some(at => at > now - ms && at < now - 0.75 * ms)
      const late = this.#recentMs.some(at => at > now - 0.25 * ms)
      if (early && late) return
      if (Date.now() > endMs) throw new Error('no acknowledgements for a minute: agent or hub did not come back')
      await sleep(50)
    }
  }

  /** No new messages; resolves when all are acknowledged, or after two minutes. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.race([Promise.all(this.#loops), sleep(stopTimeoutMs, undefined, { ref: false })])
  }

  async abandon(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#devices.map(device => device.close()))
  }
}

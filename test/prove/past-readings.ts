/**
 * Hours of readings in a few seconds: devices publish as fast as the agent takes, each payload with the time at which it would have
 * been measured. What is published is known by its count: every reading has a time of its own within its series.
 */
import type pg from 'pg'
import { createRandom } from '../../firmware-sim/src/signals/random.ts'
import { MqttDevice } from '../../firmware-sim/src/transports/mqtt-device.ts'

export const metricsEach = 10
const devices = 8
const inFlightEach = 60
const devicePrefix = 'past-'

export interface PastOptions {
  readonly mqttPort: number
  readonly readings: number
  /** As they came: so many a second, the last one just now. */
  readonly perS: number
  readonly seed: number
  /** Called about a hundred times on the way. */
  readonly onProgress?: () => Promise<void>
}

/** Resolves with the number of readings that were acknowledged, when all are. */
export async function publishPast(options: PastOptions): Promise<number> {
  const { mqttPort: port, readings, perS, seed, onProgress } = options
  const messages = Math.ceil(readings / metricsEach)
  const stepUs = (metricsEach / perS) * 1e6
  const firstUs = Date.now() * 1000 - Math.floor(messages * stepUs)
  const random = createRandom(String(seed), 'past readings')
  const clients = Array.from(
    { length: devices },
    (_, index) => new MqttDevice({ port, clientId: `${devicePrefix}${index}`, backoff: { baseMs: 50, capMs: 400 } }),
  )
  let next = 0
  let acknowledged = 0
  const every = Math.max(1, Math.floor(messages / 100))
  const publish = async (device: MqttDevice, name: string) => {
    for (let index = next++; index < messages; index = next++) {
      const tsUs = firstUs + Math.floor(index * stepUs)
      await device.publish(`sensors/${name}`, payload(tsUs, random.normal()), 1)
      acknowledged++
      if (acknowledged % every === 0) await onProgress?.()
    }
  }
  const slots = clients.flatMap((device, index) =>
    Array.from({ length: inFlightEach }, () => publish(device, `${devicePrefix}${index}`)),
  )
  await Promise.all(slots)
  await Promise.all(clients.map(device => device.close()))
  return acknowledged * metricsEach
}

/** A machine's ten values, with the noise of a real one. */
function payload(tsUs: number, noise: number): string {
  const hours = tsUs / 3600e6
  const values = Array.from({ length: metricsEach }, (_, metric) => {
    const value = 20 + 5 * metric + 3 * Math.sin(hours * 6.28 + metric) + noise * 0.1 * (metric + 1)
    return `"m${metric}":${value.toFixed(2)}`
  })
  return `{"ts":${tsUs},${values.join(',')}}`
}

/** What the hub has of them: all, and how many different ones. */
export async function storedPast(pool: pg.Pool, agentId: string): Promise<{ stored: number; distinct: number }> {
  const { rows } = await pool.query<{ stored: number; distinct: number }>(
    `select coalesce(sum(of_series.stored), 0)::float8 as stored, coalesce(sum(of_series.times), 0)::float8 as distinct
     from (select count(*) as stored, count(distinct r.ts) as times
           from reading r join series s using (series_id) join agent a using (agent_no)
           where a.agent_id = $1 and s.device like $2 group by r.series_id) of_series`,
    [agentId, `${devicePrefix}%`],
  )
  return rows[0] ?? { stored: 0, distinct: 0 }
}

/** Stored data for tests of the console, sent as a gateway of its own in signed batches. */
import type { SeriesColumns } from '@tributary/shared/batch/batch'
import { enrolledGateway } from '../../hub/src/http/test-hub.ts'
import type { RunningHub } from '../harness/stack.ts'

export interface NamedReadings {
  readonly device: string
  readonly metric: string
  readonly unit: string
  readonly tsUs: Float64Array
  readonly values: Float64Array
}

const hourUs = 3600e6

/** Ten days of a machine every five minutes until now, with one failure of two hours thirty hours ago. */
export function machineReadings(): NamedReadings {
  const count = 2880
  const endUs = Date.now() * 1000
  const tsUs = Float64Array.from({ length: count }, (_, i) => Math.floor(endUs - (count - 1 - i) * (hourUs / 12)))
  const values = tsUs.map((ts, i) => {
    const hoursAgo = (endUs - ts) / hourUs
    if (hoursAgo > 28 && hoursAgo < 30) return 12 + Math.sin(i)
    return 85 + 4 * Math.sin(i / 46) + Math.sin(i * 12.9898) + 0.5 * Math.sin(i * 78.233)
  })
  return { device: 'press-1', metric: 'temperature', unit: 'Cel', tsUs, values }
}

/** Names that would do something if they were taken as HTML. */
export const hostile: readonly NamedReadings[] = [
  ['<img src=x onerror="window.harmed=1">', '<b class="hostile">flow</b>', '<script>window.harmed=1</script>'],
  ['"><svg onload=window.harmed=1>', '{{constructor}}', '&lt;i&gt;'],
].map(([device, metric, unit], i) => ({
  device: device!,
  metric: metric!,
  unit: unit!,
  tsUs: Float64Array.from({ length: 20 }, (_, n) => (Date.now() - (20 - n) * 60_000) * 1000),
  values: Float64Array.from({ length: 20 }, (_, n) => n + i),
}))

/** Enrols a gateway and sends each series as a batch. */
export async function sendReadings(hub: RunningHub, all: readonly NamedReadings[]): Promise<void> {
  const send = (path: string, init: RequestInit) => fetch(`${hub.url}${path}`, init)
  const gateway = await enrolledGateway(send, await makeToken(hub))
  for (const [i, { device, metric, unit, tsUs, values }] of all.entries()) {
    const column: SeriesColumns = { series: { device, metric, unit }, tsUs, values, quality: null }
    const answer = await gateway.sendBatch({ ...gateway.batch(i + 1), columns: [column] })
    if (!answer.ok) throw new Error(`batch ${i + 1}: ${answer.status} ${await answer.text()}`)
  }
}

async function makeToken(hub: RunningHub): Promise<string> {
  const answer = await fetch(`${hub.url}/v1/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${hub.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ site: 'hall-1' }),
  })
  return ((await answer.json()) as { token: string }).token
}

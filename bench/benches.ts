/** Every bench, in the order of the data's path. */
import type { Bench } from './bench.ts'
import { e2e } from './e2e.ts'
import { hub } from './hub.ts'
import { ingest } from './ingest.ts'
import { latency } from './latency.ts'
import { policies } from './policies.ts'
import { wear } from './wear.ts'
import { windows } from './windows.ts'
import { wire } from './wire.ts'

export const benches: readonly Bench[] = [ingest, latency, wear, policies, wire, hub, windows, e2e]

/** Brokers of one test, on free ports in a folder of their own, which goes away with them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../harness/stack.ts'
import { type KafkaSecurity, KafkaService } from './kafka.ts'

export interface TestKafka extends AsyncDisposable {
  readonly service: KafkaService
  /** `host:port` of the listener with TLS and login. */
  readonly secureBroker: string
}

export interface TestKafkaOptions {
  /** Default 1. */
  readonly brokers?: number
  readonly secure?: KafkaSecurity
  /** Port of a proxy before the lone broker. */
  readonly advertised?: number
  /** Told the lone broker's own port before it starts. */
  readonly direct?: (port: number) => void
}

export async function startTestKafka(options: TestKafkaOptions = {}): Promise<TestKafka> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-kafka-'))
  const nodes = []
  for (let index = 0; index < (options.brokers ?? 1); index++)
    nodes.push({
      client: await freePort(),
      controller: await freePort(),
      secure: await freePort(),
      ...(options.advertised !== undefined && { advertised: options.advertised }),
    })
  options.direct?.(nodes[0]!.client)
  const service = new KafkaService({ folder, nodes, ...(options.secure && { secure: options.secure }) })
  const dispose = async () => {
    await service.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await service.start(() => undefined)
  } catch (error) {
    await dispose()
    throw error
  }
  return { service, secureBroker: `127.0.0.1:${nodes[0]!.secure}`, [Symbol.asyncDispose]: dispose }
}

/**
 * How time is turned back in the proof `rewind`, each on gateways of its own:
 *
 *   restored-hub     the hub's database is put back to a copy from before; the gateway has kept copies of what is missing then
 *   restored-hub-no-copies   the same, with a buffer so small that the copies are gone: those readings are on the books
 *   log-tail-stored  the event log has lost records that the store had consumed: its position is ahead of the log
 *   log-tail-unstored   the event log has lost records that were answered and that nobody had consumed
 *   cloned           an image of the gateway, memory and all, runs beside it under its identity and epoch
 *   cloned-disk      an image of its disk alone does: it draws an epoch of its own
 *   restored-gateway   an image of the gateway is put back after more was sent: epoch and seqs come again with other contents
 *   restored-disk    an image of its disk alone is put back
 *
 * Agents and hub are killed with SIGKILL on the way.
 */
import { join } from 'node:path'
import type { Random } from '../../../firmware-sim/src/signals/random.ts'
import { Multiset } from '../../harness/multiset.ts'
import { enrollAgent, hubPool, type RunningHub } from '../../harness/stack.ts'
import { Gateway, type GatewayOptions, unsentIn } from './gateway.ts'
import { backUp, cutLog, holdConsumers, restore } from './hub-folder.ts'

export const kinds = [
  'restored-hub',
  'cloned',
  'log-tail-unstored',
  'restored-gateway',
  'restored-hub-no-copies',
  'log-tail-stored',
  'cloned-disk',
  'restored-disk',
] as const
export type Kind = (typeof kinds)[number]

export interface Stage {
  readonly hub: RunningHub
  /** Of this scenario alone. */
  readonly folder: string
  readonly prefix: string
  readonly sabotage: readonly string[]
  readonly random: Random
  readonly stopping: AsyncDisposableStack
}

export interface Played {
  readonly gateways: readonly Gateway[]
  /** Readings that an image held unsent: the gateway that it was taken from and whoever runs it may both deliver them. */
  readonly twice: Multiset
}

export function play(kind: Kind, stage: Stage): Promise<Played> {
  switch (kind) {
    case 'restored-hub':
      return restoredHub(stage, '')
    case 'restored-hub-no-copies':
      return restoredHub(stage, 'buffer:\n  max_bytes: 1MiB\n  file_bytes: 64KiB\n  copy_share: 0\n')
    case 'log-tail-stored':
      return logTailStored(stage)
    case 'log-tail-unstored':
      return logTailUnstored(stage)
    case 'cloned':
      return cloned(stage, ['keep-epoch'])
    case 'cloned-disk':
      return cloned(stage, [])
    case 'restored-gateway':
      return restoredGateway(stage, ['keep-epoch'])
    case 'restored-disk':
      return restoredGateway(stage, [])
    default:
      return kind satisfies never
  }
}

async function enrolled({ hub, folder, prefix, sabotage, stopping }: Stage, more: Partial<GatewayOptions> = {}) {
  await enrollAgent({ folder, hub, hubUrl: hub.url })
  return started(
    { folder, hubUrl: hub.url, prefix, ...more, sabotage: [...sabotage, ...(more.sabotage ?? [])] },
    stopping,
  )
}

async function started(options: GatewayOptions, stopping: AsyncDisposableStack): Promise<Gateway> {
  const gateway = await Gateway.start(options)
  stopping.defer(() => gateway.agent.program.stop())
  stopping.defer(() => gateway.silence())
  return gateway
}

async function restoredHub(stage: Stage, config: string): Promise<Played> {
  const { hub, folder, random } = stage
  const gateway = await enrolled(stage, { config })
  await gateway.flow(1000)
  const backup = join(folder, 'backup')
  await backUp(hub, backup)
  await gateway.flow(random.integer(1500, 2500))
  // What was sent under this epoch is missing later, and no batch of it will be sent again by itself.
  await gateway.killAndStart()
  await gateway.flow(1000)
  await restore(hub, backup)
  await gateway.flow(500)
  return { gateways: [gateway], twice: new Multiset() }
}

async function logTailStored(stage: Stage): Promise<Played> {
  const gateway = await enrolled(stage)
  await gateway.flow(stage.random.integer(2000, 3000))
  await cutLog(stage.hub, 3)
  await gateway.flow(1000)
  return { gateways: [gateway], twice: new Multiset() }
}

async function logTailUnstored(stage: Stage): Promise<Played> {
  const { hub, random } = stage
  const gateway = await enrolled(stage)
  await gateway.flow(1000)
  const pool = hubPool(hub.dataDir)
  pool.on('error', () => undefined)
  const letGo = await holdConsumers(pool)
  await gateway.flow(random.integer(1000, 1500))
  await cutLog(hub, 0, letGo)
  await pool.end()
  if (random.chance(0.5)) await gateway.killAndStart()
  await gateway.flow(1000)
  return { gateways: [gateway], twice: new Multiset() }
}

async function cloned(stage: Stage, sabotage: readonly string[]): Promise<Played> {
  const { hub, folder, prefix, random, stopping } = stage
  const gateway = await enrolled(stage, { sabotage })
  await gateway.flow(1000)
  await gateway.kill()
  const image = join(folder, 'clone')
  gateway.saveImage(image)
  const twice = await unsentIn(image)
  // The store stands still, and the hub is started again between the batches of the two: nobody can tell them apart until later.
  const pool = hubPool(hub.dataDir)
  pool.on('error', () => undefined)
  const letGo = await holdConsumers(pool)
  await gateway.agent.program.start()
  await gateway.flow(random.integer(700, 1200))
  await hub.program.stop('SIGKILL')
  await hub.program.start()
  const clone = await started(
    { folder: image, hubUrl: hub.url, prefix: `${prefix}clone-`, sabotage: [...stage.sabotage, ...sabotage] },
    stopping,
  )
  await clone.flow(1000)
  await letGo()
  await pool.end()
  await Promise.all([gateway.flow(700), clone.flow(700)])
  await clone.killAndStart()
  await Promise.all([gateway.flow(700), clone.flow(700)])
  return { gateways: [gateway, clone], twice }
}

async function restoredGateway(stage: Stage, sabotage: readonly string[]): Promise<Played> {
  const { hub, folder, random } = stage
  const gateway = await enrolled(stage, { sabotage })
  await gateway.flow(1000)
  await gateway.kill()
  const image = join(folder, 'image')
  gateway.saveImage(image)
  const twice = await unsentIn(image)
  await gateway.agent.program.start()
  await gateway.flow(random.integer(1500, 2500))
  // What the newer folder had not sent yet would be gone with it.
  await gateway.silence()
  await gateway.drained()
  await gateway.kill()
  gateway.putBack(image)
  if (random.chance(0.5)) {
    await hub.program.stop('SIGKILL')
    await hub.program.start()
  }
  await gateway.agent.program.start()
  await gateway.flow(1000)
  await gateway.killAndStart()
  await gateway.flow(1000)
  return { gateways: [gateway], twice }
}

/**
 * What `fleet` and `replay` do alike: open the transport, the record and the truth, play, report.
 */
import type { CommandContext, CommandOption } from '@tributary/shared/cli'
import { play } from '../devices/play.ts'
import type { TellTruth } from '../faults/fault.ts'
import { createFileRecorder } from '../record/record.ts'
import { createTruthFile } from '../record/truth.ts'
import type { Emission } from '../signals/emission.ts'
import type { Counters } from '../transports/transport.ts'
import { openTransport, transportOptions } from './open-transport.ts'
import { durationOption, textOption } from './option-values.ts'

export const playOptions: Readonly<Record<string, CommandOption>> = {
  faults: {
    type: 'string',
    value: 'LIST',
    help: 'KIND=RATE[@DEVICE],…: spike, step, stuck, drift, dropout, duplicate, out-of-order, malformed',
  },
  record: { type: 'string', value: 'FILE', help: 'write what was sent and acknowledged (JSON lines)' },
  truth: { type: 'string', value: 'FILE', help: 'write which fault acted when (JSON lines)' },
  ...transportOptions,
}

const progressMs = 5000

/** Exit code 0 when everything that can be acknowledged was, else 1. */
export async function runPlay(
  context: CommandContext,
  emissions: (truth: TellTruth) => Iterable<Emission> | AsyncIterable<Emission>,
): Promise<number> {
  const { values, signal, note, out, json } = context
  await using cleanup = new AsyncDisposableStack()
  const drainMs = durationOption(values, 'drain') ?? 0
  const opened = await openTransport(context)
  cleanup.defer(opened.close)
  const recordPath = textOption(values, 'record')
  const recorder = recordPath === undefined ? undefined : createFileRecorder(recordPath, opened.qos)
  if (recorder !== undefined) cleanup.defer(recorder.close)
  const truthPath = textOption(values, 'truth')
  const truth = truthPath === undefined ? undefined : createTruthFile(truthPath)
  if (truth !== undefined) cleanup.defer(truth.close)
  const { transport, dialect } = opened
  let shown = ''
  const progress = setInterval(() => {
    const line = describe(transport.counters())
    if (line !== shown) note(line)
    shown = line
  }, progressMs)
  cleanup.defer(() => clearInterval(progress))

  const summary = await play({
    emissions: emissions(episode => truth?.add(episode)),
    dialect,
    transport,
    signal,
    drainMs,
    ...(recorder !== undefined && { recorder }),
  })
  out(
    `${describe(summary)}; ${summary.readings} readings in ${(summary.durationMs / 1000).toFixed(1)} s over ${transport.name}`,
  )
  json(summary)
  if (summary.unacknowledged > 0) note(`${summary.unacknowledged} messages were never acknowledged`)
  return summary.unacknowledged === 0 ? 0 : 1
}

function describe({ sent, acknowledged, resent, unacknowledged }: Counters): string {
  return `sent ${sent}, acknowledged ${acknowledged}, resent ${resent}, unacknowledged ${unacknowledged}`
}

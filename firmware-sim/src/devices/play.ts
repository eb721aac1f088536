/**
 * Plays a sequence of emissions through a transport and accounts for every message.
 *
 * A message is recorded as sent before the first byte leaves, and as acknowledged when its acknowledgement came. The transport
 * bounds what is under way, so the sequence is drawn only as fast as the other side takes it. The signal ends the sequence;
 * outstanding acknowledgements are then waited for, up to `drainMs`.
 */
import { isTributaryError } from '@tributary/shared/errors'
import type { Recorder } from '../record/record.ts'
import type { Emission } from '../signals/emission.ts'
import type { Counters, Message, Transport } from '../transports/transport.ts'
import { type Dialect, formatEmission } from './payload.ts'

export interface PlayOptions {
  readonly emissions: Iterable<Emission> | AsyncIterable<Emission>
  readonly dialect: Dialect
  readonly transport: Transport
  readonly recorder?: Recorder
  readonly signal: AbortSignal
  /** Default 10,000. */
  readonly drainMs?: number
}

/** Counted in messages, but for `readings`. */
export interface Summary extends Counters {
  /** Well-formed readings in the messages sent. */
  readonly readings: number
  readonly durationMs: number
}

export async function play(options: PlayOptions): Promise<Summary> {
  const { transport, signal, drainMs = 10_000 } = options
  const startMs = performance.now()
  const tally = { readings: 0, outstanding: new Set<Promise<unknown>>() }
  let stopping: Promise<void> | null = null
  const stop = () => {
    stopping ??= transport.stop(drainMs)
    return stopping
  }
  const onAbort = () => void stop()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    if (!signal.aborted) await transport.start()
    if (!signal.aborted) await sendAll(options, tally)
  } catch (error) {
    if (!(signal.aborted && isTributaryError(error, 'aborted'))) throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
    await stop()
    await Promise.all(tally.outstanding)
  }
  return { ...transport.counters(), readings: tally.readings, durationMs: Math.round(performance.now() - startMs) }
}

async function sendAll(
  { emissions, dialect, transport, recorder, signal }: PlayOptions,
  tally: { readings: number; readonly outstanding: Set<Promise<unknown>> },
): Promise<void> {
  let id = 0
  for await (const emission of emissions) {
    const messages = formatEmission(emission, dialect).map((message): Message => ({ ...message, id: ++id }))
    recorder?.sent(messages)
    for (const message of messages) {
      await transport.room(message.device)
      tally.readings += message.readings.length
      // A message given up is counted by the transport, and whatever closed it is thrown by `room`.
      const settled: Promise<unknown> = transport.send(message).then(
        () => transport.acknowledges && recorder?.acked(message),
        () => undefined,
      )
      tally.outstanding.add(settled)
      void settled.then(() => tally.outstanding.delete(settled))
    }
    if (signal.aborted) return
  }
}

/**
 * The simulator's own account of a run: what it sent, and what was acknowledged. A proof compares the acknowledged readings, as
 * a multiset of (series, time, value bits), with the rows that a hub stored.
 *
 * A JSON line per reading and event, complete in itself:
 *   {"event":"acked","message":12,"qos":1,"series":"machine-001/power","ts":1700000000000000,"bits":"401e000000000000"}
 * `event` is `sent` or `acked`, `message` links the two, `qos` is null on a serial line; without acknowledgements (QoS 0, plain lines) nothing is `acked`. A malformed payload has `series` null and
 * neither ts nor bits. `sent` is in the file (its page cache) before the first byte leaves; `acked` at the end of the turn of the
 * event loop that read the acknowledgement. So after a SIGKILL of the simulator: acked ⊆ stored ⊆ sent. Memory does not grow with the run.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Message } from '../transports/transport.ts'
import { valueBits } from './value-bits.ts'

export interface Recorder {
  sent(messages: readonly Message[]): void
  acked(message: Message): void
  close(): void
}

export interface RecordLine {
  readonly event: 'sent' | 'acked'
  readonly message: number
  readonly qos: 0 | 1 | 2 | null
  /** `device/metric`. */
  readonly series: string | null
  readonly ts?: number
  readonly bits?: string
}

/** One line a reading; one line for a malformed payload. */
export function recordLines(event: RecordLine['event'], message: Message, qos: RecordLine['qos']): RecordLine[] {
  if (message.readings.length === 0) return [{ event, message: message.id, qos, series: null }]
  return message.readings.map(({ device, metric, tsUs, value }) => ({
    event,
    message: message.id,
    qos,
    series: `${device}/${metric}`,
    ts: tsUs,
    bits: valueBits(value),
  }))
}

/** Writes a new file; throws `storage` when it cannot be made, `conflict` when it exists. */
export function createFileRecorder(path: string, qos: RecordLine['qos']): Recorder {
  const fd = openNew(path)
  let pending = ''
  let flushing: NodeJS.Immediate | null = null

  function flush(): void {
    if (flushing !== null) clearImmediate(flushing)
    flushing = null
    if (pending !== '') writeSync(fd, pending)
    pending = ''
  }
  const append = (event: RecordLine['event'], message: Message) => {
    for (const line of recordLines(event, message, qos)) pending += `${JSON.stringify(line)}\n`
  }
  return {
    sent(messages) {
      for (const message of messages) append('sent', message)
      flush()
    },
    acked(message) {
      append('acked', message)
      flushing ??= setImmediate(flush)
    },
    close() {
      flush()
      closeSync(fd)
    },
  }
}

/** Opens a file that must not exist yet: an account of two runs in one file would account for neither. */
export function openNew(path: string): number {
  try {
    return openSync(path, 'ax')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
      throw new TributaryError('conflict', `${path} exists already`, {
        cause,
        hint: 'Name a new file, or remove the old one.',
      })
    throw new TributaryError('storage', `cannot write ${path}: ${messageOf(cause)}`, { cause })
  }
}

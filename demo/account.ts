/** What the demo's devices sent and what they saw acknowledged, reading by reading, to be compared with what is stored. */
import type { Recorder } from '../firmware-sim/src/record/record.ts'
import type { Message, SentReading } from '../firmware-sim/src/transports/transport.ts'
import { Multiset, readingKey } from '../test/harness/multiset.ts'

export class Account {
  readonly sent = new Multiset()
  readonly acked = new Multiset()
  sentCount = 0
  ackedCount = 0
  readonly #onSent: (reading: SentReading) => void

  constructor(onSent: (reading: SentReading) => void = () => undefined) {
    this.#onSent = onSent
  }

  readonly recorder: Recorder = {
    sent: messages => {
      for (const { readings } of messages) for (const reading of readings) this.#sent(reading)
    },
    acked: message => this.#acked(message),
    close: () => undefined,
  }

  #sent(reading: SentReading): void {
    this.sentCount++
    this.sent.add(keyOf(reading))
    this.#onSent(reading)
  }

  #acked({ readings }: Message): void {
    this.ackedCount += readings.length
    for (const reading of readings) this.acked.add(keyOf(reading))
  }
}

/** Booleans are stored as 0 and 1 beside their text. */
function keyOf({ device, metric, tsUs, value }: SentReading): string {
  return readingKey(device, metric, tsUs, Number(value))
}

/**
 * The agent's ingest alone, for the bench `ingest`: MQTT source, decoder and buffer as the agent joins them, no uplink.
 * `node bench/servers/agent-ingest.ts FOLDER WINDOW_MS worker|in-process` prints its port.
 */
import { pino } from 'pino'
import { openBuffer } from '../../agent/src/buffer/sqlite-buffer.ts'
import { parseAgentConfig } from '../../agent/src/config/agent-config.ts'
import { createDecoder } from '../../agent/src/decode/decoder.ts'
import { MqttSource } from '../../agent/src/sources/mqtt/mqtt-source.ts'
import { machineClock } from '../../agent/src/time/agent-clock.ts'
import { BootClock } from '../../agent/src/time/boot-clock.ts'

const [folder, windowText, mode] = process.argv.slice(2)
const clock = machineClock(new BootClock())
const buffer = await openBuffer({
  clock,
  folder: folder!,
  agentId: () => null,
  windowMs: Number(windowText),
  worker: mode === 'worker',
})
const config = { ...parseAgentConfig('', 'bench', {}).mqtt, port: 0 }
const source = new MqttSource({
  config,
  users: [],
  accept: (message, done) => buffer.accept(message, done),
  buffer,
  decoder: createDecoder({ routes: [], maxPayloadBytes: config.maxPayload }),
  maxReceipts: 100_000,
  stamp: () => clock.stamp(),
  log: pino({ level: 'warn' }),
  sabotage: { ackBeforeCommit: false, noDuplicateCheck: false },
})
await source.start()
console.log(JSON.stringify({ port: source.port }))
process.on('SIGTERM', () => process.exit(0))

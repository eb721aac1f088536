/**
 * The demo's devices: one that replays a real machine's temperature, fifty synthetic machines over MQTT, one over a serial line.
 */
import { join } from 'node:path'
import { createFleet } from '../firmware-sim/src/devices/fleet.ts'
import { pace } from '../firmware-sim/src/devices/pace.ts'
import { type PlayOptions, play } from '../firmware-sim/src/devices/play.ts'
import { createReplay } from '../firmware-sim/src/devices/replay.ts'
import type { Emission } from '../firmware-sim/src/signals/emission.ts'
import { lastTimeUs, readRecording } from '../firmware-sim/src/signals/recording.ts'
import { MqttTransport } from '../firmware-sim/src/transports/mqtt-transport.ts'
import type { PtyPair } from '../firmware-sim/src/transports/pty.ts'
import { SerialDevice } from '../firmware-sim/src/transports/serial-device.ts'
import { repository } from '../test/harness/program.ts'
import type { Account } from './account.ts'

const recording = join(repository, 'firmware-sim/data/machine_temperature_system_failure.csv')
export const labelsFile = recording.replace('.csv', '.labels.json')

/** The series of the recording. */
export const press = { device: 'press-1', metric: 'temperature' } as const
export const serialDevice = 'serial-1'

const machines = 50
const machineRateHz = 1
const serialRateHz = 5
const backoff = { baseMs: 50, capMs: 1000 }
/**
 * Unacknowledged messages of a connection. The agent recognises what comes again after its kill by receipts: 20,000 of them, an even
 * share for each client, here some 380. A client with more under way would find all of them stored a second time.
 */
const maxInFlight = 250

export interface Devices {
  readonly mqttPort: number
  readonly serial: PtyPair | null
  /** Of MQTT and of the serial line. */
  readonly accounts: { readonly mqtt: Account; readonly serial: Account }
  /** How long the replay of the recording takes. */
  readonly replayMs: number
  /** The time of the recording's last reading: it is moved to end there. */
  readonly endUs: number
  readonly signal: AbortSignal
}

/** How far the recording's times are moved, and how long it is, µs. */
export async function measureRecording(endUs: number): Promise<{ readonly moveUs: number; readonly spanUs: number }> {
  const lastUs = (await lastTimeUs(recording)) ?? 0
  for await (const { tsUs } of readRecording(recording)) return { moveUs: endUs - lastUs, spanUs: lastUs - tsUs }
  throw new Error(`${recording} is empty`)
}

/** Plays the recording to its end, or until the signal fires. */
export async function playRecording(devices: Devices): Promise<void> {
  const { spanUs } = await measureRecording(devices.endUs)
  await playMqtt(devices, 1, 'demo-press', replay(devices, spanUs))
}

/** Plays until the signal fires; resolves when what was under way is acknowledged or was waited for in vain. */
export async function playMachines(devices: Devices): Promise<void> {
  const { serial, accounts, signal } = devices
  const playing = [playMqtt(devices, machines, 'demo-machine', live(machines, machineRateHz, signal))]
  if (serial !== null) {
    const transport = new SerialDevice({ port: serial.master, framing: 'acknowledged', baudRate: 115_200 })
    playing.push(
      play({
        emissions: renamed(live(1, serialRateHz, signal)),
        dialect: 'line',
        transport,
        recorder: accounts.serial.recorder,
        signal,
      }),
    )
  }
  await Promise.all(playing)
}

function playMqtt(devices: Devices, connections: number, clientId: string, emissions: PlayOptions['emissions']) {
  const transport = new MqttTransport({ port: devices.mqttPort, clientId, connections, qos: 1, backoff, maxInFlight })
  const { signal, accounts } = devices
  return play({
    emissions,
    dialect: connections === 1 ? 'metric' : 'device',
    transport,
    recorder: accounts.mqtt.recorder,
    signal,
  })
}

function replay({ endUs, replayMs, signal }: Devices, spanUs: number): AsyncIterable<Emission> {
  const speed = spanUs / 1000 / replayMs
  return createReplay({ path: recording, ...press, times: 'shift', clock: () => endUs, speed, signal })
}

/** Times count from the first draw: that is when the devices are connected. */
async function* live(devices: number, rateHz: number, signal: AbortSignal): AsyncGenerator<Emission> {
  const fleet = createFleet({ seed: 'demo', devices, rateHz, startUs: Date.now() * 1000 })
  yield* pace<Emission>(fleet, emission => emission.tsUs, 1, signal)
}

async function* renamed(emissions: AsyncIterable<Emission>): AsyncGenerator<Emission> {
  for await (const emission of emissions) yield { ...emission, device: serialDevice }
}

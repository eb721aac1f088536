/**
 * From the options that `fleet` and `replay` share to an open transport: an agent's MQTT port, or a serial line of the
 * simulator's own making.
 */
import { randomBytes } from 'node:crypto'
import { lstatSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import type { CommandContext, CommandOption } from '@tributary/shared/cli'
import { TributaryError } from '@tributary/shared/errors'
import type { Dialect } from '../devices/payload.ts'
import { parseBrokerUrl } from '../transports/mqtt-connection.ts'
import { MqttTransport } from '../transports/mqtt-transport.ts'
import { openPtyPair } from '../transports/pty.ts'
import { SerialDevice } from '../transports/serial-device.ts'
import { serialFramings } from '../transports/serial-framing.ts'
import type { Transport } from '../transports/transport.ts'
import { checkOption, choiceOption, numberOption, textOption, wholeOption } from './option-values.ts'

export const transportOptions: Readonly<Record<string, CommandOption>> = {
  mqtt: { type: 'string', value: 'URL', default: 'mqtt://127.0.0.1:1883', help: 'the broker: mqtt://… or mqtts://…' },
  qos: { type: 'string', value: 'N', default: '1', help: 'quality of service: 0, 1 or 2' },
  connections: { type: 'string', value: 'N', default: '1', help: 'MQTT connections that the devices share' },
  'client-id': { type: 'string', value: 'NAME', help: 'MQTT client id; by default one of its own for each run' },
  username: { type: 'string', value: 'NAME', help: 'the password is read from FIRMWARE_SIM_PASSWORD' },
  ca: { type: 'string', value: 'FILE', help: 'PEM of the authority behind an mqtts:// broker' },
  'in-flight': { type: 'string', value: 'N', default: '1000', help: 'messages a connection may have unacknowledged' },
  payload: {
    type: 'string',
    value: 'KIND',
    default: 'metric',
    help: 'a message a metric, or one a device: metric, device',
  },
  serial: { type: 'string', value: 'PATH', help: 'a serial line instead of MQTT; PATH becomes a link to it' },
  framing: {
    type: 'string',
    value: 'KIND',
    default: 'acknowledged',
    help: `on the serial line: ${serialFramings.join(', ')}`,
  },
  baud: { type: 'string', value: 'N', default: '115200', help: 'how fast the serial line is, bit/s (8N1)' },
  drain: { type: 'string', value: 'TIME', default: '10s', help: 'how long to wait at the end for acknowledgements' },
}

export interface OpenTransport {
  readonly transport: Transport
  readonly dialect: Dialect
  readonly qos: 0 | 1 | 2 | null
  close(): Promise<void>
}

export async function openTransport(context: CommandContext): Promise<OpenTransport> {
  return textOption(context.values, 'serial') === undefined ? openMqtt(context) : openSerial(context)
}

function openMqtt({ values, env, note }: CommandContext): OpenTransport {
  const url = textOption(values, 'mqtt') ?? ''
  checkOption('mqtt', () => parseBrokerUrl(url))
  const qos = wholeOption(values, 'qos', 0, 2) as 0 | 1 | 2
  const username = textOption(values, 'username')
  const password = env.FIRMWARE_SIM_PASSWORD
  const ca = textOption(values, 'ca')
  let lost = false
  const transport = new MqttTransport({
    url,
    qos,
    clientId: textOption(values, 'client-id') ?? `firmware-sim-${randomBytes(6).toString('hex')}`,
    connections: wholeOption(values, 'connections', 1, 10_000),
    maxInFlight: wholeOption(values, 'in-flight', 1, 65_535),
    ...(username !== undefined && { username }),
    ...(username !== undefined && password !== undefined && { password }),
    ...(ca !== undefined && { ca: checkOption('ca', () => readFileSync(ca, 'utf8')) }),
    events: {
      disconnected(error) {
        if (!lost && error.retryable) note(`${error.message}; trying again`)
        lost = true
      },
      connected() {
        if (lost) note(`connected to ${url}`)
        lost = false
      },
    },
  })
  const dialect = choiceOption(values, 'payload', ['metric', 'device'])
  return { transport, dialect, qos, close: async () => undefined }
}

async function openSerial({ values, note }: CommandContext): Promise<OpenTransport> {
  const link = textOption(values, 'serial')!
  const framing = choiceOption(values, 'framing', serialFramings)
  const baudRate = numberOption(values, 'baud', 50, 10_000_000)
  const line = await openPtyPair()
  try {
    linkTo(line.path, link)
  } catch (error) {
    await line.close()
    throw error
  }
  note(`serial line ${link} → ${line.path}`)
  return {
    transport: new SerialDevice({ port: line.master, framing, baudRate, name: link }),
    dialect: 'line',
    qos: null,
    async close() {
      rmSync(link, { force: true })
      await line.close()
    },
  }
}

/** Replaces an older link; anything else that stands there stays. */
function linkTo(target: string, link: string): void {
  const present = lstatSync(link, { throwIfNoEntry: false })
  if (present !== undefined && !present.isSymbolicLink())
    throw new TributaryError('conflict', `${link} exists already and is no link`, {
      hint: 'Name another path for the line.',
    })
  rmSync(link, { force: true })
  checkOption('serial', () => symlinkSync(target, link))
}

/** The address of an MQTT broker elsewhere, and how to open a connection to it. */
import { readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { messageOf, TributaryError } from '@tributary/shared/errors'

export interface BrokerAddress {
  readonly host: string
  readonly port: number
  readonly secure: boolean
}

/** `mqtt://host[:1883]` or `mqtts://host[:8883]`; a user or password in it is refused: it would show in logs. Throws `config`. */
export function parseBrokerAddress(url: string): BrokerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !['mqtt:', 'mqtts:'].includes(parsed.protocol) || parsed.hostname === '')
    throw new TributaryError('config', 'the url of a broker is not an MQTT address', {
      hint: 'It looks like mqtt://127.0.0.1:1883 or mqtts://broker.example.com',
    })
  if (parsed.username !== '' || parsed.password !== '')
    throw new TributaryError('config', 'the url of a broker holds a user name or a password', {
      hint: 'Set username and password_file instead.',
    })
  const secure = parsed.protocol === 'mqtts:'
  const port = parsed.port === '' ? (secure ? 8883 : 1883) : Number(parsed.port)
  return { host: parsed.hostname.replace(/^\[|\]$/g, ''), port, secure }
}

/** Connecting; the socket tells of success and failure by its events. Throws `config` when the CA file cannot be read. */
export function openSocket({ host, port, secure }: BrokerAddress, caFile: string | null): Socket {
  if (!secure) return connectTcp({ host, port, noDelay: true, keepAlive: true })
  const ca = caFile === null ? {} : { ca: readCa(caFile) }
  // A server name in TLS is never an IP address (RFC 6066 §3).
  const socket = connectTls({ host, port, ...ca, ...(isIP(host) === 0 && { servername: host }) })
  return socket.setNoDelay(true).setKeepAlive(true)
}

function readCa(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new TributaryError('config', `ca_file ${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

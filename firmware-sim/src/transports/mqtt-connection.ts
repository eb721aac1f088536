/**
 * One network connection of an MQTT 3.1.1 client that only publishes: CONNECT, packets in both directions, keep-alive, end.
 *
 * What is written within one turn of the event loop leaves in one system call. A broker that sends nothing for 1.5 keep-alive
 * intervals counts as gone. The connection never reconnects; that is its owner's business.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { generate, type Packet, parser } from 'mqtt-packet'

export interface MqttTarget {
  /** `mqtt://host:port` or `mqtts://host:port`. */
  readonly url: string
  readonly clientId: string
  readonly username?: string
  readonly password?: string
  /** PEM of the authority that signed the broker's certificate, when the system does not know it. */
  readonly ca?: string
  readonly keepAliveS: number
  /** How long the handshake may take. */
  readonly connectTimeoutMs: number
}

export interface MqttConnection {
  readonly sessionPresent: boolean
  /** `done` is called when the bytes have left, or never will. */
  write(packet: Buffer, done?: () => void): void
  /** Resolves, with the reason, when the connection is gone. */
  readonly closed: Promise<TributaryError>
  /** Send DISCONNECT and close. */
  end(): Promise<void>
  /** Close with a TCP reset, as a device that loses power. */
  reset(): void
}

const refusals: Readonly<Record<number, string>> = {
  1: 'it does not speak MQTT 3.1.1',
  2: 'it rejects the client id',
  3: 'it is not available now',
  4: 'the user name or password is wrong',
  5: 'the client is not authorised',
}

/** The broker's address, checked. */
export function parseBrokerUrl(url: string): { host: string; port: number; secure: boolean } {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !['mqtt:', 'mqtts:'].includes(parsed.protocol) || parsed.hostname === '')
    throw new TributaryError('config', `"${url}" is not an MQTT address`, {
      hint: 'It looks like mqtt://127.0.0.1:1883',
    })
  const secure = parsed.protocol === 'mqtts:'
  const port = parsed.port === '' ? (secure ? 8883 : 1883) : Number(parsed.port)
  return { host: parsed.hostname.replace(/^\[|\]$/g, ''), port, secure }
}

/**
 * Connect and shake hands. Throws `unavailable` when another try may succeed, `unauthenticated` or `not-supported` when the
 * broker refuses for good.
 */
export async function connectMqtt(
  target: MqttTarget,
  clean: boolean,
  onPacket: (packet: Packet) => void,
  signal: AbortSignal,
): Promise<MqttConnection> {
  const { host, port, secure } = parseBrokerUrl(target.url)
  const socket = secure ? connectTls(tlsOptions(host, port, target.ca)) : connectTcp({ host, port })
  socket.setNoDelay(true)
  const closed = Promise.withResolvers<TributaryError>()
  const connack = Promise.withResolvers<boolean>()
  let failure: unknown = null
  let heardMs = performance.now()

  const packets = parser()
  packets.on('packet', packet => {
    if (packet.cmd !== 'connack') return onPacket(packet)
    const code = packet.returnCode ?? 0
    if (code === 0) connack.resolve(packet.sessionPresent)
    else connack.reject(refusal(target.url, code))
  })
  connack.promise.catch(() => undefined) // awaited below, unless CONNECT cannot be written
  packets.on('error', error => socket.destroy(error))
  socket.on('data', chunk => {
    heardMs = performance.now()
    packets.parse(chunk)
  })
  socket.on('error', error => {
    failure = error
  })
  socket.on('close', () => {
    const gone = unavailable(target.url, failure)
    connack.reject(gone)
    closed.resolve(gone)
  })
  const write = corkedWriter(socket)

  const abort = () => socket.destroy(new Error('stopped'))
  signal.addEventListener('abort', abort, { once: true })
  const timeout = setTimeout(() => socket.destroy(new Error('no answer to CONNECT')), target.connectTimeoutMs)
  let sessionPresent: boolean
  try {
    write(encodeConnect(target, clean))
    sessionPresent = await connack.promise
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timeout)
    signal.removeEventListener('abort', abort)
  }

  const intervalMs = target.keepAliveS * 1000
  const pings = setInterval(() => {
    if (performance.now() - heardMs > 1.5 * intervalMs) socket.destroy(new Error('the broker fell silent'))
    else write(generate({ cmd: 'pingreq' }))
  }, intervalMs / 2)
  socket.once('close', () => clearInterval(pings))

  return {
    sessionPresent,
    write,
    closed: closed.promise,
    async end() {
      write(generate({ cmd: 'disconnect' }))
      process.nextTick(() => socket.destroySoon())
      await closed.promise
    },
    reset: () => void (secure ? socket.destroy() : socket.resetAndDestroy()),
  }
}

function tlsOptions(host: string, port: number, ca: string | undefined) {
  // A server name in TLS is never an IP address (RFC 6066 §3).
  return { host, port, ...(ca !== undefined && { ca }), ...(isIP(host) === 0 && { servername: host }) }
}

function encodeConnect({ clientId, username, password, keepAliveS }: MqttTarget, clean: boolean): Buffer {
  return generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId,
    clean,
    keepalive: Math.ceil(keepAliveS),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: Buffer.from(password) }),
  })
}

/** Collects the writes of one turn of the event loop. */
function corkedWriter(socket: Socket): MqttConnection['write'] {
  let corked = false
  return (packet, done) => {
    if (socket.destroyed) return void (done && setImmediate(done))
    if (!corked) {
      corked = true
      socket.cork()
      process.nextTick(() => {
        corked = false
        socket.uncork()
      })
    }
    // A write that the kernel takes at once calls back in the same turn; a publisher in a loop would never let the loop go on.
    socket.write(packet, done && (() => setImmediate(done)))
  }
}

function refusal(url: string, code: number): TributaryError {
  const message = `${url} refuses the connection: ${refusals[code] ?? `return code ${code}`}`
  if (code === 3) return new TributaryError('unavailable', message)
  if (code === 1 || code === 2) return new TributaryError('not-supported', message)
  return new TributaryError('unauthenticated', message, {
    hint: 'Check the user name, the password and the client id.',
  })
}

function unavailable(url: string, cause: unknown): TributaryError {
  const reason = cause === null ? 'the broker closed the connection' : messageOf(cause)
  return new TributaryError('unavailable', `no connection to ${url}: ${reason}`, { cause })
}
